"""Writing, reading and the life of one context, method by method, in both colours on every kind of server.

G1 (all or nothing), G3 (fresh reads), G4 (compare-and-set), G8 (previous values), G11 (values keep their type),
G12 (who, when, at which revision).
"""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import IntEnum
from inspect import isawaitable
from typing import Any
from uuid import UUID

import msgpack
import pytest
from anyio import create_task_group, to_thread
from pydantic import BaseModel, ValidationError

import ccs
import ccs.aio
from tests.support.colours import Awaited, awaited
from tests.support.waiting import aeventually

Open = Callable[..., Awaitable[Any]]


@pytest.fixture(params=["aio", "blocking"])
async def open_store(request: pytest.FixtureRequest, target: str, namespace: str) -> AsyncIterator[Open]:
    """Opens stores of either colour on the server at hand; both are awaited."""
    async with AsyncExitStack() as stack:

        async def open_one(agent: str = "test", **options: Any) -> Any:
            face: Any = ccs.aio if request.param == "aio" else ccs
            store = face.connect(target, agent=agent, namespace=namespace, **options)
            return await stack.enter_async_context(store if face is ccs.aio else awaited(store))

        yield open_one


@pytest.fixture
async def shared(open_store: Open) -> Any:
    return await open_store()


@pytest.fixture
async def task(shared: Any) -> Any:
    return shared.task("t")


async def stored(task: Any, path: str) -> bytes:
    """The bytes of a value as they lie in the server, without the header."""
    place, command = task.place, ("HGET", task.place.keys.entries, path)
    if isinstance(task, Awaited):
        raw = await to_thread.run_sync(place.connection.run, *command)
    else:
        raw = await place.connection.run(*command)
    *_, length, rest = raw.split(b" ", 6)
    return bytes(rest[int(length) :])


async def put(task: Any, path: str, raw: bytes) -> None:
    """Stores a value whose bytes another program might have written."""
    place = task.place
    from ccs._core.commit import set_op

    commit = [set_op(path, raw)], [], len(raw)
    if isinstance(task, Awaited):
        await to_thread.run_sync(place.commit, *commit)
    else:
        await place.commit(*commit)


async def unchanged(task: Any, attempt: Any, error: type[Exception]) -> Any:
    """Awaits what must fail with that error, and that nothing was written; the error."""
    before = await task.snapshot("**", "@*/**"), await task.revision(), await task.history()
    with pytest.raises(error) as caught:
        await attempt
    assert (await task.snapshot("**", "@*/**"), await task.revision(), await task.history()) == before
    return caught.value


# Set, create, delete: G1, G4, G12.


async def test_a_set_tells_all_about_the_entry_that_it_wrote(task: Any) -> None:
    started = datetime.now(UTC)
    first = await task.set("a/b", {"x": 1})
    second = await task.set("a/b", None)
    assert (first.path, first.value, first.version, first.agent, first.expires_at) == ("a/b", {"x": 1}, 1, "test", None)
    assert (second.value, second.version) == (None, 2)
    assert task.last_revision == second.revision > first.revision
    assert first.created_at == first.updated_at == second.created_at
    assert second.updated_at > first.updated_at
    assert first.created_at.utcoffset() == timedelta(0)
    assert abs(first.created_at - started) < timedelta(seconds=60)
    assert await task.entry("a/b") == second
    assert await task.revision() == second.revision


async def test_versions_restart_when_a_path_is_created_again_but_revisions_never_come_back(task: Any) -> None:
    """G4."""
    seen = [await task.set("a", 1), await task.set("a", 2)]
    assert await task.delete("a")
    seen.append(await task.set("a", 3))
    assert [entry.version for entry in seen] == [1, 2, 1]
    revisions = [entry.revision for entry in seen]
    assert revisions == sorted(set(revisions))
    assert seen[2].created_at > seen[1].created_at


async def test_a_ttl_is_a_deadline_and_a_set_without_one_clears_it(task: Any) -> None:
    entry = await task.set("a", 1, ttl=60)
    assert entry.expires_at is not None
    assert abs(entry.expires_at - entry.updated_at - timedelta(seconds=60)) < timedelta(milliseconds=2)
    assert (await task.entry("a")) == entry
    assert (await task.set("a", 2, ttl=timedelta(hours=1))).expires_at > entry.expires_at
    assert (await task.set("a", 3)).expires_at is None
    assert (await task.entry("a")).expires_at is None


@pytest.mark.parametrize("ttl", [0, -1, "1", True, float("nan"), float("inf"), timedelta(0)])
async def test_a_ttl_that_is_no_duration_is_refused(task: Any, ttl: Any) -> None:
    await unchanged(task, task.set("a", 1, ttl=ttl), ccs.InvalidValue)
    await unchanged(task, task.set_many({"a": 1}, ttl=ttl), ccs.InvalidValue)
    await unchanged(task, task.update("a", lambda value: 1, ttl=ttl), ccs.InvalidValue)
    await unchanged(task, task.renew("a", ttl), ccs.InvalidValue)


async def test_a_guard_that_holds_lets_the_write_pass(task: Any) -> None:
    """G4."""
    entry = await task.set("a", 1, if_version=0, if_revision=0)
    entry = await task.set("a", 2, if_version=1, if_revision=entry.revision)
    entry = await task.set("a", 3, if_version=2)
    entry = await task.set("a", 4, if_revision=entry.revision)
    assert await task.delete("a", if_version=4, if_revision=entry.revision)
    assert not await task.delete("a", if_version=0)
    assert (await task.create("a", 5)).version == 1


@pytest.mark.parametrize("guard", ["if_version", "if_revision"])
async def test_a_guard_that_does_not_hold_is_a_conflict_that_tells_who_was_first(open_store: Open, guard: str) -> None:
    """G4: the loser learns version, revision and agent; nothing of its commit is applied."""
    other, mine = (await open_store("other agent")).task("t"), (await open_store("me")).task("t")
    await other.set("a", 1)
    entry = await other.set("a", 2, ttl=60)
    for wanted in (0, 1, entry.revision + 1):
        for attempt in (mine.set("a", 3, **{guard: wanted}), mine.delete("a", **{guard: wanted})):
            conflict = await unchanged(mine, attempt, ccs.Conflict)
            assert (conflict.path, conflict.expected) == ("a", wanted)
            assert (conflict.version, conflict.revision, conflict.agent) == (2, entry.revision, "other agent")
    conflict = await unchanged(mine, mine.create("a", 3), ccs.Conflict)
    assert (conflict.expected, conflict.version) == (0, 2)


