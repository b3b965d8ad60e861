"""Stores that are closed: what they give back, deliver or count, also amid an outage, in a forked child, or too late."""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from typing import Any

import pytest

import ccs
import ccs.aio
from tests.faults.test_forks import CLOSED, forked
from tests.support.colours import COLOURS, connect_in
from tests.support.proxy import Proxy
from tests.support.servers import PrivateServer
from tests.support.waiting import aeventually, bounded, counts, scaled

# What is had within this many seconds less was given back, and did not lapse.
TTL = 300.0


async def close(store: Any, **options: Any) -> None:
    await (store.close(**options) if hasattr(store, "blocking") else store.aclose(**options))


async def subscribed(task: Any, pattern: str, callback: Any) -> Any:
    made = task.subscribe(pattern, callback)
    return await made if asyncio.iscoroutine(made) else made


# Amid an outage.


@pytest.mark.parametrize("how", ["killed", "stopped"])
@pytest.mark.parametrize("colour", COLOURS)
async def test_closing_amid_an_outage_ends_in_time_with_a_warning_and_leases_expire(
    colour: str, how: str, own_server: PrivateServer, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = connect_in(colour, own_server.url, namespace=namespace)
    async with store:
        task = store.task("t")
        claim = await task.claim("a", ttl=3).acquire()
        await subscribed(task, "**", lambda change: None)
        if how == "killed":
            own_server.sync()
            own_server.kill()
        else:
            own_server.pause()
        began = time.monotonic()
        await bounded(close(store, drain=0.5), 10)
        assert time.monotonic() - began < scaled(2.5)
        assert (claim.held, claim.lost) == (False, False)
    assert "could not give back 1 entries" in caplog.text
    if how == "killed":
        own_server.start()
    else:
        own_server.resume()
    async with (
        ccs.aio.connect(own_server.url, namespace=namespace) as other,
        other.task("t").claim("a", wait=scaled(20)) as next_claim,
    ):
        assert next_claim.token > claim.token


# In a forked child.


def test_a_child_that_closes_its_copy_gives_back_nothing_of_its_parents(valkey: str, namespace: str) -> None:
    with ccs.connect(valkey, namespace=namespace) as store, ccs.connect(valkey, namespace=namespace) as other:
        task = store.task("t")
        claim, presence = task.claim("a", ttl=TTL).acquire(), task.join("worker", ttl=TTL)
        presence.enter()
        task.send("r", 1)
        inbox = task.inbox("r", lease=TTL)
        message = inbox.receive(timeout=scaled(10))

        def child() -> None:
            inbox.close()
            store.close()
            os._exit(42)

        assert forked(child) == 42
        there = other.task("t")
        assert ([info.token for info in there.claims()], len(there.members())) == ([claim.token], 1)
        with pytest.raises(TimeoutError):
            there.inbox("r").receive(timeout=0)
        message.ack()
        claim.release()
        presence.leave()


async def test_a_child_of_an_event_loop_that_closes_its_copy_gives_back_nothing_of_its_parents(
    astore: ccs.aio.Store,
) -> None:
    claim = await astore.task("t").claim("a", ttl=TTL).acquire()

    def child() -> None:
        asyncio.Runner().run(astore.aclose())
        os._exit(42)

    assert forked(child) == CLOSED, "it belongs to another event loop, too"
    assert [info.token for info in await astore.task("t").claims()] == [claim.token]
    await claim.release()


# Callbacks that are slow.


@pytest.mark.parametrize("colour", COLOURS)
async def test_each_change_is_delivered_or_counted(colour: str, valkey: str, namespace: str) -> None:
    """More than a subscription holds; changes that do not match, events and the end of the context are not counted."""
    dice = random.Random(5)
    for _ in range(counts(3, 30)):
        told: list[Any] = []
        most = dice.randrange(1500)

        def tell(change: ccs.Change, told: list[Any] = told, most: int = most) -> None:
            if len(told) == most:
                time.sleep(scaled(0.4))
            told.append(change.value)

        async with connect_in("asyncio", valkey, namespace=namespace) as writer:
            store = connect_in(colour, valkey, namespace=namespace)
            async with store:
                subscription = await subscribed(store.task("t"), "p/*", tell)
                if colour == "asyncio":
                    await subscription.ready(scaled(10))
                task = writer.task("t")
                for number in range(30):
                    await task.set_many({f"p/{number}-{index}": 1 for index in range(50)})
                    await task.set("other", number)
                    await task.publish(f"p/{number}", "an event")
                await task.finish()
                await close(store, drain=dice.choice([0, 0.05]))
            await task.drop()
        stats = stats_of(store)
        assert stats.deliveries + stats.undelivered == 1500
        await aeventually(lambda told=told, stats=stats: len(told) == stats.deliveries)


def stats_of(store: Any) -> ccs.StoreStats:
    return getattr(store, "blocking", store).stats()  # type: ignore[no-any-return]  # of either colour


@pytest.mark.parametrize("colour", COLOURS)
async def test_what_a_callback_has_not_finished_with_amid_an_outage_is_counted_as_far_as_it_is_known(
    colour: str, own_server: PrivateServer, namespace: str
) -> None:
    release, told = threading.Event(), list[Any]()

    def tell(change: ccs.Change) -> None:
        told.append(change.value)
        release.wait(scaled(20))

    store = connect_in(colour, own_server.url, namespace=namespace)
    async with store:
        task = store.task("t")
        await subscribed(task, "p", tell)
        for number in range(5):
            await task.set("p", number)
        await aeventually(lambda: told == [0])
        await aeventually(lambda: heard(store) == 4)
        own_server.pause()
        await bounded(close(store, drain=0.1), 10)
        release.set()
        own_server.resume()
    stats = stats_of(store)
    assert (stats.deliveries, stats.undelivered) == (1, 4)


def heard(store: Any) -> int:
    """Returns how many changes wait for callbacks."""
    watches = [subscription._watch for subscription in list(getattr(store, "blocking", store)._engine.subscriptions)]
    return sum(len(watch._queue) + len(watch._mailbox.records) for watch in watches)


# Who is on the way in.


@pytest.mark.parametrize("colour", COLOURS)
async def test_entering_a_watch_just_when_the_store_is_closed_is_an_error_at_once(
    colour: str, proxy: Proxy, namespace: str
) -> None:
    """Given a subscription that the server has not answered, when the store is closed, then no call waits for it."""
    held = threading.Event()

    def hold(count: int, chunk: bytes) -> str:
        if b"SUBSCRIBE" not in chunk:
            return "pass"
        held.set()
        return "hold"

    proxy.filter = hold
    store = connect_in(colour, proxy.url, namespace=namespace)
    async with store:
        watch = store.task("t").watch("**")
        entering = asyncio.ensure_future(watch.__aenter__())
        await aeventually(held.is_set)
    with pytest.raises(ccs.StoreClosed):
        await bounded(entering)
