"""Time travel: the context at an earlier moment (G3, G6), and the net changes."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
import redis

import ccs
from ccs._core.names.keys import keys_of
from tests.context.probes import Open
from tests.support.colours import COLOURS, connect_in
from tests.support.waiting import aeventually

PATHS = ["a", "a/b", "a/c", "d", "e/f/g"]


async def do_something(task: Any, dice: random.Random) -> None:
    path = dice.choice(PATHS)
    kind = dice.randrange(5)
    if kind == 0:
        await task.delete(path)
    elif kind == 1:
        await task.set_many({each: dice.randrange(3) for each in dice.sample(PATHS, 3)})
    elif kind == 2:
        await task.increment("count")
    else:
        await task.set(path, dice.choice([0, False, None, "", [1], {"a": 1}]))


async def test_the_past_is_what_was_seen_then(task: Any) -> None:
    """Given random commits and a snapshot after each, when one travels back to any of them, then all is as it was."""
    dice, seen = random.Random(7), []
    for _ in range(60):
        await do_something(task, dice)
        seen.append((await task.snapshot(), await task.snapshot("a/**")))
    for whole, part in seen:
        if whole.revision:
            assert await task.at(whole.revision) == whole
            assert await task.at(whole.revision, "a/**") == part
    for (earlier, _), (later, _) in zip(dice.choices(seen, k=40), dice.choices(seen, k=40), strict=True):
        if 0 < earlier.revision <= later.revision:
            found = await task.diff(earlier.revision, until=later.revision)
            assert {change.path: change.value for change in found if change.op == "set"} == differing(earlier, later)
            assert {change.path for change in found if change.op != "set"} == set(earlier) - set(later)
            for change in found:
                assert change.previous == (earlier[change.path].value if change.path in earlier else None)
                assert change.created == (change.path not in earlier)


def differing(earlier: ccs.Snapshot, later: ccs.Snapshot) -> dict[str, Any]:
    def same(path: str) -> bool:
        one, other = earlier[path].value, later[path].value
        return type(one) is type(other) and bool(one == other)

    return {path: later[path].value for path in later if path not in earlier or not same(path)}


async def test_one_travels_to_a_moment_too(task: Any) -> None:
    """Given entries written at known server times, when asked for a moment, then all commits up to it hold."""
    first, second, third = [await task.set("a", i) for i in range(3)]
    assert (await task.at(second.updated_at))["a"] == second
    assert (await task.at(third.updated_at - timedelta(microseconds=1)))["a"].value in (0, 1)
    assert (await task.at(datetime.now(UTC) + timedelta(hours=1)))["a"] == third
    before = await task.at(first.updated_at - timedelta(seconds=1))
    assert (len(before), before.revision) == (0, 0)
    (change,) = await task.diff(first.updated_at, until=second.updated_at)
    assert (change.previous, change.value) == (0, 1)


async def test_the_beginning_is_empty(task: Any) -> None:
    await task.set("a", 1)
    assert dict(await task.at(0)) == {}
    (change,) = await task.diff(0)
    assert (change.path, change.created, change.value) == ("a", True, 1)


async def test_between_two_revisions_the_earlier_one_holds(task: Any) -> None:
    first = await task.set("a", 1)
    second = await task.set("a", 2)
    assert (await task.at(second.revision - 1))["a"] == first


async def test_past_the_journal_nobody_travels(shared: Any) -> None:
    """Given a history of ten commits, when asked for what was before them, then `HistoryCompacted`, never a guess."""
    task = shared.task("short", keep_commits=10)
    entries = [await task.set("a", i) for i in range(40)]
    held = await task.history()
    assert (await task.at(held[0].revision - 1))["a"] == entries[40 - len(held) - 1]
    long_ago = entries[40 - len(held) - 2].revision
    for call in (
        task.at(long_ago),
        task.diff(long_ago),
        task.at(0),
        task.diff(0),
        task.at(entries[0].updated_at),
        task.diff(entries[0].updated_at),
    ):
        with pytest.raises(ccs.HistoryCompacted) as caught:
            await call
        assert caught.value.oldest == entries[40 - len(held) - 1].revision


async def test_what_has_expired_since_was_there_then(task: Any) -> None:
    """Given an entry that is past its deadline by now, then it is in the past, and not in the present (G9)."""
    short = await task.set("short", 1, ttl=0.05)
    await aeventually(lambda: gone(task), what="the entry to be gone")
    assert (await task.at(short.revision))["short"] == short
    await aeventually(lambda: told_of_its_end(task), what="its end to be told")
    later = await task.set("other", 1)
    assert set(await task.at(later.revision)) == {"other"}
    assert {(c.path, c.op) for c in await task.diff(short.revision)} == {("short", "expire"), ("other", "set")}
    assert [c.path for c in await task.diff(0)] == ["other"]


async def test_what_was_due_was_gone_though_nobody_had_noticed(open_store: Open) -> None:
    """Given an entry that its writer does not live to expire, then it is not in the past after its deadline (G9)."""
    writer, task = await open_store(), (await open_store()).task("t")
    short = await writer.task("t").set("short", 1, ttl=0.05)
    await writer.__aexit__(None, None, None)
    await aeventually(lambda: gone(task), what="the entry to be gone")
    between = await task.set("other", 1)
    again = await task.set("short", 2)  # and first the end of the old one
    assert [change.op for change in await task.history("short")] == ["set", "expire", "set"]
    late = short.expires_at + timedelta(microseconds=1)
    for when in (late, between.updated_at, between.revision):
        assert "short" not in await task.at(when)
        (change,) = await task.diff(when, "short")
        assert (change.created, change.previous, change.value) == (True, None, 2)
    (change,) = await task.diff(short.revision, "short")
    assert (change.created, change.previous, change.value) == (False, 1, 2)
    assert (await task.at(short.expires_at - timedelta(milliseconds=2)))["short"] == short
    assert (await task.at(again.revision))["short"] == again


async def gone(task: Any) -> bool:
    return await task.get("short") is None


async def told_of_its_end(task: Any) -> bool:
    return [change.op for change in await task.history()][-1:] == ["expire"]


async def test_what_cannot_be_travelled_to_is_refused(task: Any) -> None:
    with pytest.raises(ccs.ContextGone):
        await task.at(5)
    entry = await task.set("a", 1)
    for wrong in (-1, True, "1", None, 1.5, datetime(2026, 1, 1), entry.revision + 10**9):  # noqa: DTZ001
        with pytest.raises(ccs.InvalidValue):
            await task.at(wrong)
        with pytest.raises(ccs.InvalidValue):
            await task.diff(wrong)


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_commit_that_is_lost_while_the_past_is_read_is_a_fork(colour: str, valkey: str, namespace: str) -> None:
    """Given a server that has lost its newest record since it told the revision, then no journal was compacted."""
    async with connect_in(colour, valkey, namespace=namespace) as store:
        task = store.task("t")
        first = await task.set("a", 1)
        await task.set("a", 2)
        newest = await task.set("a", 3)
        with redis.Redis.from_url(valkey) as server:
            server.xdel(keys_of(namespace, "/tasks/t").journal, f"{newest.revision}-0")
        for past in (task.at(first.revision), task.diff(first.revision)):
            with pytest.raises(ccs.HistoryForked) as caught:
                await past
            assert (caught.value.since, caught.value.address) == (newest.revision, "/tasks/t")
