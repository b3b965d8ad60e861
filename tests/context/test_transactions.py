"""Several operations as one commit: G1, G4."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

import ccs
from tests.context.probes import unchanged


async def test_set_many_is_one_commit(task: Any) -> None:
    """G1."""
    revision = await task.set_many({"b": 1, "a": [2]}, ttl=60)
    snapshot = await task.snapshot()
    assert {path: entry.value for path, entry in snapshot.items()} == {"a": [2], "b": 1}
    assert {entry.revision for entry in snapshot.values()} == {revision} == {snapshot.revision}
    assert all(entry.expires_at for entry in snapshot.values())
    assert [(change.path, change.revision) for change in await task.history()] == [("b", revision), ("a", revision)]
    assert await task.set_many({}) == revision


async def test_an_empty_list_of_patterns_deletes_nothing(task: Any) -> None:
    """Given no pattern, one that is empty or none at all, when they are unpacked, then that is an error."""
    await task.set("a", 1)
    for patterns in ([], [""], [None], [[]], ["a", ""], ["users//**"]):
        await unchanged(task, task.delete_matching(*patterns), ccs.InvalidPattern)
    assert await task.paths() == ["a"]


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
    assert await task.delete_matching("**") == 2
    assert await task.paths() == []


async def test_a_read_may_move_the_deadline_without_a_revision_or_an_event(task: Any) -> None:
    entry = await task.set("a", None, ttl=60)
    forever = await task.set("b", {"n": 1})
    history = await task.history()
    assert await task.get("a", "none", renew=600) is None
    later = await task.entry("a")
    assert later == replace(entry, expires_at=later.expires_at)
    assert 500 < (later.expires_at - entry.expires_at).total_seconds() < 560
    assert await task.get("b", renew=timedelta(hours=1), type=dict[str, int]) == {"n": 1}
    assert (await task.entry("b")).expires_at > forever.updated_at
    assert await task.get("missing", "none", renew=60) == "none"
    assert not await task.exists("missing")
    assert (await task.history(), await task.revision()) == (history, forever.revision)
    for wrong in (0, -1, "soon"):
        with pytest.raises(ccs.InvalidValue):
            await task.get("a", renew=wrong)
    with pytest.raises(ccs.ReservedPath):
        await task.get("@semantic/x", renew=60)


async def test_what_is_read_often_enough_stays(task: Any) -> None:
    await task.set_many({"read": 1, "left": 2}, ttl=0.5)
    for _ in range(8):
        assert await task.get("read", renew=0.5) == 1
        await asyncio.sleep(0.1)
    assert await task.get("left", renew=0.5) is None


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
        with pytest.raises(ccs.Misuse):
            late()
    with pytest.raises(ccs.Misuse):
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


async def test_what_a_caller_changes_in_a_value_read_in_a_transaction_is_not_read_again(task: Any) -> None:
    await task.set("a", [1])
    async with task.transaction() as tx:
        (await tx.get("a")).append(2)
        assert await tx.get("a") == [1]
