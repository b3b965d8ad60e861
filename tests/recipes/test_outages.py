"""Waiting during an outage: one that is shorter than the store's patience is not noticed, a longer one is an error."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest

import ccs
import ccs.aio
from tests.recipes.waiters import Play, Seat, agreeing, claiming, looking, meeting, receiving, running, seated
from tests.support.colours import COLOURS, connect_in
from tests.support.proxy import Proxy
from tests.support.waiting import aeventually, bounded, scaled

IMPATIENT = scaled(0.5)
"""Seconds for which a store waits for its server."""

pytestmark = pytest.mark.parametrize("colour", COLOURS)


class Both:
    """One context seen by two stores: `task` behind the proxy, and that of `other`, which nothing disturbs."""

    def __init__(self, colour: str, proxy: Proxy, url: str, namespace: str) -> None:
        self._colour, self._proxy, self._url, self._namespace = colour, proxy, url, namespace

    @asynccontextmanager
    async def contexts(self, **options: Any) -> AsyncIterator[tuple[Any, Any]]:
        behind = connect_in(self._colour, self._proxy.url, namespace=self._namespace, agent="a", **options)
        async with behind as store, ccs.aio.connect(self._url, namespace=self._namespace, agent="other") as theirs:
            other = theirs.task("t", keep_commits=1)
            await other.set("begun", True)
            yield store.task("t"), other


@pytest.fixture
def both(colour: str, proxy: Proxy, valkey: str, namespace: str) -> Both:
    return Both(colour, proxy, valkey, namespace)


@pytest.mark.parametrize("play", [receiving, running, looking, claiming, agreeing, meeting])
async def test_an_outage_after_which_the_journal_was_trimmed_is_not_noticed(
    both: Both, proxy: Proxy, play: Play
) -> None:
    """Only the present state matters to a waiter."""
    async with both.contexts() as (task, other):
        async with play(task, other) as seat:
            waiter = asyncio.ensure_future(seat.wait(0, scaled(20)))
            await seated(task, other, seat)
            proxy.refuse()
            before = await other.revision()
            await asyncio.gather(*(other.set(f"noise/{number}", number) for number in range(300)))
        with pytest.raises(ccs.HistoryCompacted):
            await other.watch(since=before).__aenter__()
        proxy.refuse(False)
        assert await bounded(waiter, 20) is None or waiter.result()


async def persistent(seat: Seat) -> Any:
    """Returns the result of waiting, repeated while the server is unavailable."""
    while True:
        with suppress(ccs.Unavailable):
            return await seat.wait(0, scaled(20))


@pytest.mark.parametrize("play", [receiving, running, looking, claiming, agreeing, meeting])
async def test_an_outage_shorter_than_retry_for_is_not_noticed_and_nothing_is_missed(
    both: Both, proxy: Proxy, play: Play
) -> None:
    async with both.contexts() as (task, other):
        async with play(task, other) as seat:
            waiter = asyncio.ensure_future(seat.wait(0, scaled(20)))
            await seated(task, other, seat)
            proxy.refuse()
        proxy.refuse(False)
        assert await bounded(waiter, 20) is None or waiter.result()


@pytest.mark.parametrize("play", [receiving, running, looking])
async def test_a_waiter_without_a_timeout_gets_unavailable_in_a_longer_outage_and_may_wait_again(
    both: Both, proxy: Proxy, play: Play
) -> None:
    async with both.contexts(retry_for=IMPATIENT) as (task, other):
        async with play(task, other) as seat:
            waiter = asyncio.ensure_future(seat.wait(0, None))
            await seated(task, other, seat)
            proxy.refuse()
            with pytest.raises(ccs.Unavailable) as told:
                await bounded(waiter)
            assert told.value.address == proxy.url
            proxy.refuse(False)
        assert await bounded(persistent(seat), 20)


@pytest.mark.parametrize("play", [running, claiming, agreeing, meeting])
async def test_a_waiter_with_a_timeout_waits_on_through_a_longer_outage(both: Both, proxy: Proxy, play: Play) -> None:
    async with both.contexts(retry_for=IMPATIENT) as (task, other):
        async with play(task, other) as seat:
            waiter = asyncio.ensure_future(seat.wait(0, scaled(20)))
            await seated(task, other, seat)
            if play in (agreeing, meeting):  # the reply has come too
                await aeventually(lambda: task.last_revision)
            proxy.refuse()
            since = time.monotonic()
            await aeventually(lambda: time.monotonic() - since > 3 * IMPATIENT)
        assert not waiter.done()
        proxy.refuse(False)
        assert await bounded(waiter, 20) is None or waiter.result()


@pytest.mark.parametrize("play", [running, claiming, agreeing, meeting])
async def test_a_waiter_with_a_timeout_gets_an_error_when_the_time_is_up(both: Both, proxy: Proxy, play: Play) -> None:
    async with both.contexts(retry_for=IMPATIENT) as (task, other), play(task, other) as seat:
        waiter = asyncio.ensure_future(seat.wait(0, scaled(1)))
        await seated(task, other, seat)
        proxy.refuse()
        with pytest.raises((ccs.Unavailable, TimeoutError)):
            await bounded(waiter)
        proxy.refuse(False)


async def test_a_receiver_that_got_unavailable_can_receive_again(both: Both, proxy: Proxy) -> None:
    async with both.contexts(retry_for=IMPATIENT) as (task, other), task.inbox("r") as inbox:
        proxy.refuse()
        with pytest.raises(ccs.Unavailable):
            await bounded(inbox.receive())
        await other.send("r", "meanwhile")
        proxy.refuse(False)
        message = await bounded(persistent(Seat(lambda _, timeout: inbox.receive(timeout=timeout))), 20)
        await message.ack()
        assert (message.content, await other.paths("@inbox/**")) == ("meanwhile", [])