@pytest.mark.parametrize("guard", ["if_version", "if_revision"])
async def test_a_conflict_about_what_is_missing_names_nobody(task: Any, guard: str) -> None:
    await task.set("other", 1)
    for attempt in (task.set("a", 1, **{guard: 7}), task.delete("a", **{guard: 7})):
        conflict = await unchanged(task, attempt, ccs.Conflict)
        assert (conflict.path, conflict.expected, conflict.version, conflict.revision) == ("a", 7, 0, 0)
        assert conflict.agent is None


@pytest.mark.parametrize("guard", [-1, True, "1", 1.0])
async def test_a_guard_that_is_no_count_is_refused(task: Any, guard: Any) -> None:
    await unchanged(task, task.set("a", 1, if_version=guard), ccs.InvalidValue)
    await unchanged(task, task.set("a", 1, if_revision=guard), ccs.InvalidValue)
    await unchanged(task, task.delete("a", if_version=guard), ccs.InvalidValue)


async def test_a_guard_that_fails_in_a_context_that_does_not_exist_does_not_create_it(shared: Any) -> None:
    task = shared.task("never")
    with pytest.raises(ccs.Conflict):
        await task.set("a", 1, if_version=1)
    assert not await task.delete("a")
    assert not await task.renew("a", 60)
    await task.drop()
    assert await task.revision() == 0
    assert await shared.contexts() == []
    assert await task.history() == []


async def test_a_delete_tells_whether_there_was_something(task: Any) -> None:
    await task.set("a", None)
    assert await task.delete("a") is True
    before = await task.revision()
    assert await task.delete("a") is False
    assert await task.revision() == before


async def test_an_entry_past_its_deadline_counts_as_missing_for_whoever_writes(task: Any) -> None:
    """G9."""
    old = await task.set("a", 1, ttl=0.05)
    await aeventually(lambda: _gone(task, "a"))
    entry = await task.create("a", 2)
    assert entry.version == 1
    changes = await task.history("a")
    assert [(change.op, change.previous, change.created) for change in changes] == [
        ("set", None, True),
        ("expire", 1, False),
        ("set", None, True),
    ]
    assert (changes[1].value, changes[1].version, changes[1].agent) == (None, old.version, "test")
    assert old.revision < changes[1].revision < entry.revision


async def _gone(task: Any, path: str) -> bool:
    return not await task.exists(path)


# What cannot be written: G1, G11.


WRITES: dict[str, Callable[[Any, str], Any]] = {
    "set": lambda task, path: task.set(path, 1),
    "create": lambda task, path: task.create(path, 1),
    "delete": lambda task, path: task.delete(path),
    "set_many": lambda task, path: task.set_many({"fine": 1, path: 2}),
    "update": lambda task, path: task.update(path, lambda value: 1),
    "merge": lambda task, path: task.merge(path, {}),
    "increment": lambda task, path: task.increment(path),
    "append": lambda task, path: task.append(path, 1),
    "renew": lambda task, path: task.renew(path, 60),
}


@pytest.mark.parametrize("name", WRITES)
async def test_no_write_reaches_what_belongs_to_the_system_or_is_no_path(task: Any, name: str) -> None:
    await task.set("a", 1)
    await unchanged(task, WRITES[name](task, "@claims/a"), ccs.ReservedPath)
    for path in ("/a", "a//b", "a/", "", ".", "a/../b", "x" * 1025):
        await unchanged(task, WRITES[name](task, path), ccs.InvalidPath)


NAIVE = datetime(2020, 1, 1)  # noqa: DTZ001 - it is refused


@pytest.mark.parametrize("value", [object(), NAIVE, {(1, 2): 3}, {"deep": [1, {"er": object()}]}, "\ud800"])
async def test_what_cannot_be_stored_is_refused_and_nothing_is_written(task: Any, value: Any) -> None:
    """G11."""
    await task.set("list", [1])
    await task.set("map", {"a": 1})
    for attempt in (
        task.set("a", value),
        task.set_many({"fine": 1, "a": value}),
        task.update("a", lambda old: value),
        task.merge("map", {"a": value}),
        task.append("list", 1, value),
        task.append("list", value, max_items=1),
    ):
        assert isinstance(await unchanged(task, attempt, ccs.EncodingError), TypeError)


async def test_a_value_over_the_limit_of_the_store_is_refused(open_store: Open) -> None:
    task = (await open_store(max_value_bytes=100)).task("t")
    await task.set("list", ["x" * 90])
    await task.set("map", {"a": "x" * 90})
    long = "x" * 99
    for attempt in (
        task.set("a", long),
        task.set_many({"fine": 1, "a": long}),
        task.update("a", lambda old: long),
        task.merge("map", {"b": "x" * 20}),
        task.append("list", "x" * 20),
        task.append("list", "x" * 20, max_items=5),
        task.append("new", *["x" * 20] * 5),
        task.finish(long),
    ):
        error = await unchanged(task, attempt, ccs.ValueTooLarge)
        assert error.limit == 100
        assert error.size > 100
    assert (await task.set("a", "x" * 98)).version == 1
    assert (await task.append("list", "x" * 5)).value == ["x" * 90, "x" * 5]


async def test_a_commit_over_16_mib_is_refused_previous_values_included(open_store: Open) -> None:
    """G1."""
    task, mib = (await open_store(max_value_bytes=32 * 2**20)).task("t"), 2**20
    await task.set("a", b"x" * (9 * mib))
    revision = await task.revision()
    for attempt in (
        task.set("b", b"x" * (17 * mib)),
        task.set("a", b"y" * (9 * mib)),
        task.set_many({"b": b"x" * (8 * mib), "c": b"x" * (9 * mib)}),
        task.append("b", b"x" * (17 * mib)),
    ):
        with pytest.raises(ccs.ValueTooLarge) as caught:
            await attempt
        assert caught.value.size > caught.value.limit == 16 * mib
    assert await task.paths() == ["a"]
    assert await task.revision() == revision
    assert (await task.set("b", b"x" * (15 * mib))).version == 1
    assert await task.delete("a")
    assert [change.op for change in await task.history()] in (["delete"], ["set", "delete"])


