"""Reading: G3, G11."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from pydantic import BaseModel, ValidationError

import ccs


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
