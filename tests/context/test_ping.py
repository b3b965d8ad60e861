"""A ping: how long the server takes to answer, or that it does not."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

import ccs
import ccs.aio
from tests.context.probes import Open
from tests.support.colours import COLOURS, connect_in
from tests.support.servers import PrivateServer
from tests.support.waiting import bounded


async def test_it_returns_the_seconds_of_a_round_trip(open_store: Open) -> None:
    store = await open_store()
    began = time.monotonic()
    taken = await store.ping()
    assert 0 < taken <= time.monotonic() - began


async def test_it_opens_a_store_that_was_not_entered(target: str, namespace: str) -> None:
    store = ccs.aio.connect(target, namespace=namespace)
    assert await store.ping() > 0
    await store.aclose()
    with pytest.raises(ccs.StoreClosed):
        await store.ping()


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_server_that_hangs_answers_late_and_one_that_is_gone_never(
    colour: str, own_server: PrivateServer, namespace: str
) -> None:
    patient: Any = connect_in(colour, own_server.url, namespace=namespace)
    hurried: Any = connect_in(colour, own_server.url, namespace=namespace, retry_for=0.1)
    async with patient:
        own_server.pause()
        waiting = asyncio.ensure_future(patient.ping())
        await asyncio.sleep(0.2)
        own_server.resume()
        assert await bounded(waiting, 20) > 0.1
        own_server.kill()
        with pytest.raises(ccs.Unavailable):
            await bounded(hurried.ping())