# Update and merge.


async def test_an_update_replaces_what_it_read(task: Any) -> None:
    assert (await task.update("a", lambda value: value)).value is None
    assert (await task.update("b", lambda value: [*value, 1], default=[0])).value == [0, 1]
    entry = await task.update("b", lambda value: [*value, 2], default="not used")
    assert (entry.value, entry.version) == ([0, 1, 2], 2)
    assert await task.get("b") == [0, 1, 2]


async def test_an_update_does_not_spoil_the_default_of_its_caller(task: Any) -> None:
    default: dict[str, int] = {}

    def mark(value: dict[str, int]) -> dict[str, int]:
        value["seen"] = 1
        return value

    await task.update("a", mark, default=default)
    assert default == {}


async def test_an_update_keeps_the_deadline_unless_it_is_given_one(task: Any) -> None:
    entry = await task.set("a", 1, ttl=60)
    assert (await task.update("a", lambda value: 2)).expires_at == entry.expires_at
    assert (await task.update("a", lambda value: 3, ttl=600)).expires_at > entry.expires_at
    assert (await task.update("new", lambda value: 1)).expires_at is None


async def test_updates_that_race_all_count(task: Any) -> None:
    """G4."""
    async with create_task_group() as group:
        for _ in range(20):
            group.start_soon(lambda: task.update("a", lambda value: value + 1, default=0))
    assert (await task.entry("a")).value == 20
    assert [change.value for change in await task.history("a")] == list(range(1, 21))


async def test_an_error_in_an_update_writes_nothing(task: Any) -> None:
    await task.set("a", 1)
    await unchanged(task, task.update("a", lambda value: 1 / 0), ZeroDivisionError)


RFC_7396 = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]
"""The examples of its appendix A whose target and patch are maps."""


@pytest.mark.parametrize(("target_value", "patch", "merged"), RFC_7396)
async def test_a_merge_does_what_rfc_7396_says(task: Any, target_value: Any, patch: Any, merged: Any) -> None:
    await task.set("a", target_value)
    entry = await task.merge("a", patch)
    assert (entry.value, await task.get("a"), entry.version) == (merged, merged, 2)


async def test_a_merge_creates_what_is_missing_and_keeps_the_deadline(task: Any) -> None:
    assert (await task.merge("new", {"a": {"b": None}})).value == {"a": {}}
    entry = await task.set("a", {"x": 1}, ttl=60)
    assert (await task.merge("a", {"y": 2})).expires_at == entry.expires_at


async def test_merges_that_race_all_count(task: Any) -> None:
    """G4."""
    async with create_task_group() as group:
        for i in range(20):
            group.start_soon(task.merge, "a", {str(i): {"by": i}})
    assert await task.get("a") == {str(i): {"by": i} for i in range(20)}


@pytest.mark.parametrize("value", [[1], "text", None, 1, True])
async def test_a_merge_of_what_is_no_map_is_refused(task: Any, value: Any) -> None:
    await task.set("a", value)
    await unchanged(task, task.merge("a", {"x": 1}), ccs.InvalidValue)
    await unchanged(task, task.merge("new", value), ccs.InvalidValue)


# Increment.


@pytest.mark.parametrize(
    ("before", "by", "after"),
    [
        (None, 1, 1),
        (None, -5, -5),
        (None, 0.5, 0.5),
        (1, 0, 1),
        (1, -2, -1),
        (2**53 - 2, 1, 2**53 - 1),
        (2**53 - 1, 1, 2**53),
        (2**53, 1, 2**53 + 1),
        (2**53 + 1, -2, 2**53 - 1),
        (-(2**53) + 1, -1, -(2**53)),
        (-(2**53), -1, -(2**53) - 1),
        (0, 2**53, 2**53),
        (0, 2**64, 2**64),
        (2**63 - 1, 1, 2**63),
        (2**64 - 1, 1, 2**64),
        (-(2**63), -1, -(2**63) - 1),
        (2**200, 1, 2**200 + 1),
        (1.5, 1, 2.5),
        (1, 1.5, 2.5),
        (0.5, 0.5, 1.0),
        (1.0, 1, 2.0),
        (-0.5, -0.25, -0.75),
    ],
)
async def test_an_increment_adds(task: Any, before: Any, by: Any, after: Any) -> None:
    """G11: what comes out is of the type that Python's own addition gives."""
    if before is not None:
        await task.set("n", before)
    result = await task.increment("n", by)
    assert (type(result), result) == (type(after), after)
    value = await task.get("n")
    assert (type(value), value) == (type(after), after)
    assert await stored(task, "n") == ccs_packed(after)


def ccs_packed(value: Any) -> bytes:
    from ccs._core.codec import encode

    return encode(value)


async def test_an_increment_leaves_the_bytes_that_msgpack_would(task: Any) -> None:
    """G11: at every border between two encodings, in both directions."""
    powers = [sign * 2**power for power in (5, 7, 8, 15, 16, 31, 32, 47, 48, 52) for sign in (1, -1)]
    edges = sorted({edge + step for edge in [0, *powers] for step in (-2, -1, 0, 1)})
    await task.set("n", edges[0])
    for before, after in itertools.chain(itertools.pairwise(edges), itertools.pairwise(reversed(edges))):
        assert await task.increment("n", after - before) == after
        assert await stored(task, "n") == msgpack.packb(after)
    for edge in edges:
        assert await task.increment(f"new/{edge}", edge) == edge
        assert await stored(task, f"new/{edge}") == msgpack.packb(edge)


@pytest.mark.parametrize(
    ("raw", "value"),
    [
        (b"\xcc\x01", 1),
        (b"\xcf" + bytes(7) + b"\x07", 7),
        (b"\xd3" + b"\xff" * 8, -1),
        (b"\xd1\x00\x05", 5),
        (b"\xd2\x80\x00\x00\x00", -(2**31)),
        (b"\xd3\x80" + bytes(7), -(2**63)),
        (b"\xca\x3f\x80\x00\x00", 1.0),
    ],
)
async def test_an_increment_reads_what_other_programs_packed_less_tightly(task: Any, raw: bytes, value: Any) -> None:
    await put(task, "n", raw)
    assert await task.increment("n") == value + 1
    assert await stored(task, "n") == msgpack.packb(value + 1) or value < -(2**62)


