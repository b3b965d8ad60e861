"""The journal holds a batch in one item; readers find each commit. G2, G6, G8."""

from __future__ import annotations

import sys
from typing import Any

import pytest
from anyio import create_task_group

import ccs
import ccs.aio
from ccs._core.names.keys import keys_of
from tests.context.probes import Open
from tests.support.journal import raw_items
from tests.support.targets import raw_client

COMMITS = 90


async def crowd(task: Any, commits: int = COMMITS) -> None:
    """Many commits at once, so that they travel together."""
    async with create_task_group() as group:
        for number in range(commits):
            group.start_soon(task.set, f"a/{number % 7}", number)


async def crowded(task: Any) -> list[ccs.Change]:
    """What many commits at once have changed."""
    await crowd(task)
    changes: list[ccs.Change] = await task.history()
    assert sorted(change.value for change in changes) == list(range(COMMITS))
    return changes


async def test_history_begins_and_ends_anywhere(task: Any) -> None:
    """Given commits in batches, when history is asked for between any two of them, then it is cut just there."""
    changes = await crowded(task)
    for cut in range(0, COMMITS, 4):
        here = changes[cut].revision
        assert await task.history(since=here) == changes[cut + 1 :]
        assert await task.history(until=here) == changes[: cut + 1]
        assert await task.history(since=here, newest_first=True) == changes[:cut:-1]
        assert await task.history(until=here, newest_first=True, limit=5) == changes[cut::-1][:5]
        assert await task.history(until=here - 1, newest_first=True, limit=2) == changes[:cut][::-1][:2]
        if here + 1 != changes[min(cut + 1, COMMITS - 1)].revision:
            with pytest.raises(ccs.HistoryForked):
                await task.history(since=here + 1, until=here + 2)


async def test_the_past_is_that_after_any_commit(task: Any) -> None:
    """Given commits in batches, when a task is asked how it stood after one of them, then so it stood."""
    changes, stood = await crowded(task), {}
    for number, change in enumerate(changes):
        stood[change.path] = change.value
        if number % 6 == 0:
            snapshot = await task.at(change.revision)
            assert {path: entry.value for path, entry in snapshot.items()} == stood
            assert snapshot.revision == change.revision
            net = await task.diff(change.revision)
            assert {each.path: each.previous for each in net} == {
                each.path: stood.get(each.path) for each in changes[number + 1 :]
            }


async def test_a_watch_resumes_after_any_commit(task: Any) -> None:
    """Given commits in batches, when a watch begins between any two, then it yields those behind, each once."""
    changes = await crowded(task)
    await task.finish()
    for cut in range(0, COMMITS, 5):
        async with task.watch(since=changes[cut].revision) as watch:
            assert [change async for change in watch] == changes[cut + 1 :]


async def test_what_is_appended_together_comes_back_whole(task: Any) -> None:
    """Given appends that travel together, when they return, then each entry is what its own commit made."""
    entries: list[ccs.Entry] = []

    async def append(number: int) -> None:
        entries.append(await task.append("list", number))

    async with create_task_group() as group:
        for number in range(40):
            group.start_soon(append, number)
    entries.sort(key=lambda entry: entry.revision)
    assert [len(entry.value) for entry in entries] == list(range(1, 41))
    assert all(entry.value == entries[-1].value[: len(entry.value)] for entry in entries)


async def test_batches_are_items_and_whole_items_are_trimmed(target: str, namespace: str) -> None:
    """Given a short history and commits in batches, when it is trimmed, then so much is left, and all of it can be read."""
    if target.startswith("memory"):
        pytest.skip("its keys cannot be looked at from outside")
    async with ccs.aio.connect(target, namespace=namespace) as store:
        task = store.task("t", keep_commits=50)
        first = await task.set("first", 1)
        for _ in range(6):
            await crowd(task, 60)
        journal = keys_of(namespace, "/tasks/t").journal
        with raw_client(target, journal) as client:
            items = raw_items(client, journal)
        assert max(map(len, items)) > 10
        kept = sum(map(len, items))
        assert 50 <= kept <= 56 or kept - len(items[0]) < 50
        changes = await task.history()
        assert len(changes) == kept
        assert await task.history(since=changes[3].revision) == changes[4:]
        with pytest.raises(ccs.HistoryCompacted):
            await task.history(since=first.revision)


async def test_a_history_without_end_can_be_bounded_later(open_store: Open) -> None:
    """Given all that one can ask to be kept, when less is asked for, then what is too much goes."""
    store = await open_store()
    endless = store.task("t", keep_commits=sys.maxsize, keep_bytes=10**30)
    for number in range(40):
        await endless.set("a", number)
    assert len(await endless.history()) == 40
    assert await store.task("t", keep_commits=8, keep_bytes=sys.maxsize).set("a", 40)
    assert 8 <= len(await endless.history()) <= 9
    await endless.set("a", 41)
    assert [change.value for change in await endless.history("a")][-2:] == [40, 41]
