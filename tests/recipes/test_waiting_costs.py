"""Waiting costs the server nothing, however many callers wait: by its own count, it gets no commands but the store's."""

from __future__ import annotations

import asyncio
from functools import partial

import pytest
from anyio import to_thread

import ccs.aio
from tests.recipes.waiters import Play, agreeing, claiming, looking, meeting, receiving, running, seated
from tests.support.colours import COLOURS, connect_in
from tests.support.servers import PrivateServer
from tests.support.waiting import aeventually

MANY = 100
OWN = 6
"""A heartbeat, a look at the journal, a renewal, a sweep; one of them perhaps twice."""


@pytest.fixture
async def a_thread_for_everybody() -> None:
    to_thread.current_default_thread_limiter().total_tokens = 2 * MANY


@pytest.mark.usefixtures("a_thread_for_everybody")
@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize(
    "play",
    [receiving, running, looking, claiming, partial(agreeing, voters=MANY), partial(meeting, parties=MANY)],
    ids=["receive", "once", "wait_for", "claim", "agree", "barrier"],
)
async def test_a_hundred_waiting_callers_cost_the_server_nothing(
    own_server: PrivateServer, namespace: str, colour: str, play: Play
) -> None:
    async with ccs.aio.connect(own_server.url, namespace=namespace, agent="other") as theirs:
        async with connect_in(colour, own_server.url, namespace=namespace) as store:
            task, other = store.task("t"), theirs.task("t")
            async with play(task, other) as seat:
                waiting = [asyncio.ensure_future(seat.wait(number, 60.0)) for number in range(MANY)]
                await seated(task, other, seat, MANY)
                await aeventually(partial(quiet, own_server), 20, "everybody to have looked")
                before = await asyncio.to_thread(calls, own_server)
                await asyncio.sleep(1)  # the time in which whoever polled would be seen
                assert await asyncio.to_thread(calls, own_server) - before <= OWN
                assert not any(waiter.done() for waiter in waiting)
        await asyncio.gather(*waiting, return_exceptions=True)


async def quiet(server: PrivateServer) -> bool:
    before = await asyncio.to_thread(calls, server)
    await asyncio.sleep(0.3)
    return await asyncio.to_thread(calls, server) == before


def calls(server: PrivateServer) -> int:
    """Returns how many commands clients have sent, without this one, and without those of scripts."""
    with server.client() as client:
        stats = client.info("commandstats")
    return sum(each["calls"] for name, each in stats.items() if name in ("cmdstat_evalsha", "cmdstat_ping"))