class Few(IntEnum):
    ONE = 1


async def test_an_increment_takes_what_is_a_number(task: Any) -> None:
    assert await task.increment("n", Few.ONE) == 1
    assert await task.get("n") == 1


async def test_an_increment_of_nothing_but_a_number_is_refused(task: Any) -> None:
    for value in ("1", None, True, [1], {"a": 1}, b"1", Decimal(1)):
        await task.set("a", value)
        await unchanged(task, task.increment("a"), ccs.InvalidValue)
        await unchanged(task, task.increment("a", 0.5), ccs.InvalidValue)
    await task.set("a", 1)
    for by in (True, "1", None, Decimal(1)):
        await unchanged(task, task.increment("a", by), ccs.InvalidValue)


async def test_an_increment_past_what_a_float_holds_is_refused(task: Any) -> None:
    await task.set("a", 10**400)
    await unchanged(task, task.increment("a", 0.5), ccs.InvalidValue)


async def test_an_increment_keeps_the_deadline(task: Any) -> None:
    entry = await task.set("a", 1, ttl=60)
    assert await task.increment("a") == 2
    assert await task.increment("a", 0.5) == 2.5
    found = await task.entry("a")
    assert (found.expires_at, found.version) == (entry.expires_at, 3)


async def test_increments_that_race_all_count(task: Any) -> None:
    await task.set("big", 2**53 - 10)
    async with create_task_group() as group:
        for path in ("n", "big") * 20:
            group.start_soon(task.increment, path)
    assert (await task.get("n"), await task.get("big")) == (20, 2**53 + 10)


# Append.


async def test_an_append_adds_to_the_end(task: Any) -> None:
    first = await task.append("a", 1, "two", None)
    second = await task.append("a", [3], {"x": {4}})
    assert (first.value, first.version) == ([1, "two", None], 1)
    assert (second.value, second.version) == ([1, "two", None, [3], {"x": {4}}], 2)
    assert await task.entry("a") == second
    assert (await task.append("empty")).value == []


async def test_an_append_keeps_the_newest_where_there_is_a_bound(task: Any) -> None:
    assert (await task.append("a", 1, 2, 3, max_items=2)).value == [2, 3]
    assert (await task.append("a", 4, max_items=3)).value == [2, 3, 4]
    assert (await task.append("a", 5, max_items=1)).value == [5]
    for most in (0, -1, True, 1.5):
        await unchanged(task, task.append("a", 6, max_items=most), ccs.InvalidValue)


async def test_an_append_keeps_the_deadline(task: Any) -> None:
    entry = await task.set("a", [], ttl=60)
    assert (await task.append("a", 1)).expires_at == entry.expires_at
    assert (await task.append("a", 1, max_items=1)).expires_at == entry.expires_at


@pytest.mark.parametrize("value", [1, None, "text", {"a": 1}, b"bytes", {1, 2}])
async def test_an_append_to_what_is_no_list_is_refused(task: Any, value: Any) -> None:
    await task.set("a", value)
    await unchanged(task, task.append("a", 1), ccs.InvalidValue)
    await unchanged(task, task.append("a", 1, max_items=5), ccs.InvalidValue)


@pytest.mark.parametrize("length", [0, 14, 15, 16, 65_534, 65_535, 65_536])
async def test_an_append_leaves_the_bytes_that_msgpack_would(task: Any, length: int) -> None:
    await task.set("a", [7] * length)
    for count in (1, 2):
        entry = await task.append("a", *[8] * count)
    assert entry.value == [7] * length + [8] * 3
    assert await stored(task, "a") == msgpack.packb(entry.value)


async def test_appends_that_race_all_count_and_each_tells_the_list_as_it_left_it(task: Any) -> None:
    values = []

    async def append(i: int) -> None:
        values.append((await task.append("a", i)).value)

    async with create_task_group() as group:
        for i in range(20):
            group.start_soon(append, i)
    values.sort(key=len)
    assert [len(value) for value in values] == list(range(1, 21))
    assert all(longer[:-1] == shorter for shorter, longer in itertools.pairwise(values))
    assert await task.get("a") == values[-1]


# Several at once.


async def test_set_many_is_one_commit(task: Any) -> None:
    """G1."""
    revision = await task.set_many({"b": 1, "a": [2]}, ttl=60)
    snapshot = await task.snapshot()
    assert {path: entry.value for path, entry in snapshot.items()} == {"a": [2], "b": 1}
    assert {entry.revision for entry in snapshot.values()} == {revision} == {snapshot.revision}
    assert all(entry.expires_at for entry in snapshot.values())
    assert [(change.path, change.revision) for change in await task.history()] == [("b", revision), ("a", revision)]
    assert await task.set_many({}) == revision


async def test_delete_matching_is_one_commit(task: Any) -> None:
    """G1."""
    await task.set_many({"a/1": 1, "a/2": 2, "a/2/x": 3, "b": 4})
    assert await task.delete_matching("a/*", "c") == 2
    changes = (await task.history())[4:]
    assert {(change.path, change.op, change.previous) for change in changes} == {
        ("a/1", "delete", 1),
        ("a/2", "delete", 2),
    }
    assert len({change.revision for change in changes}) == 1
    assert await task.paths() == ["a/2/x", "b"]
    revision = await task.revision()
    assert await task.delete_matching("nothing/**") == 0
    assert await task.revision() == revision
    assert await task.delete_matching() == 2
    assert await task.paths() == []


async def test_renew_moves_a_deadline_without_a_revision_or_an_event(task: Any) -> None:
    entry = await task.set("a", 1, ttl=60)
    history = await task.history()
    assert await task.renew("a", 600) is True
    later = await task.entry("a")
    assert later == replace(entry, expires_at=later.expires_at)
    assert later.expires_at > entry.expires_at
    assert await task.renew("a", None) is True
    assert await task.entry("a") == replace(entry, expires_at=None)
    assert await task.renew("missing", 60) is False
    assert (await task.history(), await task.revision()) == (history, entry.revision)
    assert (await task.set("a", 2, if_revision=entry.revision)).version == 2


