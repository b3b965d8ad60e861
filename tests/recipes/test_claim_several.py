"""Claims on several resources: all or none in one commit, or the first that comes free. Both colours."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

import ccs
import ccs.aio
from tests.context.probes import Open
from tests.recipes.holds import in_line, lapse, nothing_left, queue_up, tickets
from tests.recipes.test_claim_cancelled import cancel_after
from tests.support.waiting import aeventually, bounded, counts


@pytest.fixture
def other(shared: Any) -> Any:
    return shared.task("t", agent="other")


# All of them.


async def test_all_are_taken_in_one_commit_and_given_back_in_one(task: Any, other: Any) -> None:
    async with task.claim_all(["b", "a", "c"]) as claims:
        assert [claim.resource for claim in claims] == ["b", "a", "c"]
        assert all(claim.held for claim in claims)
        assert len({claim.token for claim in claims}) == 1
        assert [info.resource for info in await other.claims()] == ["a", "b", "c"]
        await claims[0].context.set("x", 1)
    changes = await task.history("@claims/**", "@waiting/**")
    assert [change.op for change in changes] == ["set"] * 3 + ["delete"] * 3
    assert len({change.revision for change in changes}) == 2
    assert not any(claim.held or claim.lost for claim in claims)


async def test_all_or_none(task: Any, other: Any) -> None:
    async with other.claim("b"):
        group = task.claim_all(["a", "b", "c"])
        with pytest.raises(ccs.AlreadyClaimed) as caught:
            await group.__aenter__()
        assert (caught.value.resource, caught.value.holder) == ("b", "other")
        assert [info.resource for info in await task.claims()] == ["b"]
    async with group as claims:  # it can be tried again
        assert len(claims) == 3
        with pytest.raises(ccs.Misuse):
            await group.__aenter__()
    assert await nothing_left(task)


async def test_it_waits_until_all_are_free_and_takes_them_at_once(task: Any, other: Any) -> None:
    first, second = await other.claim("a").acquire(), await other.claim("b").acquire()

    async def wait() -> list[str]:
        async with task.claim_all(["a", "b"], wait=20) as claims:
            return [claim.resource for claim in claims]

    waiting = asyncio.ensure_future(wait())
    await in_line(other, "b", 1)
    await first.release()
    with pytest.raises(ccs.AlreadyClaimed):  # it is next for `a`, too
        await other.claim("a").acquire()
    await second.release()
    assert await bounded(waiting, 20) == ["a", "b"]
    assert await nothing_left(task)


async def test_who_gives_up_waiting_leaves_every_line(task: Any, other: Any) -> None:
    async with other.claim("b"):
        with pytest.raises(ccs.AlreadyClaimed) as caught:
            await task.claim_all(["a", "b"], wait=0.2).__aenter__()
        assert caught.value.resource == "b"
        assert await tickets(task, "a") == await tickets(task, "b") == []


async def _no_tickets(task: Any) -> bool:
    return not await task.paths("@waiting/**")


async def test_one_that_was_released_or_lost_is_left_out_at_the_end(task: Any, other: Any) -> None:
    async with task.claim_all(["a", "b"]) as claims:
        await claims[0].release()
        async with other.claim("a"):
            pass
    assert await nothing_left(task)

    async def lose() -> None:
        async with task.claim_all(["a", "b", "c"]) as lost:
            await lapse(task, lost[1])

    with pytest.raises(ccs.ClaimLost) as caught:
        await lose()
    assert caught.value.resource == "b"
    assert await nothing_left(task)


async def test_the_same_resource_twice_and_no_resources(task: Any) -> None:
    with pytest.raises(ccs.InvalidValue, match="twice"):
        task.claim_all(["a", "b", "a"])
    with pytest.raises(ccs.InvalidValue):
        task.claim_all("ab")
    with pytest.raises(ccs.InvalidPath):
        task.claim_all(["a", ""])
    async with task.claim_all([]) as claims:
        assert claims == []
    assert await task.revision() == 0


async def test_philosophers_with_forks_in_any_order_all_eat(open_store: Open) -> None:
    """Given callers that want overlapping resources in orders of their own, then no two of them wait for each other."""
    tasks = [(await open_store(f"agent-{index}")).task("t") for index in range(3)]
    dice, using, meals = random.Random(3), dict[str, int](), list[int]()

    async def eat(who: int) -> None:
        for _ in range(counts(4, 100)):
            forks = dice.sample(["a", "b", "c", "d"], dice.randrange(1, 4))
            async with tasks[who % 3].claim_all(forks, wait=60) as claims:
                for fork in forks:
                    assert using.setdefault(fork, who) == who, (fork, using)
                await claims[0].context.set("eaten", who)
                await asyncio.sleep(dice.random() / 200)
                for fork in forks:
                    del using[fork]
                meals.append(who)

    await bounded(asyncio.gather(*map(eat, range(6))), 60)
    assert len(meals) == 6 * counts(4, 100)
    assert await nothing_left(tasks[0])


async def test_cancelled_at_any_turn_it_leaves_nothing(valkey: str, namespace: str) -> None:
    async with ccs.aio.connect(valkey, namespace=namespace) as store:
        task, other, cancelled = store.task("t"), store.task("t", agent="other"), 0
        for turns in range(counts(40, 300)):
            group, holder = task.claim_all(["a", "b"], wait=5), other.claim("b")
            waits = turns % 2
            if waits:
                await holder.acquire()
                asyncio.get_running_loop().call_later(0.01, asyncio.ensure_future, holder.release())
            if await cancel_after(turns, group.__aenter__()):
                cancelled += 1
            else:
                await group.__aexit__(None, None, None)
            await aeventually(lambda: nothing_left(task), what=f"nothing to be left after {turns} turns")
        assert cancelled > 3


# The first of them.


async def test_the_first_that_comes_free_wakes_whoever_waits_for_any(task: Any, other: Any) -> None:
    held = {name: await other.claim(name).acquire() for name in ("a", "b", "c")}
    waiting = asyncio.ensure_future(task.claim_any(["a", "b", "c"], wait=20))
    for name in held:
        await in_line(other, name, 1)
    await held["b"].release()
    claim = await bounded(waiting, 20)
    async with claim:
        assert (claim.resource, claim.held) == ("b", True)
        assert await tickets(task, "a") == await tickets(task, "c") == []
    for name in "ac":
        await held[name].release()
    assert await nothing_left(task)


async def test_nothing_comes_free_in_time(task: Any, other: Any) -> None:
    async with other.claim("a"), other.claim("b"):
        assert await task.claim_any(["a", "b"], wait=0.2) is None
        assert await _no_tickets(task)
    with pytest.raises(ccs.InvalidValue, match="wait"):
        await task.claim_any(["a"], wait=-1)


async def test_waiters_for_any_and_for_one_are_served_in_turn(task: Any, other: Any) -> None:
    holder = await other.claim("a").acquire()
    blocked = await other.claim("b").acquire()
    first = asyncio.ensure_future(task.claim_any(["a", "b"], wait=20))
    await in_line(task, "b", 1)
    second = await queue_up(task, "a", ["second"], done := list[Any]())
    await holder.release()
    claim = await bounded(first, 20)
    assert (claim.resource, done) == ("a", [])
    async with claim:
        pass
    await bounded(second[0])
    await blocked.release()
    assert done == ["second"]


async def test_waiting_for_any_sends_the_server_nothing(open_store: Open) -> None:
    store = await open_store()
    task, other = store.task("t"), store.task("t", agent="other")
    async with other.claim("a"), other.claim("b"):
        waiting = asyncio.ensure_future(task.claim_any(["a", "b"], wait=20))
        await in_line(other, "b", 1)
        await aeventually(lambda: True)
        revision = await other.revision()
        await asyncio.sleep(0.2)
        assert await other.revision() == revision
    claim = await bounded(waiting, 20)
    async with claim:
        pass


async def test_many_that_want_any_of_few_all_get_one_in_the_end(open_store: Open) -> None:
    tasks = [(await open_store(f"agent-{index}")).task("t") for index in range(3)]
    using, got = set[str](), list[str]()

    async def work(index: int) -> None:
        claim = await tasks[index % 3].claim_any(["x", "y"], wait=60)
        async with claim:
            assert claim.resource not in using
            using.add(claim.resource)
            await asyncio.sleep(0.005)
            using.discard(claim.resource)
            got.append(claim.resource)

    await bounded(asyncio.gather(*map(work, range(counts(12, 60)))), 60)
    assert len(got) == counts(12, 60)
    assert set(got) == {"x", "y"}
    assert await nothing_left(tasks[0])
