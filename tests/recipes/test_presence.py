"""Presence: the members of a context are the agents that have joined, live, and have not left."""

from __future__ import annotations

import asyncio
import threading
from datetime import timedelta
from typing import Any

import pytest

import ccs
from ccs._core.commits.operations import renew_op
from tests.context.probes import Open
from tests.recipes.work import commit
from tests.support.leftovers import tasks
from tests.support.waiting import aeventually, bounded


async def agents(task: Any) -> list[str]:
    return [member.agent for member in await task.members()]


async def lapse(task: Any, presence: Any) -> None:
    """Lets its deadline pass, by the server's clock, before it is renewed."""
    path = f"@members/{presence.id}"
    await commit(task, [renew_op(path, 1)])
    task.handle.expect(1)


async def die(presence: Any) -> None:
    """Stops renewing it, as if its process had been killed."""
    inner = getattr(presence, "blocking", presence)
    inner._handle.let_go(inner._lease)


async def test_an_agent_that_joined_is_a_member_until_it_leaves(task: Any) -> None:
    assert await task.members() == []
    before = await task.set("before", 1)
    async with task.join("reviewer", meta={"model": "m1", "load": 0.5}) as presence:
        (member,) = await task.members()
        assert (member.agent, member.role, member.meta) == ("test", "reviewer", {"model": "m1", "load": 0.5})
        assert member.id == presence.id
        assert before.updated_at <= member.joined_at == presence.joined_at <= member.seen_at
        assert (presence.agent, presence.role, presence.joined) == ("test", "reviewer", True)
        assert repr(presence).startswith("<")
        assert "'test' as 'reviewer' in /tasks/t, joined" in repr(presence)
    assert await task.members() == []
    assert not presence.joined
    assert "left" in repr(presence)


async def test_joining_and_leaving_are_changes_that_a_watch_sees(task: Any) -> None:
    async with task.watch("@members/*") as changes:
        async with task.join("reviewer", ttl=60) as presence:
            joined = await changes.receive(timeout=10)
        left = await changes.receive(timeout=10)
    assert [change.op for change in (joined, left)] == ["set", "delete"]
    assert joined.path == left.path == f"@members/{presence.id}"
    assert joined.agent == left.agent == "test"
    assert left.previous == joined.value == {"role": "reviewer", "meta": None, "ttl": 60_000}


async def test_an_agent_that_joins_twice_is_two_members(task: Any, open_store: Open) -> None:
    other = (await open_store()).task("t")
    async with task.join("first"):
        async with other.join("second"):
            members = await task.members()
            assert [(member.agent, member.role) for member in members] == [("test", "first"), ("test", "second")]
            assert len({member.id for member in members}) == 2
        assert [member.role for member in await other.members()] == ["first"]


async def test_a_presence_is_renewed_without_a_commit(task: Any) -> None:
    async with task.join(ttl=0.8):
        (first,) = await task.members()
        revision = await task.revision()

        async def seen_later() -> bool:
            (member,) = await task.members()
            assert member.joined_at == first.joined_at
            return bool(member.seen_at > first.seen_at + timedelta(seconds=0.9))  # past its first deadline

        await aeventually(seen_later)
        assert await task.revision() == revision


async def test_an_agent_that_dies_leaves_when_its_ttl_is_over(task: Any, open_store: Open) -> None:
    """G9."""
    mortal = (await open_store("mortal")).task("t")
    async with task.watch("@members/*") as changes:
        presence = mortal.join(ttl=0.4)
        await presence.enter()
        joined = await changes.receive(timeout=10)
        (member,) = await task.members()
        await die(presence)
        gone = await changes.receive(timeout=10)
    assert (gone.op, gone.agent) == ("expire", "mortal")
    assert gone.at >= joined.at + timedelta(seconds=0.39)
    assert gone.at - member.seen_at < timedelta(seconds=2)
    assert await task.members() == []
    await presence.leave()


async def test_an_agent_that_was_away_for_longer_than_its_ttl_joins_again_by_itself(task: Any) -> None:
    async with task.watch("@members/*") as changes, task.join("worker", ttl=0.6) as presence:
        await changes.receive(timeout=10)
        first = presence.joined_at
        await lapse(task, presence)
        assert (await changes.receive(timeout=10)).op == "expire"
        assert (await changes.receive(timeout=10)).op == "set"
        (member,) = await task.members()
        assert (member.role, member.id) == ("worker", presence.id)
        assert member.joined_at > first
        await aeventually(lambda: presence.joined and presence.joined_at == member.joined_at)
    assert await task.members() == []