# Transactions: G1, G4.


async def test_a_transaction_writes_all_at_once(task: Any) -> None:
    await task.set("gone", 1)
    async with task.transaction() as tx:
        tx.set("a", 1)
        tx.set("b", 2, ttl=60)
        tx.delete("gone")
        tx.delete("never there")
        assert await task.paths() == ["gone"]
    snapshot = await task.snapshot()
    assert {path: entry.value for path, entry in snapshot.items()} == {"a": 1, "b": 2}
    assert {entry.revision for entry in snapshot.values()} == {tx.revision}
    assert snapshot["b"].expires_at
    changes = await task.history(since=(await task.history())[0].revision)
    assert [(change.path, change.op) for change in changes] == [("a", "set"), ("b", "set"), ("gone", "delete")]


async def test_a_transaction_sees_its_own_writes(task: Any) -> None:
    await task.set_many({"a": 1, "b": 2})
    async with task.transaction() as tx:
        assert await tx.get("a") == 1
        tx.set("a", [10])
        tx.set("new", 11, ttl=60)
        tx.delete("b")
        assert await tx.get("a") == [10]
        assert (await tx.entry("a")).value == [10]
        assert (await tx.entry("a")).version == 2
        assert ((await tx.entry("new")).value, (await tx.entry("new")).version) == (11, 1)
        assert (await tx.entry("new")).expires_at is not None
        assert await tx.get("b", "nothing") == "nothing"
        assert await tx.entry("b") is None
        assert (await tx.exists("a"), await tx.exists("new"), await tx.exists("b")) == (True, True, False)
        assert await tx.get("a", type=list[int]) == [10]
        (await tx.get("a")).append("not shared")
    assert await task.get("a") == [10]


@pytest.mark.parametrize("read", ["get", "entry", "exists"])
@pytest.mark.parametrize("present", [True, False])
async def test_a_transaction_guards_what_it_read_also_what_was_missing(task: Any, read: str, present: bool) -> None:
    """G4."""
    if present:
        await task.set("read", 1)

    async def lose() -> None:
        async with task.transaction() as tx:
            await getattr(tx, read)("read")
            tx.set("written", 1)
            await task.set("read", 2)

    with pytest.raises(ccs.Conflict) as caught:
        await lose()
    assert (caught.value.path, caught.value.revision) == ("read", await task.revision())
    assert not await task.exists("written")


async def test_delete_and_recreate_is_a_conflict_for_a_transaction(task: Any) -> None:
    """G4: the version is the same, the revision is not."""

    async def lose() -> None:
        async with task.transaction() as tx:
            assert (await tx.entry("a")).version == 1
            tx.set("b", 1)
            await task.delete("a")
            assert (await task.set("a", 1)).version == 1

    await task.set("a", 1)
    with pytest.raises(ccs.Conflict):
        await lose()
    assert not await task.exists("b")


async def test_a_transaction_that_only_reads_is_checked_too_and_commits_nothing(task: Any) -> None:

    async def lose() -> None:
        async with task.transaction() as tx:
            await tx.get("a")
            await task.set("a", 2)

    entry = await task.set("a", 1)
    async with task.transaction() as tx:
        assert await tx.get("a") == 1
    assert (tx.revision, await task.revision()) == (0, entry.revision)
    with pytest.raises(ccs.Conflict):
        await lose()


async def test_an_exception_in_a_transaction_writes_nothing(task: Any) -> None:
    async def fail() -> None:
        async with task.transaction() as tx:
            tx.set("a", 1)
            raise ZeroDivisionError

    await task.set("b", 1)
    await unchanged(task, fail(), ZeroDivisionError)


async def test_a_transaction_that_does_nothing_is_no_commit(task: Any) -> None:
    async with task.transaction():
        pass
    assert await task.revision() == 0


async def test_what_a_transaction_may_not_write_is_refused_at_once(task: Any) -> None:
    async with task.transaction() as tx:
        with pytest.raises(ccs.ReservedPath):
            tx.set("@claims/a", 1)
        with pytest.raises(ccs.ReservedPath):
            tx.delete("@claims/a")
        with pytest.raises(ccs.InvalidPath):
            tx.set("/a", 1)
        with pytest.raises(ccs.EncodingError):
            tx.set("a", object())
        with pytest.raises(ccs.InvalidValue):
            tx.set("a", 1, ttl=0)
    assert await task.revision() == 0
    for late in (lambda: tx.set("a", 1), lambda: tx.delete("a")):
        with pytest.raises(ccs.InvalidValue):
            late()
    with pytest.raises(ccs.InvalidValue):
        await tx.get("a")


async def test_transact_tries_again_until_it_wins(task: Any) -> None:
    calls = []

    async def add(tx: Any) -> str:
        calls.append(value := await tx.get("n", 0))
        if len(calls) < 3:
            await task.set("n", value + 100)
        tx.set("n", value + 1)
        return f"from {value}"

    assert await task.transact(add) == "from 200"
    assert (calls, await task.get("n")) == ([0, 100, 200], 201)


async def test_transact_gives_up_after_its_attempts(task: Any) -> None:
    calls = []

    async def lose(tx: Any) -> None:
        calls.append(await tx.get("n", 0))
        await task.set("n", calls[-1] + 1)
        tx.set("lost", 1)

    with pytest.raises(ccs.Conflict):
        await task.transact(lose, attempts=2)
    assert calls == [0, 1]
    assert not await task.exists("lost")
    for attempts in (0, -1, True, 1.5):
        with pytest.raises(ccs.InvalidValue):
            await task.transact(lose, attempts=attempts)


# Reading: G3, G11.


class Source(BaseModel):
    name: str
    rank: int = 0


@dataclass
class Point:
    x: int
    y: int


async def test_none_is_not_missing(task: Any) -> None:
    """G11."""
    await task.set("none", None)
    assert await task.get("none", "default") is None
    assert await task.get("missing", "default") == "default"
    assert (await task.exists("none"), await task.exists("missing")) == (True, False)
    assert (await task.entry("none")).value is None
    assert await task.entry("missing") is None
    assert await task.get_many(["none", "missing"]) == {"none": None}


