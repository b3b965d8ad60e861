"""G14 for claims: a caller that is cancelled or interrupted, at any point, leaves neither a hold nor a ticket."""

from __future__ import annotations

import asyncio
import itertools
import random
import time
from collections.abc import Callable
from typing import Any

import pytest

import ccs
import ccs.aio
from tests.recipes.holds import in_line, nothing_left, queue_up, tickets
from tests.support.interrupts import Interrupt
from tests.support.leftovers import tasks
from tests.support.proxy import Proxy
from tests.support.waiting import aeventually, bounded, counts, eventually


async def cancel_after(turns: int, attempt: Any) -> bool:
    """Cancels it after that many turns of the loop. Returns whether it was cancelled, and had not ended before."""
    doing = asyncio.ensure_future(attempt)
    for _ in range(turns):
        await asyncio.sleep(0)
    doing.cancel()
    await asyncio.wait([doing])
    return doing.cancelled()


async def after_delay(seconds: float, attempt: Any) -> bool:
    doing = asyncio.ensure_future(attempt)
    await asyncio.sleep(seconds)
    doing.cancel()
    await asyncio.wait([doing])
    return doing.cancelled()


def leases(store: Any) -> list[Any]:
    return list(store._engine.opening.dispatcher._leases)


async def test_cancelled_at_any_turn_an_acquisition_leaves_nothing(valkey: str, namespace: str) -> None:
    async with ccs.aio.connect(valkey, namespace=namespace) as store:
        task, cancelled = store.task("t"), 0
        for turns in itertools.chain(range(counts(40, 40)), range(counts(0, 400))):
            claim = task.claim("a", wait=5)
            if await bounded(cancel_after(turns, claim.acquire())):
                cancelled += 1
                assert await nothing_left(task), f"after {turns} turns"
            else:
                await claim.release()
            assert not leases(store)
        assert cancelled > 3


async def test_cancelled_at_any_time_while_it_waits_or_is_given_the_claim(valkey: str, namespace: str) -> None:
    """Given a waiter behind a holder that releases, when the waiter is cancelled just then, then nothing is left."""
    dice, fates = random.Random(7), {True: 0, False: 0}
    async with ccs.aio.connect(valkey, namespace=namespace) as store:
        task = store.task("t")
        for turn in range(counts(60, 2000)):
            holder, waiter = task.claim("a"), task.claim("a", wait=5)
            await holder.acquire()
            waiting = asyncio.ensure_future(
                after_delay(dice.uniform(0, dice.choice([0.005, 0.02, 0.2])), waiter.acquire())
            )
            await asyncio.sleep(dice.uniform(0, 0.01))
            await holder.release()
            fate = await bounded(waiting)
            fates[fate] += 1
            if not fate:
                await waiter.release()
            assert await nothing_left(task), f"in turn {turn}"
            assert not leases(store)
        async with task.claim("a"):
            pass
    assert min(fates.values()) > 3, fates


async def test_the_waiter_behind_a_cancelled_one_moves_up(valkey: str, namespace: str) -> None:
    async with ccs.aio.connect(valkey, namespace=namespace) as store:
        task, done = store.task("t"), list[Any]()
        claim = await task.claim("a").acquire()
        waiting = await queue_up(task, "a", range(4), done)
        for index in (0, 2):
            waiting[index].cancel()
        await asyncio.wait([waiting[0], waiting[2]])
        assert len(await tickets(task, "a")) == 2
        await claim.release()
        await bounded(asyncio.gather(waiting[1], waiting[3]))
        assert done == [1, 3]


async def test_a_commit_that_was_on_its_way_is_taken_back(proxy: Proxy, namespace: str) -> None:
    """Given an acquisition that the server has not seen yet, when it is cancelled, then its commit is undone."""
    async with ccs.aio.connect(proxy.url, namespace=namespace) as store:
        task = store.task("t")
        await task.set("warm", 1)
        requests = proxy.requests
        proxy.filter = lambda count, chunk: "hold"
        acquiring = asyncio.create_task(task.claim("a").acquire())
        await aeventually(lambda: proxy.requests > requests)
        acquiring.cancel()
        await asyncio.sleep(0)
        proxy.filter = lambda count, chunk: "pass"
        proxy.release()
        await asyncio.wait([acquiring])
        assert acquiring.cancelled()
        assert [change.op for change in await task.history("@claims/a")] == ["set", "delete"]