async def test_it_does_not_bring_a_dropped_context_back(task: Any) -> None:
    """G10."""
    async with task.join(ttl=0.3) as presence:
        await task.drop()
        await aeventually(lambda: not presence.joined)
        await aeventually(lambda: "away" in repr(presence))
        assert await task.revision() == 0
    assert await task.revision() == 0


async def test_a_context_that_was_dropped_and_created_again_is_another_one(task: Any) -> None:
    async with task.join(ttl=0.3) as presence:
        await task.drop()
        await task.set("anew", 1)
        await aeventually(lambda: presence.joined is False and getattr(presence, "blocking", presence)._lease is None)
        assert await task.members() == []


async def test_it_can_be_left_when_the_context_is_finished(task: Any) -> None:
    async with task.join(ttl=0.3) as presence:
        await task.finish()
        await aeventually(lambda: not presence.joined)


async def test_presences_are_left_in_any_order_by_any_task_and_more_than_once(task: Any) -> None:
    first, second = task.join("first"), task.join("second")
    await asyncio.ensure_future(first.enter())
    await asyncio.ensure_future(second.enter())
    await asyncio.ensure_future(first.leave())
    assert [member.role for member in await task.members()] == ["second"]
    await bounded(asyncio.gather(*(asyncio.ensure_future(second.leave()) for _ in range(3))))
    assert await task.members() == []
    await first.leave()


async def test_it_can_be_left_after_its_store_was_closed(open_store: Open) -> None:
    store = await open_store()
    presence = store.task("t").join()
    await presence.enter()
    await (store.close() if hasattr(store, "blocking") else store.aclose())
    await bounded(presence.leave())
    assert "left" in repr(presence)


async def test_it_is_entered_once(task: Any) -> None:
    async with task.join() as presence:
        with pytest.raises(ccs.Misuse, match="makes another one"):
            await presence.enter()
    with pytest.raises(ccs.Misuse, match="makes another one"):
        await presence.enter()
    never = task.join()
    assert "not entered" in repr(never)
    await never.leave()
    with pytest.raises(ccs.Misuse):
        await never.enter()
    assert await task.members() == []


@pytest.mark.parametrize("wrong", [{"role": 7}, {"ttl": 0}, {"ttl": "long"}, {"ttl": None}, {"meta": object()}])
async def test_bad_arguments_are_refused_at_once(task: Any, wrong: dict[str, Any]) -> None:
    with pytest.raises((ccs.InvalidValue, ccs.EncodingError)):
        await bounded(asyncio.ensure_future(entered(task, wrong)))
    assert await task.revision() == 0


async def entered(task: Any, options: dict[str, Any]) -> None:
    async with task.join(**options):
        pass


async def test_while_an_agent_is_present_its_leases_are_held_no_longer_at_a_time(task: Any) -> None:
    """So what it holds is free within the ttl of its presence, if it dies."""
    place, elsewhere = task.handle, task.store.task("u").handle
    other = task.store.task("t", agent="other").handle
    assert place.term(30.0) == 30.0
    async with task.join(ttl=5):
        assert (place.term(30.0), place.term(2.0)) == (5.0, 2.0)
        assert (elsewhere.term(30.0), other.term(30.0)) == (30.0, 30.0)
        async with task.join(ttl=4):
            assert place.term(30.0) == 4.0
        assert place.term(30.0) == 5.0
    assert place.term(30.0) == 30.0


async def test_an_agent_that_is_cancelled_while_it_joins_is_no_member(astore: ccs.aio.Store) -> None:
    """G14."""
    task = astore.task("t")
    for turns in range(6):
        joining = asyncio.ensure_future(task.join().enter())
        for _ in range(turns):
            await asyncio.sleep(0)
        joining.cancel()
        await bounded(asyncio.wait([joining]))
        assert joining.cancelled()
        assert await task.members() == []


async def test_nothing_is_left_running(task: Any) -> None:
    async with task.join(ttl=0.3) as presence:
        first = presence.joined_at
        await lapse(task, presence)
        await aeventually(lambda: presence.joined and presence.joined_at > first)
    assert not tasks()["ccs return"]
    assert "ccs return" not in [thread.name for thread in threading.enumerate()]
