"""Claims, inboxes and run-once keep their promises while a primary is killed, where all replicas have what they wrote."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any

import pytest

import ccs
from tests.recipes.holds import in_line
from tests.support.colours import COLOURS, connect_in
from tests.support.waiting import aeventually, bounded, counts, scaled
from tests.topologies.failing_over import ALL, Servers, replace_primary_of

pytestmark = pytest.mark.parametrize("colour", COLOURS)


@asynccontextmanager
async def stores_on(colour: str, servers: Servers, namespace: str) -> AsyncIterator[list[Any]]:
    """Two stores whose commits wait for all replicas, however long it takes until they are back."""
    durability = ccs.Durability(disk=False, replicas=ALL[type(servers)], timeout=scaled(30))
    async with AsyncExitStack() as stack:
        options = {"namespace": namespace, "durability": durability, "retry_for": scaled(30)}
        yield [
            await stack.enter_async_context(connect_in(colour, servers.url, agent=f"agent {number}", **options))
            for number in range(2)
        ]


async def test_a_claim_outlives_the_primary_and_goes_to_those_in_line_one_after_the_other(
    colour: str, servers: Servers, namespace: str
) -> None:
    async with stores_on(colour, servers, namespace) as stores:
        tasks = [store.task("t") for store in stores]
        held: list[int] = []
        inside = 0

        async def take(task: Any) -> None:
            nonlocal inside
            async with task.claim("job", ttl=scaled(20), wait=scaled(60)) as claim:
                inside += 1
                held.append(claim.token)
                assert inside == 1
                await claim.context.set("last", claim.token)
                inside -= 1

        async with tasks[0].claim("job", ttl=scaled(20)) as claim:
            first = claim.token
            waiting = [asyncio.create_task(take(tasks[number % 2])) for number in range(4)]
            await in_line(tasks[0], "job", 4)
            await replace_primary_of(servers, namespace, tasks[0])
            assert claim.held
            await claim.context.set("last", first)
            assert held == []
        await bounded(asyncio.gather(*waiting), 30)
        assert [first, *held] == sorted({first, *held})
        assert len(held) == 4
        assert await tasks[1].get("last") == held[-1]


async def test_each_message_is_acknowledged_by_one_receiver(colour: str, servers: Servers, namespace: str) -> None:
    async with stores_on(colour, servers, namespace) as stores:
        tasks = [store.task("t") for store in stores]
        messages = counts(20, 200)
        acknowledged: list[int] = []
        over = asyncio.Event()

        async def receive(task: Any) -> None:
            async with task.inbox("r") as inbox:
                while not over.is_set():
                    try:
                        message = await inbox.receive(timeout=0.5)
                    except TimeoutError:
                        continue
                    await message.ack()
                    acknowledged.append(message.content)

        async def send() -> None:
            for number in range(messages):
                await tasks[number % 2].send("r", number)
                await asyncio.sleep(0.005)

        async with asyncio.TaskGroup() as group:
            for number in range(4):
                group.create_task(receive(tasks[number % 2]))
            sending = group.create_task(send())
            await aeventually(lambda: len(acknowledged) > 5)
            await replace_primary_of(servers, namespace, tasks[0])
            await bounded(sending, 60)
            await aeventually(lambda: len(acknowledged) >= messages, 30)
            over.set()
        assert Counter(acknowledged) == Counter(range(messages))
        assert await tasks[0].inbox("r").unread() == []


async def test_what_runs_once_runs_once(colour: str, servers: Servers, namespace: str) -> None:
    async with stores_on(colour, servers, namespace) as stores:
        tasks = [store.task("t") for store in stores]
        tokens: list[int] = []
        replaced = threading.Event()

        def work(*, token: int) -> int:
            tokens.append(token)
            assert replaced.wait(scaled(60))
            return len(tokens)

        runs = [asyncio.create_task(tasks[number % 2].once("job", work, lease=scaled(20))) for number in range(6)]
        await aeventually(lambda: tokens)
        await replace_primary_of(servers, namespace, tasks[0])
        replaced.set()
        assert await bounded(asyncio.gather(*runs), 30) == [1] * 6
        assert len(tokens) == 1
