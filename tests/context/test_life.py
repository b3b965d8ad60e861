"""Settings and the life of a context: G10, G12."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest

import ccs
from tests.context.probes import WRITES, Open, ended, gone, unchanged
from tests.support.waiting import aeventually


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
    await aeventually(lambda: ended(task))
    assert (await task.paths(), await task.history(), await shared.contexts()) == ([], [], [])
    entry = await task.set("b", 1)
    assert entry.version == 1
    assert entry.revision > old.revision
    assert await task.paths() == ["b"]
    assert (await task.info()).created_at == entry.created_at


async def test_info_tells_about_the_whole(task: Any) -> None:
    first = await task.set("a", 1)
    last = await task.set("b", 2, ttl=60)
    info = await task.info()
    assert (info.address, info.revision, info.entries) == ("/tasks/t", last.revision, 2)
    assert (info.created_at, info.updated_at) == (first.created_at, last.updated_at)
    assert (info.ttl, info.finished, info.outcome) == (timedelta(days=1), False, None)
    await task.set("c", 3, ttl=0.05)
    await aeventually(lambda: gone(task, "c"))
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
    await aeventually(lambda: ended(task))
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
