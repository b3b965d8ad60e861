"""The public interface against a model of it: random calls, in both colours, on every kind of server.

G1 (a refused call changes nothing), G2 (revisions only grow), G3 (every read sees the newest), G4 (guards), G8 (history
tells what was before), G11 (values keep their type).
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import HealthCheck, given, settings

import ccs
from ccs._core.values.merge import merge_patch
from tests.model.api import ABSENT, ApiModel, Ask, Held
from tests.support.colours import COLOURS, connect_in
from tests.support.waiting import counts

PATHS = ["a", "a/b", "a/b/c", "ab", "x{}[*", "é/ü"]
ids = itertools.count()

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.sampled_from([2**53 - 1, 2**53, -(2**53), 127, 128, 255, 65_535]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=5),
    st.binary(max_size=5),
)
maps = st.dictionaries(
    st.sampled_from(["k", "l"]), st.one_of(scalars, st.dictionaries(st.just("m"), scalars)), max_size=2
)
values = st.one_of(scalars, maps, st.lists(scalars, max_size=17))
some = st.dictionaries(st.sampled_from(PATHS), values, min_size=1, max_size=3)
paths = st.sampled_from(PATHS)
guards = st.sampled_from(["", "", "right", "zero", "wrong"])
amounts = st.one_of(st.integers(-(2**54), 2**54), st.integers(-300, 300), st.sampled_from([0.5, -1.25]))


def ask(method: Any, *parts: Any) -> Any:
    methods = st.just(method) if isinstance(method, str) else method
    return st.tuples(methods, *parts).map(lambda made: Ask(*made))


asks = st.lists(
    st.one_of(
        ask("set", paths, values, guards),
        ask("set", paths, values, guards),
        ask("create", paths, values),
        ask("delete", paths, st.none(), guards),
        ask("delete_matching", paths),
        ask("set_many", paths, some),
        ask("transact", paths, some),
        ask("update", paths, scalars),
        ask("merge", paths, maps),
        ask("increment", paths, amounts),
        ask(st.sampled_from(["append", "append_bounded"]), paths, st.lists(values, max_size=4)),
        ask(st.sampled_from(["renew", "refused"]), paths),
        ask(st.sampled_from(["finish", "drop", "drop"]), st.just(""), scalars),
    ),
    max_size=20,
)


@pytest.fixture(params=COLOURS)
async def contexts(request: pytest.FixtureRequest, target: str, namespace: str) -> AsyncIterator[Callable[[], Any]]:
    """A new context at each call."""
    async with connect_in(request.param, target, agent="model", namespace=namespace) as store:
        yield lambda: store.task(f"{next(ids)}")


class Calls:
    """The calls, as they are made on a real context."""

    def __init__(self, task: Any, model: ApiModel) -> None:
        self.task, self.model = task, model

    async def make(self, ask: Ask) -> Any:
        """What the model's `apply` gives, from the real thing."""
        try:
            result = await getattr(self, f"_{ask.method}", self._plain)(ask)
        except ccs.CCSError as error:
            return type(error).__name__
        return Held(result.value, result.version) if isinstance(result, ccs.Entry) else result

    async def _plain(self, ask: Ask) -> Any:
        return await getattr(self.task, ask.method)(ask.path, ask.value)

    async def _guards(self, ask: Ask) -> dict[str, int]:
        entry = await self.task.entry(ask.path)
        version, revision = (entry.version, entry.revision) if entry else (0, 0)
        if ask.guard == "right":
            return {"if_version": version, "if_revision": revision}
        if ask.guard == "wrong":
            return {"if_version": version, "if_revision": revision + 1}
        return {"if_revision": 0} if ask.guard else {}

    async def _set(self, ask: Ask) -> Any:
        return await self.task.set(ask.path, ask.value, **await self._guards(ask))

    async def _delete(self, ask: Ask) -> Any:
        return await self.task.delete(ask.path, **await self._guards(ask))

    async def _delete_matching(self, ask: Ask) -> Any:
        literal = ccs.escape(ask.path)
        return await self.task.delete_matching(literal, f"{literal}/**")

    async def _set_many(self, ask: Ask) -> None:
        assert await self.task.set_many(ask.value) == await self.task.revision()

    async def _transact(self, ask: Ask) -> Any:
        async def run(tx: Any) -> Any:
            before = await tx.get(ask.path, ABSENT)
            for path, value in ask.value.items():
                tx.delete(path) if value is None else tx.set(path, value)
            return before

        return await self.task.transact(run)

    async def _update(self, ask: Ask) -> Any:
        return await self.task.update(ask.path, lambda value: [value, ask.value], default="new")

    async def _append(self, ask: Ask) -> Any:
        return await self.task.append(ask.path, *ask.value)

    async def _append_bounded(self, ask: Ask) -> Any:
        return await self.task.append(ask.path, *ask.value, max_items=3)

    async def _renew(self, ask: Ask) -> Any:
        return await self.task.renew(ask.path, None)

    async def _refused(self, ask: Ask) -> Any:
        return await self.task.set_many({ask.path: 1, "other": object()})

    async def _finish(self, ask: Ask) -> None:
        await self.task.finish(ask.value)

    async def _drop(self, ask: Ask) -> None:
        await self.task.drop()


def shown(value: Any) -> str:
    """A value with its types: True is not 1, and 1 is not 1.0."""
    return repr(value)


async def compare(task: Any, model: ApiModel) -> None:
    """Every way of reading tells the same, and what the model says."""
    snapshot = await task.snapshot()
    found = {path: Held(entry.value, entry.version) for path, entry in snapshot.items()}
    assert shown(found) == shown(dict(sorted(model.held.items())))
    assert await task.paths() == sorted(model.held)
    assert [entry async for entry in task.scan(page=2)] == list(snapshot.values())
    assert shown(await task.get_many(PATHS)) == shown(
        {path: model.held[path].value for path in PATHS if path in model.held}
    )
    for path in PATHS:
        assert await task.entry(path) == snapshot.get(path)
        assert await task.exists(path) == (path in model.held)
    info = await task.info()
    assert (info.revision, info.entries) == (snapshot.revision, len(snapshot))
    assert info.finished == (model.outcome is not ABSENT)
    assert all(entry.revision <= info.revision for entry in snapshot.values())
    changes = await task.history()
    told = [(c.op, c.path, c.value, c.previous, c.created, c.version) for c in changes]
    assert shown(told) == shown(model.changes)
    assert [c.revision for c in changes] == sorted(c.revision for c in changes)


@settings(
    max_examples=counts(12, 400),
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
@given(asks=asks)
async def test_the_interface_does_what_the_model_does(contexts: Callable[[], Any], asks: list[Ask]) -> None:
    """Given any history of calls, when any other is made, then it answers and leaves what the model says."""
    task, model, highest = contexts(), ApiModel(), 0
    calls = Calls(task, model)
    for ask in asks:
        commits = model.commits
        before = await task.revision()
        wanted = model.apply(ask)
        assert shown(await calls.make(ask)) == shown(wanted)
        revision = await task.revision()
        if ask.method == "drop":
            assert revision == 0
        elif model.commits > commits:
            assert revision > max(before, highest)
        else:
            assert revision == before
        highest = max(highest, before, revision)
    await compare(task, model)


def test_a_patch_of_the_model_is_that_of_rfc_7396() -> None:
    assert merge_patch({"a": {"b": 1, "c": 2}, "d": 3}, {"a": {"b": None}, "d": None}) == {"a": {"c": 2}}
