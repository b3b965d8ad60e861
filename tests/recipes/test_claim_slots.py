"""Claims with several slots: so many hold it, never more, each with a token of its own. Both colours."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import ccs
import ccs.aio
from tests.context.probes import Open
from tests.recipes.holds import HOSTILE, in_line, lapse, nothing_left, queue_up
from tests.recipes.test_claim_cancelled import cancel_after
from tests.support.waiting import bounded, counts


@pytest.fixture
def other(shared: Any) -> Any:
    return shared.task("t", agent="other")


async def test_so_many_hold_it_and_the_next_is_refused(task: Any, other: Any) -> None:
    held = [await task.claim("gpu", slots=3, note=number).acquire() for number in range(3)]
    with pytest.raises(ccs.AlreadyClaimed) as caught:
        await other.claim("gpu", slots=3).acquire()
    infos = await other.claims()
    assert [(info.resource, info.slots, info.token) for info in infos] == [("gpu", 3, claim.token) for claim in held]
    assert sorted(info.note for info in infos) == [0, 1, 2]
    assert (caught.value.holder, caught.value.expires_at) == ("test", min(info.expires_at for info in infos))
    assert caught.value.slots == 3
    assert "has all its 3 slots claimed, the first to expire by 'test'" in str(caught.value)
    await held[1].release()
    async with other.claim("gpu", slots=3) as claim:
        assert claim.token > max(each.token for each in held)
    for each in (held[0], held[2]):
        await each.release()
    assert await nothing_left(task)


async def test_a_slot_is_two_commits_and_no_read(open_store: Open) -> None:
    store = await open_store()
    task = store.task("t")
    await task.set("warm", 1)
    before = store.stats()
    async with task.claim("a", slots=3):
        pass
    assert store.stats().commits - before.commits == 2


async def test_each_slot_is_fenced_by_itself(task: Any) -> None:
    first, second = [await task.claim("a", slots=2).acquire() for _ in range(2)]
    await lapse(task, first)
    with pytest.raises(ccs.ClaimLost):
        await first.context.set("x", 1)
    await second.context.set("x", 2)
    with pytest.raises(ccs.ClaimLost):
        await first.release()
    await second.release()


async def test_another_number_of_slots_is_refused_while_one_is_held(task: Any, other: Any) -> None:
    async with task.claim("a", slots=3):
        for claim in (other.claim("a"), other.claim("a", slots=2), other.claim("a", slots=4, wait=20)):
            with pytest.raises(ccs.InvalidValue, match="slots=3"):
                await bounded(claim.acquire())
        for wait in (0, 20):
            with pytest.raises(ccs.InvalidValue, match="slots=3"):
                await bounded(other.claim_any(["a"], wait=wait))
        free = await other.claim_any(["a", "b"])
        assert free.resource == "b"
        with pytest.raises(ccs.InvalidValue, match="slots=3"):
            await other.claim_any(["b", "a"])
        await free.release()
        with pytest.raises(ccs.InvalidValue, match="slots=3"):
            await other.claim_all(["b", "a"]).__aenter__()
    async with task.claim("a"):
        for wait in (0, 20):
            with pytest.raises(ccs.InvalidValue, match="slots=1"):
                await bounded(other.claim("a", slots=3, wait=wait).acquire())
    assert await nothing_left(task)
    async with other.claim("a", slots=4) as claim:
        assert claim.held


async def test_waiters_get_slots_in_the_order_in_which_they_came(open_store: Open) -> None:
    tasks = [(await open_store(agent)).task("t") for agent in ("first", "second")]
    held = [await tasks[0].claim("a", slots=2).acquire() for _ in range(2)]
    waiting, done = list[Any](), list[int]()
    for index in range(4):
        waiting += await queue_up(tasks[index % 2], "a", [index], done, slots=2)
    await held[0].release()
    await bounded(asyncio.gather(*waiting), 20)
    assert done == list(range(4))
    await held[1].release()
    assert await nothing_left(tasks[0])


async def test_a_waiter_with_another_number_is_refused_at_its_turn_and_holds_nobody_up(task: Any, other: Any) -> None:
    claim = await task.claim("a").acquire()
    right = await queue_up(other, "a", ["right"], done := list[Any]())
    await claim.release()
    await bounded(right[0])
    assert done == ["right"]
    claim = await task.claim("a", slots=2).acquire()
    second = await task.claim("a", slots=2).acquire()
    same = await queue_up(other, "a", ["same"], done, slots=2)
    await second.release()
    await bounded(same[0])
    await claim.release()


async def test_operators_break_all_slots(task: Any, other: Any) -> None:
    held = [await task.claim("a", slots=2).acquire() for _ in range(2)]
    assert await other.break_claim("a") is True
    assert await other.break_claim("a") is False
    for claim in held:
        with pytest.raises(ccs.ClaimLost):
            await claim.release()


async def test_a_cancelled_caller_leaves_no_slot(valkey: str, namespace: str) -> None:
    async with ccs.aio.connect(valkey, namespace=namespace) as store:
        task, cancelled = store.task("t"), 0
        for turns in range(counts(30, 200)):
            claim = task.claim("a", slots=2, wait=5)
            if await cancel_after(turns, claim.acquire()):
                cancelled += 1
                assert await nothing_left(task), f"after {turns} turns"
            else:
                await claim.release()
        assert cancelled > 3


async def test_whoever_races_there_are_never_more_than_slots_nor_two_numbers(open_store: Open) -> None:
    """Given callers with two numbers of slots that race, then at any moment all holders agree, and are not too many."""
    tasks = [(await open_store(f"agent-{index}")).task("t") for index in range(3)]
    holding, tokens, seen = list[int](), list[int](), set[tuple[int, int]]()

    async def work(index: int) -> None:
        slots = (2, 3)[index % 2]
        for _ in range(counts(6, 100)):
            try:
                async with tasks[index % 3].claim("a", slots=slots, wait=(0, 2)[index % 4 // 2]) as claim:
                    tokens.append(claim.token)
                    holding.append(slots)
                    assert set(holding) == {slots}, holding
                    assert len(holding) <= slots, holding
                    seen.add((slots, len(holding)))
                    for _ in range(40):  # until another one has come, if one does
                        if len(holding) > 1:
                            break
                        await asyncio.sleep(0.005)
                    holding.remove(slots)
            except (ccs.AlreadyClaimed, ccs.InvalidValue):
                await asyncio.sleep(0.003)

    await bounded(asyncio.gather(*map(work, range(8))), 60)
    assert len(set(tokens)) == len(tokens)
    assert max(most for _, most in seen) >= 2
    assert await nothing_left(tasks[0])


async def test_any_text_with_slots_names_a_resource_of_its_own(task: Any) -> None:
    held = [await task.claim(resource, slots=2).acquire() for resource in HOSTILE]
    assert sorted(info.resource for info in await task.claims()) == sorted(HOSTILE)
    for claim in held:
        await claim.release()
    assert await nothing_left(task)


@pytest.mark.parametrize("slots", [0, -1, True, 2.0, "3", None, 10_001])
async def test_slots_is_a_number(task: Any, slots: Any) -> None:
    with pytest.raises(ccs.InvalidValue, match="slots"):
        task.claim("a", slots=slots)


async def test_a_waiter_is_in_the_line_of_all_numbers(task: Any, other: Any) -> None:
    """Given a waiter with one number, then a caller with another that comes later waits behind it."""
    claim = await task.claim("a", slots=2).acquire()
    also = await task.claim("a", slots=2).acquire()
    waiting = await queue_up(other, "a", ["first"], done := list[Any](), slots=2)
    await in_line(task, "a", 1)
    with pytest.raises(ccs.AlreadyClaimed):
        await task.claim("a", slots=2).acquire()
    await claim.release()
    await bounded(waiting[0])
    await also.release()
    assert done == ["first"]
