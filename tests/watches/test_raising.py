"""G13 for what is not an `Exception`: whatever a callback raises, wherever it was registered, is an error like any other."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from typing import Any

import pytest

import ccs
import ccs.aio
from ccs._compat import AsyncCaller, AsyncWorker
from tests.support.leftovers import tasks
from tests.support.waiting import aeventually, bounded, eventually, scaled


class Bare(BaseException):
    """What is no `Exception` and nothing that Python knows."""


RAISED = [Bare("bare"), SystemExit(3), KeyboardInterrupt(), GeneratorExit(), asyncio.CancelledError()]

Register = Callable[[Any, Any, Any], object]

PLACES: dict[str, Register] = {
    "subscribe": lambda ctx, call, on_error: ctx.subscribe("p", call, on_error=on_error),
    "on_change": lambda ctx, call, on_error: ctx.on_change("p", on_error=on_error)(call),
    "on_event": lambda ctx, call, on_error: ctx.on_event("p", on_error=on_error)(call),
    "bus": lambda ctx, call, on_error: ctx.bus.subscribe("p", on_error=on_error)(call),
    "memory": lambda ctx, call, on_error: ctx.store.memory(workflow="t").on_change(
        "p", scope="workflow", on_error=on_error
    )(call),
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("raised", RAISED, ids=repr)
async def test_a_coroutine_callback_may_raise_anything_and_is_called_again(
    valkey: str, namespace: str, raised: BaseException, place: str
) -> None:
    """Given a callback that raises what would end a task or the program, then that is reported and counted, and it is called again."""
    seen: list[Any] = []
    told: list[Any] = []

    async def callback(change: Any) -> None:
        seen.append(change)
        await asyncio.sleep(0)
        raise raised

    async def on_error(error: Exception, change: Any) -> None:
        told.append(error)
        raise raised

    async with ccs.aio.connect(valkey, namespace=namespace) as store:
        ctx = store.task("t")
        PLACES[place](ctx, callback, on_error)
        for number in range(3):
            async with ctx.transaction() as tx:
                tx.set("p", number)
                tx.publish("p", number)
        await aeventually(lambda: len(told) == 3)
        assert len(seen) == 3
        assert all(isinstance(error, Exception) for error in told)
        assert store.stats().callback_errors == 3
    assert not tasks()


@pytest.mark.parametrize("place", PLACES)
def test_a_blocking_callback_may_raise_anything_and_is_called_again(valkey: str, namespace: str, place: str) -> None:
    told: list[Any] = []

    def callback(change: Any) -> None:
        raise Bare("bare")

    def on_error(error: Exception, change: Any) -> None:
        told.append(error)
        raise Bare("bare")

    with ccs.connect(valkey, namespace=namespace) as store:
        ctx = store.task("t")
        PLACES[place](ctx, callback, on_error)
        for number in range(3):
            with ctx.transaction() as tx:
                tx.set("p", number)
                tx.publish("p", number)
        eventually(lambda: len(told) == 3)
        assert store.stats().callback_errors == 3


@pytest.mark.parametrize("raised", RAISED, ids=repr)
async def test_the_callback_of_a_mirror_may_raise_anything(valkey: str, namespace: str, raised: BaseException) -> None:
    seen: list[Any] = []

    async def callback(change: Any) -> None:
        seen.append(change.value)
        raise raised

    async with (
        ccs.aio.connect(valkey, namespace=namespace) as store,
        store.task("t").mirror(on_change=callback) as view,
    ):
        for number in range(3):
            await view.caught_up((await store.task("t").set("p", number)).revision, timeout=scaled(10))
        await aeventually(lambda: seen == [0, 1, 2])
        assert dict(view) == {"p": 2}


async def test_a_plain_callback_with_asyncio_may_raise_anything(astore: ccs.aio.Store) -> None:
    told: list[Any] = []

    def callback(change: Any) -> None:
        raise Bare("bare")

    ctx = astore.task("t")
    subscription = ctx.subscribe("p", callback, on_error=lambda error, change: told.append(error))
    await subscription.ready()
    for number in range(2):
        await ctx.set("p", number)
    await aeventually(lambda: len(told) == 2)


async def test_a_subscription_whose_task_is_cancelled_logs_it(
    valkey: str, namespace: str, caplog: pytest.LogCaptureFixture
) -> None:
    """Given a program that cancels all tasks of the loop, then the subscription ends and logs that, and the store ends too."""
    async with ccs.aio.connect(valkey, namespace=namespace) as store:
        before = asyncio.all_tasks()
        subscription = store.task("t").subscribe("p", print)
        await subscription.ready()
        (task,) = (each for each in asyncio.all_tasks() - before if "print" in each.get_name())
        with caplog.at_level(logging.WARNING, "ccs"):
            task.cancel()
            await aeventually(lambda: subscription.state == "ended")
        assert "was ended with its task" in caplog.text


async def test_a_callback_that_is_closed_with_its_loop_is_closed() -> None:
    """Given a callback that waits, when nobody runs its task any more, then it is closed like any coroutine."""
    closed: list[str] = []

    async def callback() -> None:
        try:
            await asyncio.Event().wait()
        except GeneratorExit:
            closed.append("closed")
            raise

    calling = AsyncCaller(callback)()
    calling.send(None)
    await asyncio.to_thread(calling.close)
    assert closed == ["closed"]


async def test_the_end_of_a_worker_is_waited_for_and_its_error_is_not_raised_there() -> None:
    """Given a worker that has failed, when a store that closes waits for its end, then it gets the end, not the error."""
    asyncio.get_running_loop().set_exception_handler(lambda loop, context: None)

    async def fail() -> None:
        raise RuntimeError("this one failed")

    await bounded(AsyncWorker("failing", fail).finish(scaled(5)))


def test_leaving_a_store_whose_callbacks_raised_anything_raises_nothing() -> None:
    """Given a program whose callback raises what is no `Exception`, then it goes on to its end, and leaves its store."""
    ended: list[str] = []

    async def main() -> None:
        async with ccs.aio.connect("memory://") as store:
            called = asyncio.Event()

            async def callback(change: Any) -> None:
                called.set()
                raise SystemExit(3)

            subscription = store.task("t").subscribe("p", callback)
            await subscription.ready()
            await store.task("t").set("p", 1)
            await bounded(called.wait())
        ended.append("left")

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    thread.join(scaled(20))
    assert ended == ["left"]