@pytest.mark.parametrize(
    "value",
    [
        "",
        "123",
        b"\x00",
        2**70,
        -(2**70),
        0.1,
        True,
        datetime(2024, 2, 29, 12, tzinfo=UTC),
        {"a": [{"b": {1: None}}]},
        {1: "a", None: "b", b"x": 1.5},
        UUID(int=1),
        Decimal("1.10"),
        {1, "a"},
        [[[]]],
    ],
)
async def test_what_goes_in_comes_out(task: Any, value: Any) -> None:
    """G11."""
    entry = await task.set("a", value)
    for found in (entry.value, await task.get("a"), (await task.history())[0].value):
        assert (type(found), found) == (type(value), value)


async def test_a_type_is_what_pydantic_makes_of_the_value(task: Any) -> None:
    await task.set("one", Source(name="a", rank=2))
    await task.set("many", [Source(name="a"), {"name": "b"}])
    await task.set("point", Point(1, 2))
    assert await task.get("one") == {"name": "a", "rank": 2}
    assert await task.get("one", type=Source) == Source(name="a", rank=2)
    assert await task.get("many", type=list[Source]) == [Source(name="a"), Source(name="b")]
    assert (await task.entry("one", type=Source)).value == Source(name="a", rank=2)
    assert await task.get_many(["one", "missing"], type=Source) == {"one": Source(name="a", rank=2)}
    assert await task.get("point", type=Point) == Point(1, 2)
    assert await task.get("missing", type=Source) is None


async def test_a_type_that_does_not_fit_is_an_error_with_its_cause(task: Any) -> None:
    await task.set("a", {"name": 1})
    for attempt in (task.get("a", type=Source), task.entry("a", type=Source), task.get_many(["a"], type=Source)):
        with pytest.raises(ccs.InvalidValue) as caught:
            await attempt
        assert isinstance(caught.value.__cause__, ValidationError)


async def test_paths_and_snapshots_are_in_the_order_of_paths(task: Any) -> None:
    names = ["b", "a/b/c", "a", "a-b", "a/b", "é", "z", "Ω", "🙂", "\uffff"]
    revision = await task.set_many({name: name for name in names})
    assert await task.paths() == sorted(names)
    assert await task.paths("a/*", "z", "a/**") == ["a/b", "a/b/c", "z"]
    snapshot = await task.snapshot()
    assert isinstance(snapshot, Mapping)
    assert (list(snapshot), len(snapshot), snapshot.revision) == (sorted(names), len(names), revision)
    assert snapshot["a/b"] == await task.entry("a/b")
    assert "nothing" not in snapshot
    assert list(await task.snapshot("a/**")) == ["a/b", "a/b/c"]


async def test_an_empty_context_reads_as_empty(task: Any) -> None:
    assert (await task.paths(), await task.tree(), await task.revision(), await task.history()) == ([], {}, 0, [])
    snapshot = await task.snapshot()
    assert (dict(snapshot), snapshot.revision) == ({}, 0)
    assert [entry async for entry in task.scan()] == []
    assert await task.get_many([]) == {}
    info = await task.info()
    assert (info.revision, info.entries, info.created_at, info.ttl, info.finished) == (0, 0, None, None, False)


async def test_a_tree_nests_the_values(task: Any) -> None:
    await task.set_many({"a": 1, "a/b": 2, "a/c/d": 3, "ab": 4, "e/f": {"g": 5}, "x*": 6, "x*/y": 7})
    assert await task.tree() == {
        "a": {"": 1, "b": 2, "c": {"d": 3}},
        "ab": 4,
        "e": {"f": {"g": 5}},
        "x*": {"": 6, "y": 7},
    }
    assert await task.tree("a") == {"": 1, "b": 2, "c": {"d": 3}}
    assert await task.tree("a/c") == {"d": 3}
    assert await task.tree("ab") == {"": 4}
    assert await task.tree("x*") == {"": 6, "y": 7}
    assert await task.tree("nothing") == {}


async def test_a_scan_pages_through_what_is_there(task: Any) -> None:
    names = [f"a/{i:03}" for i in range(35)] + ["b", "c/x"]
    await task.set_many(dict.fromkeys(names, 1))
    for page in (1, 7, 35, 37, 38, 1000):
        assert [entry.path async for entry in task.scan(page=page)] == names
    assert [entry.path async for entry in task.scan("a/01?", "b", page=3)] == [*names[10:20], "b"]
    found = [entry.path async for entry in task.scan("a/**", "a/003", "**", page=4)]
    assert found == names
    for page in (0, -1, True, 1.5):
        with pytest.raises(ccs.InvalidValue):
            [entry async for entry in task.scan(page=page)]


async def test_a_scan_sees_once_what_stays_while_others_write(task: Any) -> None:
    names = [f"a/{i:03}" for i in range(40)]
    await task.set_many(dict.fromkeys(names, 1))
    found = []
    async for entry in task.scan("a/**", page=10):
        found.append(entry.path)
        if len(found) == 5:
            await task.delete("a/002")
            await task.delete("a/009")
            await task.delete("a/020")
            await task.set("a/0000", 1)
            await task.set("a/015", 2)
            await task.set("a/0155", 1)
    assert found == sorted(set(found))
    assert set(names) - set(found) <= {"a/020", "a/009"}
    assert set(names) - {"a/002", "a/009", "a/020"} <= set(found)


async def test_the_store_takes_absolute_paths(shared: Any) -> None:
    entry = await shared.set("/tasks/t/a/b", 1, ttl=60)
    assert entry.path == "a/b"
    assert await shared.get("/tasks/t/a/b") == await shared.task("t").get("a/b") == 1
    assert await shared.entry("/tasks/t/a/b") == entry
    with pytest.raises(ccs.Conflict):
        await shared.set("/tasks/t/a/b", 2, if_version=0)
    assert await shared.delete("/tasks/t/a/b", if_revision=entry.revision)
    assert await shared.get("/tasks/t/a/b", "none") == "none"
    await shared.set("/global/x", 1)
    assert await shared.global_context().get("x") == 1


# History: G2, G8, G12.


