"""Update, merge, increment and append: no write is lost, whatever others write (G4), and types stay (G11)."""

from __future__ import annotations

import itertools
from decimal import Decimal
from enum import IntEnum
from typing import Any

import msgpack
import pytest
from anyio import create_task_group

import ccs
from ccs._core.codec import encode
from tests.context.probes import put, stored, unchanged

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


async def test_a_conflict_that_the_callback_of_update_raises_itself_reaches_the_caller(task: Any) -> None:
    """G4: only a lost race is run again, not whatever the callback raises."""
    await task.set("a", 1)

    def refuse(value: int) -> int:
        raise ccs.Conflict("elsewhere", 1, 2, 3, "somebody")

    with pytest.raises(ccs.Conflict) as caught:
        await task.update("a", refuse)
    assert caught.value.path == "elsewhere"


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
    assert await stored(task, "n") == encode(after)


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
    assert await stored(task, "n") == encode(value + 1)


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
