"""An entry's ttl lengthens the life of its context; what recipes write for themselves does not. Both colours."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from anyio import to_thread

import ccs
from tests.context.probes import Open
from tests.support.colours import Awaited
from tests.support.waiting import aeventually

IDLE, LONG = 60.0, 3600.0


async def left(task: Any) -> float:
    """For how many seconds the context lives on, if nobody comes."""
    page = await _page(task)
    return float(page.deadline - page.now) / 1000


async def _page(task: Any) -> Any:
    look = task.handle.engine.look
    return await (
        to_thread.run_sync(look, task.address, 0, 0) if isinstance(task, Awaited) else look(task.address, 0, 0)
    )


@pytest.fixture
async def task(open_store: Open) -> Any:
    """A context that lives for a minute."""
    task = (await open_store(embed=lambda texts: [[1.0, float(len(text))] for text in texts])).task("t", ttl=IDLE)
    await task.set("here", 1)
    return task


async def _update(task: Any) -> None:
    await task.update("a", lambda value: 1, ttl=LONG)


async def _renew(task: Any) -> None:
    await task.set("a", 1)
    await task.renew("a", LONG)


async def _transaction(task: Any) -> None:
    async with task.transaction() as tx:
        tx.set("a", 1, ttl=LONG)


WAYS: dict[str, Callable[[Any], Awaitable[object]]] = {
    "set": lambda task: task.set("a", 1, ttl=LONG),
    "create": lambda task: task.create("a", 1, ttl=LONG),
    "set_many": lambda task: task.set_many({"a": 1, "b": 2}, ttl=LONG),
    "update": _update,
    "renew": _renew,
    "transaction": _transaction,
    "semantic": lambda task: task.semantic.store("fact", ttl=LONG),
    "episodic": lambda task: task.episodic.record("it was so", ttl=LONG),
}


@pytest.mark.parametrize("way", WAYS)
async def test_a_context_outlasts_the_ttl_of_an_entry(task: Any, way: str) -> None:
    await WAYS[way](task)
    assert LONG < await left(task) < LONG + 10
    await task.set("later", 1)
    assert LONG - 10 < await left(task) < LONG + 10, "shortened by a later commit"


async def test_a_first_commit_with_a_ttl_makes_a_context_that_outlasts_it(shared: Any) -> None:
    task = shared.task("new", ttl=IDLE)
    await task.set("a", 1, ttl=LONG)
    assert LONG < await left(task) < LONG + 10


async def test_other_settings_shorten_nothing(task: Any, shared: Any) -> None:
    await task.set("a", 1, ttl=LONG)
    await shared.task("t", ttl=2 * IDLE, keep_commits=100).set("b", 1)
    assert LONG - 10 < await left(task) < LONG + 10
    assert (await task.info()).ttl.total_seconds() == 2 * IDLE


@pytest.mark.parametrize("ttl", [2 * LONG, None], ids=["lived for longer", "was kept"])
async def test_a_context_that_gets_a_shorter_ttl_still_outlasts_its_entries(shared: Any, ttl: float | None) -> None:
    await shared.task("t", ttl=ttl).set("a", 1, ttl=LONG)
    await shared.task("t", ttl=IDLE).set("b", 1)
    assert LONG < await left(shared.task("t")) < LONG + 10


async def test_a_shorter_ttl_changes_nothing(task: Any) -> None:
    await task.set("a", 1, ttl=1)
    assert await left(task) < IDLE + 2


async def test_a_context_that_is_kept_stays_so(shared: Any) -> None:
    task = shared.task("kept", ttl=None)
    await task.set("a", 1, ttl=LONG)
    assert (await _page(task)).deadline == 0


async def test_what_recipes_write_for_themselves_lengthens_nothing(task: Any) -> None:
    async with task.claim("a", ttl=LONG), task.join(ttl=LONG), task.inbox("r", lease=LONG) as inbox:
        await task.once("key", lambda: 1, keep=LONG)
        await task.send("r", 1, ttl=LONG)
        await inbox.receive(timeout=10)
        await task.barrier("b", parties=1, ttl=LONG)
        assert await left(task) < IDLE + 2


async def test_a_context_is_gone_when_what_it_outlasted_has_expired(shared: Any) -> None:
    task = shared.task("short", ttl=0.2)
    async with task.watch("a") as changes:
        await task.set("a", 1, ttl=1.0)
        assert (await changes.receive(timeout=10)).op == "set"
        assert (await changes.receive(timeout=10)).op == "expire"
        with pytest.raises(ccs.ContextGone):
            await changes.receive(timeout=10)
    await aeventually(lambda: _is_gone(task))


async def _is_gone(task: Any) -> bool:
    return bool(await task.revision() == 0)
