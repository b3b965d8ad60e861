"""History: G2, G8, G12."""

from __future__ import annotations

from typing import Any

import pytest
from anyio import create_task_group

import ccs
import ccs.aio
from tests.context.probes import Open


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
    connection, commands = task.handle.opening.commands, []
    run = connection.run

    async def run_slowly(*command: Any, **options: Any) -> Any:
        if len(commands) == 2:
            for i in range(5):
                await other.set("b", i)
        commands.append(command)
        return await run(*command, **options)

    monkeypatch.setattr("ccs._async.changes.history._PAGE", 5)
    monkeypatch.setattr("ccs._async.changes.journal_backwards._PAGE", 5)
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
