"""What a transaction adds, appends, merges, renews and removes by pattern: as the context would, in one commit (G1, G4)."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

import ccs
from tests.context.probes import Open, unchanged
from tests.support.waiting import bounded, counts


async def test_edits_are_one_commit_and_create_what_is_missing(task: Any) -> None:
    await task.set("log", ["a"], ttl=600)
    async with task.transaction() as tx:
        tx.increment("n")
        tx.increment("n", 41)
        tx.append("log", "b")
        tx.append("log", "c", "d")
        tx.append("last", 1, 2, 3, max_items=2)
        tx.merge("map", {"a": {"b": 1}})
        tx.merge("map", {"a": {"c": 2}, "d": None})
        assert await task.paths() == ["log"]
    snapshot = await task.snapshot()
    assert {path: entry.value for path, entry in snapshot.items()} == {
        "last": [2, 3],
        "log": ["a", "b", "c", "d"],
        "map": {"a": {"b": 1, "c": 2}},
        "n": 42,
    }
    assert {entry.revision for entry in snapshot.values()} == {tx.revision}
    assert snapshot["log"].expires_at, "a deadline stays"


async def test_edits_that_are_not_read_conflict_with_nobody(open_store: Open) -> None:
    """Given transactions that race on a counter, a log and a map, then all of them win, and all of it counts."""
    tasks = [(await open_store(f"agent {index}")).task("t") for index in range(3)]
    each = counts(6, 60)

    async def work(index: int) -> None:
        for number in range(each):
            async with tasks[index].transaction() as tx:
                tx.set(f"found/{index}/{number}", number)
                tx.increment("n")
                tx.append("log", [index, number])
                tx.merge("map", {str(index): number})

    await bounded(asyncio.gather(*map(work, range(3))), 30)
    log = await tasks[0].get("log")
    assert await tasks[0].get("n") == 3 * each == len(log)
    assert [[entry for entry in log if entry[0] == index] for index in range(3)] == [
        [[index, number] for number in range(each)] for index in range(3)
    ]
    assert await tasks[0].get("map") == {str(index): each - 1 for index in range(3)}


async def test_what_a_transaction_reads_of_an_edit_is_the_outcome_and_is_guarded(task: Any) -> None:
    await task.set_many({"n": 7, "log": ["a"]})

    async def count(tx: Any) -> None:
        tx.increment("n")
        assert await tx.get("n") == 8
        tx.increment("n", 0.5)
        assert (await tx.entry("n")).value == 8.5
        assert ((await tx.entry("n")).version, (await tx.entry("n")).revision) == (2, 0)
        tx.append("log", "b")
        (await tx.get("log")).append("not shared")
        assert await tx.get("log", type=list[str]) == ["a", "b"]
        assert await tx.exists("missing") is False
        tx.merge("missing", {"a": [1]})
        assert await tx.exists("missing") is True
        (await tx.get("missing"))["a"].append("not shared")
        assert await tx.get("missing") == {"a": [1]}

    await task.transact(count)
    assert await task.get_many(["n", "log", "missing"]) == {"n": 8.5, "log": ["a", "b"], "missing": {"a": [1]}}

    async def lose() -> None:
        async with task.transaction() as tx:
            tx.increment("n")
            await tx.get("n")
            await task.set("n", 100)

    with pytest.raises(ccs.Conflict) as caught:
        await lose()
    assert (caught.value.path, await task.get("n")) == ("n", 100)


async def test_an_edit_of_what_does_not_fit_changes_nothing(task: Any) -> None:
    await task.set_many({"text": "x", "list": [1]})

    async def edit(what: str, path: str, *given: Any, read: bool = False) -> None:
        async with task.transaction() as tx:
            tx.set("other", 1)
            if read:
                await tx.get(path)
            getattr(tx, what)(path, *given)

    for read in (False, True):
        for what, path, given in (("increment", "text", 1), ("append", "text", 1), ("merge", "list", {})):
            await unchanged(task, edit(what, path, given, read=read), ccs.InvalidValue)
    for what, given in (("increment", "1"), ("increment", True), ("merge", [1]), ("renew", 0)):
        await unchanged(task, edit(what, "new", given), ccs.InvalidValue)
    for what, given in (("append", object()), ("merge", {"a": object()})):
        await unchanged(task, edit(what, "new", given), ccs.EncodingError)
    for what, given in (("increment", 1), ("append", 1), ("merge", {}), ("renew", 1)):
        await unchanged(task, edit(what, "@claims/a", given), ccs.ReservedPath)
    async with task.transaction() as tx:
        tx.set("n", "x")
        with pytest.raises(ccs.InvalidValue):
            tx.increment("n")
        with pytest.raises(ccs.InvalidValue):
            tx.append("n", 1, max_items=0)
    assert await task.get("n") == "x"
    for late in (
        lambda: tx.increment("n"),
        lambda: tx.append("n"),
        lambda: tx.merge("n", {}),
        lambda: tx.renew("n", 1),
    ):
        with pytest.raises(ccs.Misuse):
            late()


async def test_numbers_that_the_server_cannot_add_to_are_added_to_here(task: Any) -> None:
    await task.set_many({"large": 2**70, "float": 1.5, "edge": 2**53 - 1})
    async with task.transaction() as tx:
        for path in ("large", "float", "edge", "new"):
            tx.increment(path)
        tx.append("log", 1)
    assert await task.get_many(["large", "float", "edge", "new", "log"]) == {
        "large": 2**70 + 1,
        "float": 2.5,
        "edge": 2**53,
        "new": 1,
        "log": [1],
    }


async def test_renewing_is_no_change_but_goes_with_the_others(task: Any) -> None:
    before = await task.set("a", 1, ttl=5)
    revision = await task.revision()
    async with task.transaction() as tx:
        tx.renew("a", 600)
        tx.renew("missing", 600)
        assert (await tx.entry("a")).expires_at > before.expires_at
        assert await tx.get("missing") is None
    after = await task.entry("a")
    assert (after.revision, await task.revision()) == (before.revision, revision)
    assert after.expires_at > before.expires_at
    assert await task.paths() == ["a"]
    async with task.transaction() as tx:
        tx.renew("a", None)
        tx.set("b", 1)
        tx.renew("b", 600)
        tx.increment("c")
        tx.renew("c", 600)
        tx.renew("d", 600)
        tx.increment("d")
    entries = await task.snapshot()
    assert {path: entry.expires_at is not None for path, entry in entries.items()} == {
        "a": False,
        "b": True,
        "c": True,
        "d": False,
    }
    assert entries["a"].revision == before.revision


async def test_matching_entries_are_removed_as_the_transaction_sees_them(task: Any) -> None:
    await task.set_many({"q/1": 1, "q/2": 2, "q/3": 3, "p": 1})
    async with task.transaction() as tx:
        tx.set("q/4", 4)
        tx.increment("q/5")
        tx.delete("q/1")
        assert await tx.delete_matching("q/*", "p/**") == 4
        assert await tx.get("q/4", "gone") == "gone"
        assert await tx.delete_matching("q/*") == 0
        tx.set("q/2", "kept")
        with pytest.raises(ccs.InvalidPattern):
            await tx.delete_matching()
        assert await task.paths() == ["p", "q/1", "q/2", "q/3"]
    assert await task.paths() == ["p", "q/2"]

    async def lose() -> None:
        async with task.transaction() as tx:
            await tx.delete_matching("q/*")
            await task.set("q/2", "changed meanwhile")

    with pytest.raises(ccs.Conflict):
        await lose()
    assert await task.get("q/2") == "changed meanwhile"


async def test_edits_follow_the_policies(task: Any) -> None:
    await task.set_many({"m/a": {"x": 1, "y": 2}, "once/n": 1, "r/n": 1})
    for pattern, policy in (("m/*", "merge"), ("once/*", "write-once"), ("r/*", "reject")):
        await task.set_policy(pattern, policy)
    async with task.transaction() as tx:
        tx.merge("m/a", {"x": None, "z": 3})
        tx.set("m/b", {"x": 1})
        tx.increment("r/n")
    assert await task.get_many(["m/a", "m/b", "r/n"]) == {"m/a": {"y": 2, "z": 3}, "m/b": {"x": 1}, "r/n": 2}

    async def forbidden() -> None:
        async with task.transaction() as tx:
            tx.set("other", 1)
            tx.increment("once/n")

    refused = await unchanged(task, forbidden(), ccs.Conflict)
    assert refused.policy == "write-once"


async def test_edits_behind_a_lost_claim_are_refused(task: Any) -> None:
    claim = await task.claim("a").acquire()
    behind = claim.context
    await task.break_claim("a")

    async def late() -> None:
        async with behind.transaction() as tx:
            tx.increment("n")
            tx.merge("m", {"a": 1})

    await unchanged(task, late(), ccs.ClaimLost)


async def test_any_sequence_does_in_a_transaction_what_it_does_one_by_one(shared: Any) -> None:
    """A model: the same calls, on another context, each in a commit of its own; reads in between agree too."""
    dice = random.Random(20)
    calls: dict[str, Any] = {
        "set": lambda: (dice.choice([5, 2.5, [1], {"a": {"b": 1}}]),),
        "delete": lambda: (),
        "increment": lambda: (dice.choice([1, -3, 0.5, 2**53]),),
        "append": lambda: ("x", {"y": 1}),
        "merge": lambda: (dice.choice([{"a": {"c": 2}}, {"a": None, "d": [1]}]),),
        "renew": lambda: (dice.choice([600, None]),),
    }
    for turn in range(counts(12, 300)):
        one, other = shared.task(f"one {turn}"), shared.task(f"other {turn}")
        for path in "ab":
            value = dice.choice([5, [1], {"a": 1}])
            for each in (one, other):
                await each.set(path, value, ttl=300 if path == "a" else None)
        async with one.transaction() as tx:
            for _ in range(dice.randrange(2, 8)):
                path, what = dice.choice("abc"), dice.choice([*calls, "get", "delete_matching"])
                if what == "get":
                    assert await tx.get(path, "none") == await other.get(path, "none")
                    assert await tx.exists(path) == await other.exists(path)
                    continue
                if what == "delete_matching":
                    assert await tx.delete_matching("[ab]") == await other.delete_matching("[ab]")
                    continue
                # What is wrong shows at once in what the transaction knows, so it is made to know.
                known = await tx.entry(path)
                assert (known and known.value) == await other.get(path)
                given = calls[what]()
                try:
                    await getattr(other, what)(path, *given)
                except ccs.InvalidValue:
                    with pytest.raises(ccs.InvalidValue):
                        getattr(tx, what)(path, *given)
                else:
                    getattr(tx, what)(path, *given)
        assert await seen(one) == await seen(other), turn


async def seen(task: Any) -> dict[str, tuple[Any, bool]]:
    return {path: (entry.value, entry.expires_at is None) for path, entry in (await task.snapshot()).items()}


async def test_any_sequence_of_edits_without_a_read_does_what_it_does_one_by_one(shared: Any) -> None:
    """As before, but the transaction reads nothing, so the server, or the end of the transaction, does the edits."""
    dice = random.Random(30)
    for turn in range(counts(12, 300)):
        one, other = shared.task(f"blind {turn}"), shared.task(f"blind other {turn}")
        for each in (one, other):
            await each.set_many({"n": 5, "log": [1], "map": {"a": 1}}, ttl=300)
        async with one.transaction() as tx:
            for _ in range(dice.randrange(1, 7)):
                what, path, given = dice.choice(
                    [
                        ("increment", "n", (dice.choice([1, -3, 0.5, 2**53]),)),
                        ("increment", "new", (1,)),
                        ("append", "log", ("x", "y")),
                        ("merge", "map", ({"b": dice.choice([None, 1])},)),
                        ("renew", dice.choice(["n", "log", "new"]), (None,)),
                        ("delete", dice.choice(["n", "new"]), ()),
                    ]
                )
                await getattr(other, what)(path, *given)
                getattr(tx, what)(path, *given)
        assert await seen(one) == await seen(other), turn
