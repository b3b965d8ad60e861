"""Waiters outlive their context: callbacks, events and inboxes go on when it is created again. Both colours."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import ccs
import ccs.aio
from tests.recipes.inboxes import PATIENCE
from tests.support.colours import COLOURS, connect_in
from tests.support.proxy import Proxy
from tests.support.waiting import aeventually, eventually, scaled

ENDS = ["drop", "expiry", "lost"]


async def end(task: Any, how: str, server: Any) -> None:
    """Ends a context, by its own means or with all that its server had."""
    if how == "drop":
        await task.drop()
    elif how == "lost":
        with server.client() as client:
            client.flushall()
    await aeventually(lambda: _is_gone(task), timeout=20)


async def _is_gone(task: Any) -> bool:
    return bool(await task.revision() == 0)


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("colour", COLOURS)
async def test_callbacks_go_on_with_the_next_life_of_their_context(
    colour: str, how: str, own_server: Any, namespace: str
) -> None:
    """No change of the new context is missed, none of the old one is delivered again; the end comes in between."""
    async with connect_in(colour, own_server.url, namespace=namespace) as store:
        task = store.task("t", ttl=0.4 if how == "expiry" else 60)
        told: list[Any] = []
        subscription = task.subscribe("p", lambda change: told.append(change.value), on_gone=told.append)
        subscription = await subscription if asyncio.iscoroutine(subscription) else subscription
        for life in range(2):
            for number in range(3):
                await task.set("p", [life, number])
            # What a context takes with it before it was read cannot be told any more.
            await aeventually(lambda life=life: told[-1:] == [[life, 2]], timeout=20)
            await end(task, how, own_server)
        await task.set("p", "again")
        await aeventually(lambda: told[-1:] == ["again"], timeout=20)
        first, second = [[[life, number] for number in range(3)] for life in range(2)]
        assert told == [*first, "/tasks/t", *second, "/tasks/t", "again"]


async def test_callbacks_miss_nothing_of_a_life_that_began_while_they_were_cut_off(
    proxy: Proxy, valkey: str, namespace: str
) -> None:
    """Given a subscriber that is cut off, when the context is dropped and created again meanwhile, then it gets every change."""
    async with (
        ccs.aio.connect(proxy.url, namespace=namespace) as away,
        ccs.aio.connect(valkey, namespace=namespace) as here,
    ):
        told: list[Any] = []

        async def tell(change: ccs.Change) -> None:
            told.append(change.value)

        async def gone(address: str) -> None:
            told.append(address)

        subscription = away.task("t").subscribe("p", tell, on_gone=gone)
        await subscription.ready(scaled(10))
        task = here.task("t")
        await task.set("p", "old")
        await aeventually(lambda: told == ["old"])
        proxy.refuse()
        await task.drop()
        for number in range(5):
            await task.set("p", number)
        proxy.refuse(False)
        await aeventually(lambda: told[-1:] == [4], timeout=20)
        assert told == ["old", "/tasks/t", 0, 1, 2, 3, 4]
        assert subscription.state == "live"


async def test_an_on_gone_that_raises_stops_nothing(astore: ccs.aio.Store) -> None:
    task = astore.task("t")
    told: list[Any] = []

    def gone(address: str) -> None:
        raise RuntimeError(address)

    @task.on_change("p", on_gone=gone)
    async def tell(change: ccs.Change) -> None:
        told.append(change.value)

    await task.set("p", 1)
    await task.drop()
    await task.set("p", 2)
    await aeventually(lambda: told == [1, 2])
    assert astore.stats().callback_errors == 1


async def test_events_and_memories_go_on_silently(astore: ccs.aio.Store, caplog: pytest.LogCaptureFixture) -> None:
    task, memory = astore.task("t"), astore.memory(workflow="t")
    heard: list[Any] = []

    async def listen() -> None:
        async with task.events("e") as events:
            heard.append("live")
            async for event in events:
                heard.append(("iterated", event.data))  # noqa: PERF401  # one by one

    listening = asyncio.ensure_future(listen())
    await aeventually(lambda: heard)

    @task.on_event("e")
    async def on_event(event: ccs.Event) -> None:
        heard.append(("called", event.data))

    @memory.on_change("key")
    async def on_change(event: ccs.MemoryEvent) -> None:
        heard.append(("memory", event.data))

    for life in range(2):
        await task.publish("e", life)
        await memory.set("key", life)
        await aeventually(lambda life=life: len(heard) == 1 + 3 * (life + 1))
        await task.drop()
    assert sorted(heard[1:]) == sorted((kind, life) for kind in ("iterated", "called", "memory") for life in range(2))
    assert not [record for record in caplog.records if record.levelname == "ERROR"]
    await task.set("x", 1)
    await task.finish()
    await asyncio.wait_for(listening, scaled(10))


@pytest.mark.parametrize("how", ENDS)
@pytest.mark.parametrize("colour", COLOURS)
async def test_an_iterated_inbox_goes_on_with_the_next_life_of_its_context(
    colour: str, how: str, own_server: Any, namespace: str
) -> None:
    """It does not keep its context alive either; and it ends when that is finished."""
    async with connect_in(colour, own_server.url, namespace=namespace) as store:
        task = store.task("t", ttl=0.4 if how == "expiry" else 60)
        got: list[Any] = []

        async def work() -> None:
            async for message in task.inbox("r"):
                await message.ack()
                got.append(message.content)

        working = asyncio.ensure_future(work())
        for life in range(3):
            await task.send("r", life)
            await aeventually(lambda life=life: got == [*range(life + 1)], timeout=20)
            if life < 2:
                await end(task, how, own_server)
        await task.finish()
        await asyncio.wait_for(working, PATIENCE)


def test_a_blocking_worker_outlives_an_idle_context(store: ccs.Store) -> None:
    """As a program would be written."""
    task = store.task("jobs", ttl=0.3)
    task.set("config", 1)
    got: list[Any] = []

    def work() -> None:
        for message in task.inbox("w"):
            got.append(message.content)
            message.ack()

    worker = threading.Thread(target=work, daemon=True)
    worker.start()
    eventually(lambda: task.revision() == 0)
    task.send("w", "job")
    eventually(lambda: got == ["job"])
    task.finish()
    worker.join(scaled(10))
    assert not worker.is_alive()


# Closing.


@pytest.mark.parametrize("colour", COLOURS)
async def test_what_waits_for_a_callback_is_delivered_when_the_store_is_left(
    colour: str, target: str, namespace: str
) -> None:
    """Also what was acknowledged just before, and what the callbacks write meanwhile is stored."""
    store = connect_in(colour, target, namespace=namespace)
    told: list[Any] = []
    async with store:
        task = store.task("t")
        release = threading.Event()

        def tell(change: ccs.Change) -> None:
            release.wait(scaled(5))
            told.append(change.value)

        await _subscribed(task, "p", tell)
        for number in range(50):
            await task.set("p", number)
        release.set()
    assert told == [*range(50)]
    assert store.stats().undelivered == 0


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_commit_whose_message_never_came_is_delivered_when_the_store_is_left(
    colour: str, proxy: Proxy, namespace: str
) -> None:
    """Given a commit whose message is still on its way, or lost, when the store is left, then the journal is read."""
    told: list[Any] = []
    async with connect_in(colour, proxy.url, namespace=namespace) as store:
        task = store.task("t")
        made = task.subscribe("p", lambda change: told.append(change.value))
        await (made if asyncio.iscoroutine(made) else made.ready(scaled(10)))
        proxy.fault = lambda count, chunk: "lose" if b"message" in chunk else "pass"
        await task.set("p", 1)
    assert told == [1]


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("drain", [0, 0.2])
async def test_what_cannot_be_delivered_in_time_is_counted_and_logged(
    colour: str, drain: float, target: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    store = connect_in(colour, target, namespace=namespace)
    release = threading.Event()
    told: list[Any] = []

    def tell(change: ccs.Change) -> None:
        told.append(change.value)
        release.wait(scaled(20))

    async with store:
        task = store.task("t")
        await _subscribed(task, "p", tell)
        for number in range(5):
            await task.set("p", number)
        await aeventually(lambda: told == [0])
        await aeventually(lambda: _knows_of(store, 4))
        closing = store.close(drain=drain) if colour == "blocking" else store.aclose(drain=drain)
        await asyncio.wait_for(closing, scaled(4))
        release.set()
    assert store.stats().undelivered == 4
    assert "before 4 changes were delivered" in caplog.text
    assert told == [0]


def _knows_of(store: Any, changes: int) -> bool:
    """Returns whether that many changes wait, or the watch knows that it must read them from the journal."""
    engine = getattr(store, "blocking", store)._engine
    (watch,) = [subscription._watch for subscription in list(engine.subscriptions)]
    reads = watch._catching_up or watch._mailbox.behind or not watch._mailbox.continues(watch._read)
    return reads or len(watch._queue) + len(watch._mailbox.records) == changes


async def _subscribed(task: Any, pattern: str, callback: Any) -> None:
    made = task.subscribe(pattern, callback)
    if asyncio.iscoroutine(made):
        await made
