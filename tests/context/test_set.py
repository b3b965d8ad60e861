"""Set, create and delete, and what cannot be written: G1, G4, G11, G12."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import ccs
from tests.context.probes import WRITES, Open, gone, unchanged
from tests.support.waiting import aeventually


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
async def test_a_guard_that_does_not_hold_is_a_conflict_that_names_who_was_first(open_store: Open, guard: str) -> None:
    """G4: the conflict has version, revision and agent, and nothing of the commit is applied."""
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


async def test_an_entry_past_its_deadline_counts_as_missing_for_all_writers(task: Any) -> None:
    """G9."""
    old = await task.set("a", 1, ttl=0.05)
    await aeventually(lambda: gone(task, "a"))
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


# What cannot be written: G1, G11.


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
