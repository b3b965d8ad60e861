"""Waiting for messages: receivers are woken and never poll; no message is lost, and nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import anyio
import pytest

import ccs
import ccs.aio
from ccs._async.context_handle import Handle
from ccs._sync.context_handle import Handle as BlockingHandle
from tests.context.probes import Open
from tests.recipes.inboxes import PATIENCE, close, left_behind, take
from tests.support.colours import connect_in
from tests.support.servers import PrivateServer
from tests.support.waiting import aeventually, bounded


async def waiting(inbox: Any) -> asyncio.Future[Any]:
    """Starts a receiver, and waits until it waits. Returns its future."""
    receiver = asyncio.ensure_future(inbox.receive(timeout=PATIENCE))
    await aeventually(lambda: inbox._desk or receiver.done(), what="the receiver to wait")
    return receiver


async def test_a_waiting_receiver_is_woken_by_a_message(open_store: Open) -> None:
    task, other = [(await open_store(f"agent {index}")).task("t") for index in range(2)]
    async with task.inbox("r") as inbox:
        for index in range(5):
            receiver = await waiting(inbox)
            await other.send("r", index)
            assert (await bounded(receiver)).content == index


async def test_a_receiver_without_a_message_gets_a_timeout(task: Any) -> None:
    async with task.inbox("r") as inbox:
        for timeout in (0, 0.01):
            with pytest.raises(TimeoutError, match=f"no message for 'r' within {timeout} seconds"):
                await inbox.receive(timeout=timeout)
        with pytest.raises(ccs.InvalidValue):
            await inbox.receive(timeout=-1)


async def test_an_inbox_has_one_consumer_at_a_time(task: Any) -> None:
    async with task.inbox("r") as inbox:
        receiver = await waiting(inbox)
        await aeventually(lambda: inbox._receiving)
        with pytest.raises(ccs.Misuse, match="an inbox of its own"):
            await inbox.receive(timeout=0)
        await task.send("r", 1)
        assert (await receiver).content == 1


async def test_iterating_ends_when_the_context_is_finished(task: Any) -> None:
    got = []

    async def iterate() -> None:
        async for message in task.inbox("r"):
            got.append(message.content)
            await message.ack()

    iterating = asyncio.ensure_future(iterate())
    await task.send("r", 1)
    await aeventually(lambda: _acknowledged(task, got))
    await task.finish("done")
    await bounded(iterating)
    assert got == [1]
    with pytest.raises(ccs.ContextFinished):
        await task.inbox("r").receive(timeout=PATIENCE)


async def _acknowledged(task: Any, got: list[Any]) -> bool:
    return bool(got) and not await task.paths("@inbox/**")


async def test_closing_ends_a_waiting_receiver_and_a_delivered_message_can_still_be_acknowledged(task: Any) -> None:
    await task.send("r", 1)
    inbox = task.inbox("r")
    message = await inbox.receive(timeout=PATIENCE)
    receiver = await waiting(inbox)
    await aeventually(lambda: inbox._receiving)
    await close(inbox)
    with pytest.raises(ccs.Misuse, match="this inbox of 'r' was closed"):
        await bounded(receiver)
    with pytest.raises(ccs.Misuse, match="this inbox of 'r' was closed"):
        await inbox.receive(timeout=PATIENCE)
    assert [each async for each in inbox] == []
    await message.ack()


async def test_a_context_that_is_dropped_ends_the_wait_and_the_same_inbox_serves_its_successor(task: Any) -> None:
    await task.set("here", 1)
    async with task.inbox("r") as inbox:
        receiver = await waiting(inbox)
        await task.drop()
        with pytest.raises(ccs.ContextGone):
            await bounded(receiver)
        await task.send("r", "new")
        assert (await inbox.receive(timeout=PATIENCE)).content == "new"


async def test_closing_the_store_ends_a_waiting_receiver(open_store: Open, target: str, namespace: str) -> None:
    task = (await open_store()).task("t")
    store = connect_in("asyncio" if isinstance(task, ccs.aio.Context) else "blocking", target, namespace=namespace)
    async with store:
        receiver = await waiting(store.task("t").inbox("r"))
    with pytest.raises(ccs.StoreClosed):
        await bounded(receiver)


async def test_an_inbox_that_fell_too_far_behind_reads_again_and_misses_nothing(open_store: Open) -> None:
    """The journal keeps few commits, and there were far more than an inbox buffers."""
    task = (await open_store()).task("t", keep_commits=4)
    async with task.inbox("r") as inbox:
        await task.send("r", "first")
        message = await inbox.receive(timeout=PATIENCE)
        for block in range(60):
            async with task.transaction() as tx:
                for index in range(20):
                    tx.send("r", 20 * block + index)
        await message.ack()
        assert (await inbox.receive(timeout=PATIENCE)).content == 0
        assert (await inbox.receive(timeout=PATIENCE)).content == 1


async def test_inboxes_that_were_never_closed_are_left_when_the_next_one_is_opened(task: Any) -> None:
    for index in range(8):
        await task.send("r", index)
        assert (await task.inbox("r").receive(timeout=PATIENCE)).content == index
    dispatcher = task.handle.engine.opening.dispatcher
    (feed,) = getattr(dispatcher, "_dispatcher", dispatcher)._feeds.values()
    gc.collect()
    async with task.inbox("r"):
        assert len(feed.mailboxes) == 1


async def receive_and_cancel(receive: Any, lost: str) -> None:
    """A receiver that is cancelled just before, or just after, the commit that takes a message."""
    real, reached = Handle.commit, asyncio.Event()

    async def hanging(*args: Any, **options: Any) -> Any:
        if reached.is_set():  # a later commit
            return await real(*args, **options)
        if lost == "after the commit":
            await real(*args, **options)
        reached.set()
        await asyncio.Event().wait()

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Handle, "commit", hanging)
        receiver = asyncio.ensure_future(receive())
        await bounded(reached.wait())
        receiver.cancel()
        with pytest.raises(asyncio.CancelledError):
            await receiver


@pytest.mark.parametrize("lost", ["before the commit", "after the commit"])
async def test_a_message_that_a_cancelled_receiver_took_is_given_back_when_its_inbox_is_left(
    aconnect: Any, lost: str
) -> None:
    """Given a receiver that is cancelled as it takes a message, when it leaves, then the next receiver gets it at once."""
    task = aconnect().task("t")
    await task.send("r", 1)
    await task.send("r", 2)
    async with task.inbox("r", lease=300) as inbox:
        await receive_and_cancel(inbox.receive, lost)
    async with task.inbox("r") as following:
        assert [(await following.receive(timeout=PATIENCE)).content for _ in range(2)] == [1, 2]


@pytest.mark.parametrize("lost", ["before the commit", "after the commit"])
async def test_a_message_that_a_cancelled_loop_took_is_given_back_at_once(aconnect: Any, lost: str) -> None:
    """Given a loop that is cancelled as it takes a message, when its inbox stays open, then others get it at once."""
    task = aconnect().task("t")
    await task.send("r", 1)
    await task.send("r", 2)
    inbox = task.inbox("r", lease=300)

    async def loop() -> None:
        async for _ in inbox:
            pass

    await receive_and_cancel(loop, lost)
    async with task.inbox("r") as following:
        assert {(await following.receive(timeout=PATIENCE)).content for _ in range(2)} == {1, 2}
    assert not inbox._closed


def test_a_message_that_an_interrupted_loop_took_is_given_back_at_once(store: ccs.Store, connect: Any) -> None:
    """Given a loop that gets Ctrl-C as it takes a message, when its inbox stays open, then others get it at once."""
    task = store.task("t")
    task.send("r", 1)
    inbox = task.inbox("r", lease=300)
    real = BlockingHandle.commit

    def interrupted(*args: Any, **options: Any) -> None:
        patched.undo()
        real(*args, **options)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(BlockingHandle, "commit", interrupted)
        with pytest.raises(KeyboardInterrupt):
            for _ in inbox:
                pass
    assert connect("other").task("t").inbox("r").receive(timeout=PATIENCE).content == 1


async def test_a_message_that_a_loop_took_is_given_back_if_anyio_cancels_it_again_and_again(aconnect: Any) -> None:
    """Given a loop in a scope of anyio, when the scope is cancelled, then others get at once what the loop was taking."""
    task = aconnect().task("t")
    await task.send("r", 1)
    inbox = task.inbox("r", lease=300)
    real = Handle.commit

    async def cancelled(*args: Any, **options: Any) -> Any:
        patched.undo()
        await real(*args, **options)
        scope.cancel()
        await asyncio.sleep(0)

    with pytest.MonkeyPatch.context() as patched, anyio.CancelScope() as scope:
        patched.setattr(Handle, "commit", cancelled)
        async for _ in inbox:
            pass
    assert (await aconnect("other").task("t").inbox("r").receive(timeout=PATIENCE)).content == 1


async def test_a_message_that_a_cancelled_receiver_took_is_given_back_when_its_store_is_closed(aconnect: Any) -> None:
    """Given a receiver that is cancelled as it takes a message, when its store is closed, then others get it at once."""
    store = aconnect("leaving")
    await store.task("t").send("r", 1)
    inbox = store.task("t").inbox("r", lease=300)
    await receive_and_cancel(inbox.receive, "after the commit")
    await store.aclose()
    assert (await aconnect("other").task("t").inbox("r").receive(timeout=PATIENCE)).content == 1


@pytest.mark.parametrize("lost", ["before the commit", "after the commit"])
async def test_a_message_that_a_cancelled_receiver_took_is_the_next_one(aconnect: Any, lost: str) -> None:
    """G14."""
    task = aconnect().task("t")
    await task.send("r", 1)
    await task.send("r", 2)
    async with task.inbox("r") as inbox:
        await receive_and_cancel(inbox.receive, lost)
        messages = [await inbox.receive(timeout=PATIENCE) for _ in range(2)]
        assert {(message.content, message.attempts) for message in messages} == {(1, 1), (2, 1)}
        for message in messages:
            await message.ack()
        assert await left_behind(task) == []


async def test_a_hundred_waiting_receivers_cost_the_server_nothing_and_one_message_wakes_one(
    own_server: PrivateServer, namespace: str
) -> None:
    def commands() -> int:
        with own_server.client() as client:
            return int(client.info("stats")["total_commands_processed"])

    async with ccs.aio.connect(own_server.url, namespace=namespace) as store:
        task = store.task("t")
        inboxes = [task.inbox("r") for _ in range(100)]
        receivers = [asyncio.ensure_future(inbox.receive()) for inbox in inboxes]
        await aeventually(lambda: all(inbox._desk for inbox in inboxes))
        before = commands()
        await asyncio.sleep(1)  # the time in which whoever polled would be seen
        assert commands() - before <= 5  # a heartbeat, a look at the deadlines, our own two
        before = store.stats()
        await task.send("r", 1)
        await aeventually(lambda: sum(receiver.done() for receiver in receivers) == 1)
        await asyncio.sleep(0.2)  # the time in which another one would get it too
        assert sum(receiver.done() for receiver in receivers) == 1
        assert store.stats().commits - before.commits <= 1 + len(receivers)  # nobody tries twice
        assert store.stats().batches - before.batches <= 10
        for receiver in receivers:
            receiver.cancel()
        await asyncio.wait(receivers)
        await task.send("r", 2)
        assert (await take(task)).content == 2