async def test_history_tells_every_change_with_what_was_before(open_store: Open) -> None:
    one, two = (await open_store("one")).task("t"), (await open_store("two")).task("t")
    await one.set("a", 1)
    await two.set("a", 2)
    await two.delete("a")
    await one.set("a", 3)
    changes = await two.history()
    assert [(c.op, c.value, c.previous, c.created, c.version, c.agent) for c in changes] == [
        ("set", 1, None, True, 1, "one"),
        ("set", 2, 1, False, 2, "two"),
        ("delete", None, 2, False, 2, "two"),
        ("set", 3, None, True, 1, "one"),
    ]
    assert {(c.context, c.path) for c in changes} == {("/tasks/t", "a")}
    assert [c.revision for c in changes] == sorted({c.revision for c in changes})
    assert all(c.at.tzinfo for c in changes)


async def test_history_is_bounded_by_what_is_asked_for(task: Any) -> None:
    revisions = [await task.set_many({"a": i, "b": i}) for i in range(5)]
    everything = await task.history()
    assert [(c.revision, c.path) for c in everything] == [(r, p) for r in revisions for p in "ab"]
    assert await task.history(since=0) == everything
    assert await task.history(newest_first=True) == everything[::-1]
    assert await task.history(since=revisions[1]) == everything[4:]
    assert await task.history(until=revisions[1]) == everything[:4]
    assert await task.history(since=revisions[0], until=revisions[2]) == everything[2:6]
    assert await task.history(since=revisions[0], until=revisions[2], newest_first=True) == everything[2:6][::-1]
    assert await task.history(limit=3) == everything[:3]
    assert await task.history(limit=3, newest_first=True) == everything[::-1][:3]
    assert await task.history("b", since=revisions[0], limit=2) == [everything[3], everything[5]]
    assert await task.history(limit=0) == []
    assert await task.history(since=revisions[4]) == []
    assert await task.history(since=revisions[3], until=revisions[1]) == []
    assert await task.history("nothing") == []
    for wrong in ({"since": -1}, {"until": "1"}, {"limit": True}):
        with pytest.raises(ccs.InvalidValue):
            await task.history(**wrong)


async def test_history_reads_page_after_page(task: Any) -> None:
    async with create_task_group() as group:
        for i in range(1_100):
            group.start_soon(task.set, f"a/{i}", i)
    changes = await task.history()
    assert len(changes) == 1_100
    assert await task.history(newest_first=True) == changes[::-1]
    assert await task.history(since=changes[99].revision) == changes[100:]
    assert await task.history(since=changes[99].revision, newest_first=True) == changes[100:][::-1]


@pytest.mark.parametrize(("bound", "size"), [({"keep_commits": 10}, 1), ({"keep_bytes": 3_000}, 250)])
async def test_history_is_bounded_and_says_where_it_was_compacted(shared: Any, bound: Any, size: int) -> None:
    task = shared.task("bounded", **bound)
    entries = [await task.set("a", str(i) * size) for i in range(40)]
    changes = await task.history()
    assert 1 <= len(changes) <= 12
    assert [c.revision for c in changes] == [entry.revision for entry in entries[-len(changes) :]]
    assert changes[0].previous is not None
    for since in (0, entries[0].revision, entries[-len(changes) - 2].revision):
        for newest_first in (False, True):
            with pytest.raises(ccs.HistoryCompacted) as caught:
                await task.history(since=since, newest_first=newest_first)
            assert (caught.value.since, caught.value.oldest) == (since, entries[-len(changes) - 1].revision)
    oldest = caught.value.oldest
    assert await task.history(since=oldest) == changes


@pytest.mark.parametrize("newest_first", [False, True])
async def test_history_that_is_trimmed_while_it_is_read_has_no_hole(
    aconnect: Any, monkeypatch: pytest.MonkeyPatch, newest_first: bool
) -> None:
    """With `since` it is all of it, or `HistoryCompacted`."""
    task, other = aconnect().task("t"), aconnect().task("t", keep_commits=2)
    first = await task.set("a", 0)
    for i in range(20):
        await task.set("a", i)
    connection, commands = task.place.connection, []
    run = connection.run

    async def run_slowly(*command: Any, **options: Any) -> Any:
        if len(commands) == 2:
            for i in range(5):
                await other.set("b", i)
        commands.append(command[0])
        return await run(*command, **options)

    monkeypatch.setattr("ccs.aio.history._PAGE", 5)
    monkeypatch.setattr(connection, "run", run_slowly)
    with pytest.raises(ccs.HistoryCompacted):
        await task.history(since=first.revision, newest_first=newest_first)
    assert len(commands) > 2
    assert len(await task.history(newest_first=newest_first)) <= 3


async def test_history_never_loses_the_newest_commit(shared: Any) -> None:
    task = shared.task("bounded", keep_commits=1, keep_bytes=1)
    for i in range(5):
        entry = await task.set("a", "x" * 1_000 + str(i))
        assert (await task.history())[-1].revision == entry.revision
    assert len(await task.history()) == 1


# Settings and the life of a context.


async def test_settings_that_are_not_given_stay_as_they_are(shared: Any) -> None:
    await shared.task("t", ttl=60, keep_commits=2).set("a", 1)
    await shared.task("t").set("a", 2)
    assert (await shared.task("t").info()).ttl == timedelta(seconds=60)
    for i in range(20):
        await shared.task("t").set("a", i)
    assert len(await shared.task("t").history()) <= 3
    await shared.task("t", keep_commits=100).set("a", 1)
    for i in range(20):
        await shared.task("t").set("a", i)
    assert len(await shared.task("t").history()) >= 20
    assert (await shared.task("t").info()).ttl == timedelta(seconds=60)
    await shared.task("t", ttl=None).set("a", 3)
    assert (await shared.task("t").info()).ttl is None
    await shared.task("t", ttl=timedelta(hours=2)).increment("n")
    assert (await shared.task("t").info()).ttl == timedelta(hours=2)


async def test_settings_of_a_write_that_is_refused_do_not_count(shared: Any) -> None:
    await shared.task("t", ttl=60).set("a", 1)
    with pytest.raises(ccs.Conflict):
        await shared.task("t", ttl=1).set("a", 2, if_version=0)
    await shared.task("t", ttl=1).get("a")
    assert (await shared.task("t").info()).ttl == timedelta(seconds=60)


