"""Crowds: waiters of one store share a picture; nothing is lost when the one that was woken goes."""

from __future__ import annotations

import asyncio
import random
import time
from typing import Any

import pytest

import ccs
import ccs.aio
from tests.context.probes import Open
from tests.recipes.inboxes import close
from tests.support.servers import PrivateServer
from tests.support.waiting import aeventually, bounded, counts, scaled

MANY = 20


def receivers(task: Any, count: int, got: list[Any], timeout: float = 60.0) -> list[asyncio.Future[Any]]:
    """Starts receivers that wait for one message each, acknowledge it and note its content."""

    async def receive() -> None:
        inbox = task.inbox("r", attempts=1000)
        try:
            message = await inbox.receive(timeout=timeout)
            got.append(message.content)  # before the ack: a cancelled one may have been applied
            await message.ack()
        finally:
            await close(inbox)

    return [asyncio.ensure_future(receive()) for _ in range(count)]


def crowd_of(task: Any, kind: str) -> Any:
    """Returns the crowd of this store that has this kind, or None."""
    return next((crowd for key, crowd in list(task.handle.engine._common.items()) if key[0] == kind), None)


async def all_waiting(task: Any, count: int, kind: str = "inbox") -> Any:
    def there() -> Any:
        crowd = crowd_of(task, kind)
        return crowd if crowd and len(crowd._waiting) == count and crowd._leader else None

    return await aeventually(there, what=f"{count} to wait")


async def test_many_receivers_get_as_many_messages_one_each(task: Any) -> None:
    got: list[Any] = []
    waiting = receivers(task, MANY, got)
    await all_waiting(task, MANY)
    for number in range(MANY):
        await task.send("r", number)
    await bounded(asyncio.gather(*waiting))
    assert sorted(got) == list(range(MANY))
    assert await task.paths("@inbox/**") == []


async def test_a_message_makes_one_receiver_of_a_store_try(own_server: PrivateServer, namespace: str) -> None:
    async with ccs.aio.connect(own_server.url, namespace=namespace) as store:
        task = store.task("t")
        got: list[Any] = []
        waiting = receivers(task, MANY, got)
        await all_waiting(task, MANY)
        before = store.stats().commits
        await task.send("r", 1)
        await aeventually(lambda: any(each.done() for each in waiting))
        assert store.stats().commits - before == 3  # sent, taken, acknowledged
        for each in waiting:
            each.cancel()
        await asyncio.wait(waiting)


@pytest.mark.parametrize("turn", range(counts(5, 50)))
async def test_receivers_that_are_cancelled_again_and_again_lose_no_message(astore: ccs.aio.Store, turn: int) -> None:
    dice = random.Random(turn)
    task = astore.task("t")
    got: list[Any] = []
    waiting = receivers(task, MANY, got)
    await all_waiting(task, MANY)

    async def disturb() -> None:
        while len(set(got)) < MANY:
            victim = dice.choice(waiting)
            if victim.cancel():
                waiting.remove(victim)
                waiting.extend(receivers(task, 1, got))
            await asyncio.sleep(dice.random() * 0.003)

    disturbing = asyncio.ensure_future(disturb())
    for number in range(MANY):
        await task.send("r", number)
        await asyncio.sleep(dice.random() * 0.003)
    await bounded(disturbing, 30)
    for each in waiting:
        each.cancel()
    await asyncio.wait(waiting)


@pytest.mark.parametrize("kind", ["inbox", "turns", "barrier"])
async def test_when_the_leader_and_the_one_it_woke_both_go_another_one_leads(astore: ccs.aio.Store, kind: str) -> None:
    task = astore.task("t")
    got: list[Any] = []
    held = await task.claim("c").acquire()

    async def claim() -> None:
        async with task.claim("c", wait=60):
            got.append("claimed")

    waiting = {
        "inbox": lambda: receivers(task, 4, got),
        "turns": lambda: [asyncio.ensure_future(claim()) for _ in range(4)],
        "barrier": lambda: [asyncio.ensure_future(task.barrier("b", parties=5, timeout=60)) for _ in range(4)],
    }[kind]()
    crowd = await all_waiting(task, len(waiting), kind)
    if kind == "barrier":
        await aeventually(lambda: len(crowd.entries) == 1 + len(waiting), what="all to have arrived")
    leader = crowd._leader
    stop = crowd._stop

    def stop_and_cancel(waiter: Any) -> None:
        stop(waiter)
        if waiter is leader:
            # The one that was woken is cancelled before it runs.
            woken = next(each for each in crowd._waiting.values() if each.gate.is_open)
            crowd._stop = stop
            woken_task[woken.key].cancel()

    woken_task = tasks_by_key(crowd, waiting)
    crowd._stop = stop_and_cancel
    woken_task[leader.key].cancel()
    await aeventually(lambda: sum(each.done() for each in waiting) == 2)
    if kind == "inbox":
        await task.send("r", "hello")
        await aeventually(lambda: got == ["hello"])
    elif kind == "turns":
        await held.release()
        await aeventually(lambda: got == ["claimed"] * 2)
    else:
        await bounded(asyncio.gather(*(task.barrier("b", parties=5, timeout=60) for _ in range(3))))
        await aeventually(lambda: all(each.done() for each in waiting))
    for each in waiting:
        each.cancel()
    await asyncio.wait(waiting)


def tasks_by_key(crowd: Any, waiting: list[asyncio.Future[Any]]) -> dict[str, Any]:
    """Returns which task waits as which member: both are in the order in which they came."""
    return dict(zip(crowd._members.keys(), waiting, strict=True))


async def test_a_message_that_one_store_cannot_take_reaches_another_soon(open_store: Open) -> None:
    """Stores that often lose a message to others leave it to these for a while, and no longer."""
    tasks = [(await open_store(f"agent {number}")).task("t") for number in range(4)]
    got: list[Any] = []
    waiting = [each for task in tasks for each in receivers(task, 5, got)]
    for task in tasks:
        crowd = await all_waiting(task, 5)
        for _ in range(20):
            crowd._contention.lost()
    sender = (await open_store("sender")).task("t")
    began = time.monotonic()
    await sender.send("r", 1)
    await aeventually(lambda: got == [1])
    assert time.monotonic() - began < scaled(0.5)
    for number in range(2, 21):
        await sender.send("r", number)
    await bounded(asyncio.gather(*waiting))
    assert sorted(got) == list(range(1, 21))
