"""Cursors: where a watch stands among its first entries, and beginning at a time instead of a revision (G6, G7)."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import ccs
from tests.context.probes import Open
from tests.support.colours import Awaited
from tests.support.waiting import aeventually, bounded, counts, scaled

PATIENCE = scaled(10)


async def next_of(changes: Any) -> Any:
    return await changes.receive(timeout=PATIENCE)


# Among the first entries.


async def test_among_the_first_entries_there_is_no_cursor_and_after_the_last_it_is_the_snapshots(task: Any) -> None:
    await task.set_many({"a": 1, "b": 2})
    revision = (await task.set("c", 3)).revision
    watch = task.watch(initial=True)
    assert watch.revision is None
    async with watch as changes:
        for _ in "ab":
            assert changes.revision is None
            await next_of(changes)
        assert changes.revision is None
        assert "None" in repr(changes)
        assert (await next_of(changes)).path == "c"
        assert changes.revision == revision
        later = await task.set("elsewhere/x", 4)
        assert (await next_of(changes)).revision == later.revision == changes.revision


async def test_with_nothing_at_first_the_cursor_is_there_at_once(task: Any) -> None:
    revision = (await task.set("b", 1)).revision
    async with task.watch("a", initial=True) as changes:
        assert changes.revision == revision
    async with task.store.task("new").watch(initial=True) as changes:
        assert changes.revision is None, "there is nothing yet to resume from"
        await task.store.task("new").set("a", 1)
        await next_of(changes)
        assert changes.revision == await task.store.task("new").revision()


async def test_wherever_a_watch_has_a_cursor_it_is_resumed_without_a_gap_or_a_duplicate(open_store: Open) -> None:
    """Given a writer, when a watch that began with what is there is left at any change, then another one goes on."""
    task, other = (await open_store()).task("t"), (await open_store("other")).task("t")
    await other.set_many({f"p/{number}": number for number in range(3)})

    async def write() -> None:
        for number in range(counts(30, 500)):
            await other.set(f"p/{number % 5}", 100 + number)

    writing = asyncio.ensure_future(write())
    for left_after in range(1, counts(7, 30)):
        state = dict[str, Any]()
        async with task.watch("p/*", initial=True) as changes:
            while left_after > len(state) or changes.revision is None:
                change = await next_of(changes)
                state[change.path] = change.value
                if len(state) >= min(left_after, 3) and changes.revision is not None:
                    break
            cursor = changes.revision
        assert cursor > 0
        then = {path: entry.value for path, entry in (await task.at(cursor, "p/*")).items()}
        assert state == then
        async with task.watch("p/*", since=cursor) as changes:
            if not writing.done():
                first = await next_of(changes)
                assert first.revision > cursor
                assert (await task.history("p/*", since=cursor, limit=1))[0].revision == first.revision
    await bounded(writing, 30)


# Beginning at a time.


async def test_a_watch_begins_after_a_time_or_at_the_beginning(task: Any) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=1)
    first = await task.set("a", 1)
    second = await task.set("a", 2)
    third = await task.set("b", 3)
    times = [entry.updated_at for entry in (first, second, third)]
    assert times == sorted(set(times)), "each commit has a time of its own"
    for since, expected in ((long_ago, [1, 2, 3]), (times[0], [2, 3]), (times[1], [3])):
        async with task.watch(since=since) as changes:
            assert [(await next_of(changes)).value for _ in expected] == expected
            assert changes.revision == third.revision
    just_before = times[1] - timedelta(microseconds=1)
    assert [change.value for change in await task.history(since=just_before)] == [2, 3]
    assert [change.value for change in await task.history(since=just_before, newest_first=True, limit=1)] == [3]
    assert await task.history(since=times[2]) == []
    async with task.watch(since=times[2]) as changes:
        assert changes.revision == third.revision
        await task.set("b", 4)
        assert (await next_of(changes)).value == 4


async def test_history_ends_with_a_time_too(task: Any) -> None:
    entries = [await task.set("a", number) for number in range(3)]
    times = [entry.updated_at for entry in entries]
    for when, expected in ((times[0], [0]), (times[1], [0, 1]), (times[2] + timedelta(days=1), [0, 1, 2])):
        assert [change.value for change in await task.history(until=when)] == expected
        assert [change.value for change in await task.history(until=when, newest_first=True)] == expected[::-1]
    assert await task.history(until=times[0] - timedelta(days=1)) == []
    assert [change.value for change in await task.history(since=times[0], until=times[1])] == [1]
    assert [change.value for change in await task.history(until=times[1], newest_first=True, limit=1)] == [1]
    with pytest.raises(ccs.InvalidValue):
        await task.history(until=datetime(2026, 1, 1))  # noqa: DTZ001  # naive, on purpose


async def test_a_watch_of_the_whole_store_says_how_to_begin_at_a_time(shared: Any) -> None:
    with pytest.raises(ccs.InvalidValue, match=r"context\.watch\(since="):
        shared.watch(since=datetime.now(UTC))


async def test_many_commits_at_one_time_are_all_before_or_all_after_it(task: Any) -> None:
    """Given batches, whose commits have one time and are one item of the journal, then a time never divides them."""
    for _ in range(counts(3, 30)):
        await asyncio.gather(*(task.set(f"p/{number}", number) for number in range(counts(20, 100))))
    everything = await task.history()
    for when in sorted({change.at for change in everything}):
        expected = [change.revision for change in everything if change.at > when]
        assert [change.revision for change in await task.history(since=when)] == expected
        before = [change.revision for change in everything if change.at <= when]
        assert [change.revision for change in await task.history(until=when)] == before


async def test_events_and_callbacks_begin_after_a_time_too(task: Any) -> None:
    seen, times = list[Any](), []
    for number in range(3):
        revision = await task.publish("n", number)
        async with task.events(since=0) as events:
            while (event := await next_of(events)).revision < revision:
                pass
        times.append(event.at)
        await task.set("n", number)
    async with task.events("n", since=times[0]) as events:
        assert [(await next_of(events)).data for _ in range(2)] == [1, 2]
    for subscribe, expected in ((task.subscribe_events, [2]), (task.subscribe, [1, 2])):
        count = len(expected)
        subscription = subscribe("n", seen.append, since=times[1])
        subscription = await subscription if isinstance(task, Awaited) else subscription
        await aeventually(lambda count=count: len(seen) >= count)
        subscription.cancel()
        assert [each.data if isinstance(each, ccs.Event) else each.value for each in seen] == expected
        seen.clear()


async def test_a_time_that_the_journal_no_longer_reaches_is_compacted(shared: Any) -> None:
    task = shared.task("short", keep_commits=1)
    first = await task.set("p", 0)
    for number in range(12):
        await task.set("p", f"{number}" * 5000)  # as large as a node of the stream: each is trimmed by itself
    for since in (first.updated_at, first.updated_at - timedelta(days=1)):
        with pytest.raises(ccs.HistoryCompacted) as caught:
            await task.history(since=since)
        assert caught.value.address == "/tasks/short"
        with pytest.raises(ccs.HistoryCompacted):
            await task.watch(since=since).__aenter__()


async def test_times_to_come_and_naive_ones_are_refused(task: Any) -> None:
    await task.set("p", 1)
    tomorrow = datetime.now(UTC) + timedelta(days=1)
    with pytest.raises(ccs.InvalidValue, match="ahead of the server's clock"):
        await task.history(since=tomorrow)
    with pytest.raises(ccs.InvalidValue, match="ahead of the server's clock"):
        await task.watch(since=tomorrow).__aenter__()
    for wrong in (datetime(2026, 1, 1), "yesterday", 1.5, True):  # noqa: DTZ001  # naive on purpose
        with pytest.raises(ccs.InvalidValue):
            task.watch(since=wrong)
        with pytest.raises(ccs.InvalidValue):
            await task.history(since=wrong)


async def test_a_context_that_is_not_there_begins_with_its_first_commit(task: Any) -> None:
    assert await task.history(since=datetime.now(UTC) - timedelta(hours=1)) == []
    async with task.watch(since=datetime.now(UTC) - timedelta(seconds=scaled(1))) as changes:
        await task.set("p", 1)
        assert (await next_of(changes)).value == 1
    await task.drop()
    await task.set("p", 2)
    assert [change.value for change in await task.history(since=datetime.now(UTC) - timedelta(hours=1))] == [2]


async def test_an_item_that_is_no_record_is_damage(task: Any) -> None:
    entry = await task.set("p", 1)
    handle = task.handle
    command = ("XADD", handle.keys.journal, f"{entry.revision + 5}-0", "r", "no record")
    if isinstance(task, Awaited):
        await asyncio.to_thread(handle.opening.run, command)
    else:
        await handle.opening.run(command)
    with pytest.raises(ccs.HistoryDamaged):
        await task.history(since=entry.updated_at)