async def test_each_kind_of_context_has_its_own_idle_ttl(shared: Any) -> None:
    contexts = shared.task("x"), shared.session("x"), shared.actor("x"), shared.global_context()
    for context in contexts:
        await context.set("a", 1)
    assert [(await context.info()).ttl for context in contexts] == [timedelta(days=1), timedelta(days=30), None, None]
    assert [info.address for info in await shared.contexts()] == ["/actors/x", "/global", "/sessions/x", "/tasks/x"]
    assert [info.address for info in await shared.contexts("/*/x")] == ["/actors/x", "/sessions/x", "/tasks/x"]
    assert await shared.contexts("/tasks/*") == [await contexts[0].info()]


async def test_an_idle_context_is_gone_whole_and_comes_back_new(shared: Any) -> None:
    """G10."""
    task = shared.task("brief", ttl=0.2)
    old = await task.set("a", 1)
    await aeventually(lambda: _ended(task))
    assert (await task.paths(), await task.history(), await shared.contexts()) == ([], [], [])
    entry = await task.set("b", 1)
    assert entry.version == 1
    assert entry.revision > old.revision
    assert await task.paths() == ["b"]
    assert (await task.info()).created_at == entry.created_at


async def _ended(task: Any) -> bool:
    return bool(await task.revision() == 0)


async def test_info_tells_about_the_whole(task: Any) -> None:
    first = await task.set("a", 1)
    last = await task.set("b", 2, ttl=60)
    info = await task.info()
    assert (info.address, info.revision, info.entries) == ("/tasks/t", last.revision, 2)
    assert (info.created_at, info.updated_at) == (first.created_at, last.updated_at)
    assert (info.ttl, info.finished, info.outcome) == (timedelta(days=1), False, None)
    await task.set("c", 3, ttl=0.05)
    await aeventually(lambda: _gone(task, "c"))
    assert (await task.info()).entries == 2


async def test_an_agent_can_be_named_for_each_context(shared: Any) -> None:
    """G12."""
    assert (await shared.task("t", agent="someone else").set("a", 1)).agent == "someone else"
    assert (await shared.task("t").set("a", 2)).agent == "test"
    assert [change.agent for change in await shared.task("t").history()] == ["someone else", "test"]


async def test_a_finished_context_refuses_every_write_but_can_be_read(open_store: Open) -> None:
    shared, other = await open_store(), await open_store("other")
    task = shared.task("t")
    await task.set_many({"a": 1, "list": [], "map": {}})
    assert await task.finish({"reason": "done"}, keep=600) is None
    info = await task.info()
    assert (info.finished, info.outcome) == (True, {"reason": "done"})
    assert await task.revision() == task.last_revision == info.revision

    async def transaction() -> None:
        async with late.transaction() as tx:
            await tx.get("a")
            tx.set("a", 2)

    for late in (task, other.task("t", ttl=5)):
        for attempt in (
            *(write(late, "a") for name, write in WRITES.items() if name not in ("create", "merge", "append")),
            late.create("new", 1),
            late.merge("map", {}),
            late.append("list", 1),
            late.append("list", 1, max_items=1),
            late.delete_matching("**"),
            late.finish("again"),
            transaction(),
        ):
            error = await unchanged(late, attempt, ccs.ContextFinished)
            assert (error.address, error.outcome) == ("/tasks/t", {"reason": "done"})
        assert (await late.get("a"), await late.tree()) == (1, {"a": 1, "list": [], "map": {}})
        assert await late.info() == info
    await task.drop()
    assert await task.revision() == 0
    assert (await task.set("a", 1)).version == 1
    assert not (await task.info()).finished


async def test_a_finished_context_is_gone_after_its_time(shared: Any) -> None:
    """G10."""
    task = shared.task("t", ttl=None)
    await task.set("a", 1)
    await task.finish(keep=0.2)
    await aeventually(lambda: _ended(task))
    assert await task.paths() == []
    assert (await task.set("a", 1)).version == 1
    assert (await task.info()).ttl is None


async def test_a_context_can_be_finished_before_anything_was_written(task: Any) -> None:
    await task.finish("nothing to do")
    info = await task.info()
    assert (info.entries, info.finished, info.outcome, info.revision > 0) == (0, True, "nothing to do", True)
    assert await task.history() == []


async def test_a_dropped_context_is_gone_at_once_and_comes_back_new(shared: Any) -> None:
    task = shared.task("t", ttl=60)
    old = await task.set("a", 1)
    await task.set("b", 1, ttl=60)
    assert await task.drop() is None
    assert (await task.get("a"), await task.paths(), await task.history(), await task.revision()) == (None, [], [], 0)
    assert await shared.contexts() == []
    assert await task.drop() is None
    entry = await shared.task("t").set("a", 2)
    assert entry.version == 1
    assert entry.revision > old.revision
    assert (await task.info()).ttl == timedelta(days=1)
    assert [change.previous for change in await task.history(since=0)] == [None]


async def test_the_newest_acknowledged_revision_is_at_hand(shared: Any) -> None:
    task = shared.task("t")
    assert task.last_revision == 0
    entry = await task.set("a", 1)
    assert task.last_revision == shared.task("t").last_revision == entry.revision
    revision = await task.set_many({"b": 1})
    await task.get("a")
    assert task.last_revision == revision


def test_results_can_be_awaited_in_either_colour() -> None:
    """The fixture's promise: what is awaited above is the library's own coroutine, or a thread of the blocking face."""
    store = ccs.connect("memory://")
    try:
        call = awaited(store).get("/tasks/t/a")
        assert isawaitable(call)
        call.close()
    finally:
        store.close()


async def test_a_conflict_that_the_callback_of_update_raises_itself_reaches_the_caller(task: Any) -> None:
    """G4: only a lost race is run again, not whatever the callback raises."""
    await task.set("a", 1)

    def refuse(value: int) -> int:
        raise ccs.Conflict("elsewhere", 1, 2, 3, "somebody")

    with pytest.raises(ccs.Conflict) as caught:
        await task.update("a", refuse)
    assert caught.value.path == "elsewhere"


async def test_what_a_caller_changes_in_a_value_read_in_a_transaction_is_not_read_again(task: Any) -> None:
    await task.set("a", [1])
    async with task.transaction() as tx:
        (await tx.get("a")).append(2)
        assert await tx.get("a") == [1]