async def test_a_lost_reply_is_not_noticed(proxy: Proxy, namespace: str) -> None:
    """G5: the same commit is sent again, and is applied once."""
    async with ccs.aio.connect(proxy.url, namespace=namespace) as store:
        task, dropped = store.task("t"), list[int]()
        await task.set("warm", 1)

        def fault(count: int, chunk: bytes) -> str:
            if b"+" in chunk and len(dropped) < 1:
                dropped.append(count)
                return "drop"
            return "pass"

        proxy.fault = fault
        async with task.claim("a") as claim:
            assert dropped
            assert [info.token for info in await task.claims()] == [claim.token]
        assert [change.op for change in await task.history("@claims/a")] == ["set", "delete"]


async def test_a_cancelled_acquisition_does_not_wait_for_a_server_that_is_silent(proxy: Proxy, namespace: str) -> None:
    async with ccs.aio.connect(proxy.url, namespace=namespace) as store:
        task = store.task("t")
        await task.set("warm", 1)
        proxy.filter = lambda count, chunk: "hold"
        began = time.monotonic()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await task.claim("a", ttl=1).acquire()
        assert time.monotonic() - began < 5  # and not retry_for
        proxy.filter = lambda count, chunk: "pass"
        proxy.release()
        await aeventually(lambda: nothing_left(task), what="what was on its way to lapse")
    assert not tasks()


async def test_a_cancelled_release_releases(valkey: str, namespace: str) -> None:
    async with ccs.aio.connect(valkey, namespace=namespace) as store:
        task = store.task("t")
        for turns in range(1, 12):
            claim = await task.claim("a").acquire()
            await bounded(cancel_after(turns, claim.release()))
            assert not claim.held
            assert await nothing_left(task), f"after {turns} turns"


async def test_leaving_a_block_by_cancellation_releases_and_stays_a_cancellation(valkey: str, namespace: str) -> None:
    async with ccs.aio.connect(valkey, namespace=namespace) as store:
        task = store.task("t")

        async def work() -> None:
            async with task.claim("a"):
                await asyncio.sleep(60)

        working = asyncio.create_task(work())
        await aeventually(lambda: task.exists("@claims/a"))
        working.cancel()
        await asyncio.wait([working])
        assert working.cancelled()
        assert await nothing_left(task)


async def test_a_claim_is_acquired_by_one_task_at_a_time(valkey: str, namespace: str) -> None:
    async with ccs.aio.connect(valkey, namespace=namespace) as store:
        task = store.task("t")
        claim, holder = task.claim("a", wait=20), await task.claim("a").acquire()
        first = asyncio.create_task(claim.acquire())
        await in_line(task, "a", 1)
        with pytest.raises(ccs.Misuse, match="in use"):
            await claim.acquire()
        await holder.release()
        await bounded(first)
        await asyncio.create_task(claim.release())  # by another task


# Threads.


def seconds_of_a_turn(task: ccs.Context) -> float:
    """Returns the seconds that it takes to claim and release."""
    began = time.monotonic()
    with task.claim("a"):
        pass
    return time.monotonic() - began


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # an interrupt inside a finalizer
def test_an_interrupted_thread_keeps_nothing(valkey: str, namespace: str, alarm: Callable[[float], None]) -> None:
    dice, interrupted = random.Random(11), 0
    with ccs.connect(valkey, namespace=namespace) as store, ccs.connect(valkey, namespace=namespace) as witness:
        task, watched = store.task("t"), witness.task("t")
        usual = min(seconds_of_a_turn(task) for _ in range(5))
        for turn in range(counts(100, 3000)):
            claim = task.claim("a", ttl=2, wait=5)
            try:
                try:
                    alarm(dice.uniform(1e-5, 2 * usual))
                    claim.acquire()
                    claim.release()
                finally:
                    alarm(0)
            except Interrupt:
                interrupted += 1
            if claim.held:  # interrupted after it was acquired
                claim.release()
            eventually(lambda: not watched.paths("@claims/**", "@waiting/**"), what=f"nothing to be left, turn {turn}")
    assert interrupted > 20
