"""G13: callbacks cannot hurt, whatever they do; G7 for `subscribe`: live when they say so."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

import ccs
import ccs.aio
from ccs.types import Change
from tests.support.leftovers import tasks, threads
from tests.support.proxy import Proxy
from tests.support.servers import PrivateServer
from tests.support.threads import run_threads
from tests.support.waiting import aeventually, bounded, counts, eventually, scaled

NUMBERS = list(range(counts(20, 400)))


def values(changes: list[Change]) -> list[Any]:
    return [change.value for change in changes]


@pytest.mark.parametrize("error", [SystemExit(3), asyncio.CancelledError(), GeneratorExit(), KeyboardInterrupt()])
def test_an_exception_that_would_end_a_thread_ends_no_subscription(store: ccs.Store, error: BaseException) -> None:
    """Given a callback that calls `sys.exit`, say, when more changes come, then it is called with them too (G13)."""
    ctx, seen, told = store.task("t"), list[Any](), list[Exception]()

    def callback(change: Change) -> None:
        seen.append(change.value)
        raise error

    ctx.subscribe("p", callback, on_error=lambda error, change: told.append(error))
    for number in (1, 2):
        ctx.set("p", number)
    eventually(lambda: len(told) == 2)
    assert seen == [1, 2]
    assert all(repr(error) in str(each) for each in told)
    assert store.stats().callback_errors == 2


def test_a_plain_callback_that_exits_lets_an_asyncio_program_end() -> None:
    """Given one that calls `sys.exit` in its thread, then that is its error, and the program goes on to its end."""
    program = """
        import asyncio, sys
        import ccs.aio as ccs

        async def main():
            async with ccs.connect("memory://") as store:
                ctx, told = store.task("t"), []
                subscription = ctx.subscribe("p", lambda change: sys.exit(3), on_error=lambda *error: told.append(error))
                await subscription.ready()
                await ctx.set_many({"p": 1})
                await ctx.set("p", 2)
                while len(told) < 2:
                    await asyncio.sleep(0.01)

        asyncio.run(main())
        print("done")
    """
    command = [sys.executable, "-c", textwrap.dedent(program)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=scaled(30), check=False)
    assert (done.returncode, done.stdout) == (0, "done\n"), done.stderr


async def test_an_ended_subscription_says_so(astore: ccs.aio.Store) -> None:
    subscription = astore.task("t").subscribe("p", print)
    await subscription.ready()
    await astore.task("t").finish()
    await aeventually(lambda: subscription.state == "ended")
    assert "ended" in repr(subscription)


async def test_a_store_that_is_used_where_no_loop_runs_says_so(astore: ccs.aio.Store) -> None:
    await astore.task("t").set("p", 1)
    with pytest.raises(ccs.StoreClosed, match="another event loop"):
        await asyncio.to_thread(astore.task("t").subscribe, "p", print)


@pytest.mark.parametrize("patterns", [print, 5, ["p", 5], None, "a[", [], b"p"])
@pytest.mark.parametrize("kind", [ccs, ccs.aio])
def test_what_is_no_pattern_is_refused_at_once(kind: Any, patterns: Any) -> None:
    task = kind.connect("memory://").task("t")
    for register in (task.on_change, task.on_event):
        with pytest.raises(ccs.InvalidPattern):
            register(patterns)(print)
    for subscribe in (task.subscribe, task.subscribe_events):
        with pytest.raises(ccs.InvalidPattern):
            subscribe(patterns, print)


# Blocking


def test_callbacks_that_raise_block_write_or_cancel_themselves_disturb_nobody(store: ccs.Store) -> None:
    ctx, release = store.task("t"), threading.Event()
    good: list[Change] = []
    raised: list[Change] = []
    errors: list[tuple[Exception, Change | None]] = []
    once: list[Change] = []
    written: list[Change] = []

    def raises(change: Change) -> None:
        raised.append(change)
        raise RuntimeError(f"on {change.value}")

    def blocks(change: Change) -> None:
        release.wait(scaled(30))

    def writes(change: Change) -> None:
        ctx.set(f"echo/{change.value}", change.value)
        written.append(change)

    def cancels(change: Change) -> None:
        once.append(change)
        cancelling.cancel()

    def fails_too(error: Exception, change: Change | None) -> None:
        errors.append((error, change))
        raise RuntimeError("on_error itself")

    ctx.subscribe("p", blocks)
    ctx.subscribe("p", raises, on_error=fails_too)
    ctx.subscribe("p", writes)
    cancelling = ctx.subscribe("p", cancels)
    ctx.subscribe("p", good.append)
    for number in NUMBERS:
        ctx.set("p", number)
    eventually(lambda: len(good) == len(raised) == len(written) == len(errors) == len(NUMBERS))
    release.set()
    assert values(good) == values(raised) == values(written) == NUMBERS
    assert values(once) == [0]
    assert [(str(error), change and change.value) for error, change in errors] == [(f"on {n}", n) for n in NUMBERS]
    assert store.stats().callback_errors == len(NUMBERS)
    assert ctx.paths("echo/*") == sorted(f"echo/{number}" for number in NUMBERS)


def test_an_error_of_a_callback_is_logged_with_its_trace(store: ccs.Store, caplog: pytest.LogCaptureFixture) -> None:
    ctx = store.task("t")
    with caplog.at_level(logging.ERROR, "ccs"):

        @ctx.on_change("p")
        def fails_always(change: Change) -> None:
            raise LookupError("of ours")

        ctx.set("p", 1)
        eventually(lambda: caplog.records)
    (record,) = caplog.records
    assert "fails_always" in record.getMessage()
    assert "p" in record.getMessage()
    assert record.exc_info
    assert record.exc_info[0] is LookupError


async def _coroutine_function(change: Change) -> None:
    raise AssertionError("never called")


class _AsyncCallable:
    async def __call__(self, change: Change) -> None:
        raise AssertionError("never called")


@pytest.mark.parametrize(
    "callback",
    [_coroutine_function, partial(_coroutine_function), _AsyncCallable()],
    ids=["function", "partial", "object"],
)
def test_a_coroutine_function_is_refused_by_the_blocking_store_with_a_hint(callback: Any) -> None:
    ctx = ccs.connect("memory://").task("t")
    for refused in (
        lambda: ctx.subscribe("p", callback),
        lambda: ctx.on_change("p")(callback),
        lambda: ctx.subscribe("p", print, on_error=callback),
    ):
        with pytest.raises(ccs.CCSError, match=r"coroutine function.*ccs\.aio") as caught:
            refused()
        assert isinstance(caught.value, TypeError)


def test_a_blocking_subscription_is_live_when_subscribe_returns(connect: Callable[..., ccs.Store]) -> None:
    store, other = connect(), connect("other")
    for number in range(counts(30, 300)):
        address = f"t{number}"
        heard: list[Change] = []
        subscription = store.task(address).subscribe("p", heard.append)
        other.task(address).set("p", number)
        eventually(partial(heard.__len__), 5, f"round {number}")
        assert subscription.state == "live"
        subscription.cancel()
        assert subscription._worker.is_over


def test_a_subscription_made_before_the_store_is_entered_is_live_when_it_is(valkey: str, namespace: str) -> None:
    heard: list[Change] = []
    store = ccs.connect(valkey, namespace=namespace)
    subscription = store.task("t").subscribe(["p", "q"], heard.append)
    assert subscription.state == "waiting"
    with store, ccs.connect(valkey, namespace=namespace) as other:
        assert subscription.state == "live"
        other.task("t").set("p", 1)
        other.task("t").set("q", 2)
        eventually(lambda: values(heard) == [1, 2])
    assert subscription._worker.is_over


def test_a_subscription_cancelled_before_the_store_is_entered_never_calls_back(valkey: str, namespace: str) -> None:
    heard: list[Change] = []
    store = ccs.connect(valkey, namespace=namespace)
    subscription = store.task("t").subscribe("p", heard.append)
    subscription.cancel()
    with store:
        store.task("t").set("p", 1)
        control: list[Change] = []
        store.task("t").subscribe("p", control.append)
        store.task("t").set("p", 2)
        eventually(lambda: control)
    assert (subscription.state, heard) == ("cancelled", [])


def test_leaving_a_store_with_many_blocked_callbacks_takes_no_more_than_a_second_or_so(
    valkey: str, namespace: str
) -> None:
    release, blocked = threading.Event(), []

    def blocks(change: Change) -> None:
        blocked.append(1)
        release.wait(scaled(30))

    with ccs.connect(valkey, namespace=namespace) as store:
        ctx = store.task("t")
        for _ in range(8):
            ctx.subscribe("p", blocks)
        ctx.set("p", 1)
        eventually(lambda: len(blocked) == 8)
        began = time.monotonic()
    took = time.monotonic() - began
    release.set()
    assert took < scaled(2.5)
    for thread in threading.enumerate():
        if thread.name.startswith("ccs"):
            thread.join(scaled(5))
    assert not threads()


def test_callbacks_may_use_the_store_subscribe_and_wait_in_it(store: ccs.Store) -> None:
    ctx, done = store.task("t"), threading.Event()
    inner: list[Change] = []

    def outer(change: Change) -> None:
        ctx.subscribe("inner", inner.append)
        ctx.set("inner", change.value)
        with ctx.transaction() as tx:
            tx.set("seen", tx.get("p"))
        ctx.wait_for("seen", change.value, timeout=scaled(5))
        done.set()

    ctx.subscribe("p", outer)
    ctx.set("p", 7)
    assert done.wait(scaled(10))
    eventually(lambda: values(inner) == [7])


def test_threads_that_subscribe_write_and_cancel_at_once_lose_nothing(store: ccs.Store) -> None:
    def work(number: int) -> None:
        ctx = store.task(f"t{number % 3}")
        for turn in range(counts(10, 100)):
            heard: list[Change] = []
            subscription = ctx.subscribe(f"p{number}", heard.append)
            ctx.set(f"p{number}", turn)
            eventually(partial(heard.__len__), 10)
            assert values(heard) == [turn]
            subscription.cancel()

    run_threads(work, 8)


def test_a_blocking_subscription_that_cannot_start_says_why(store: ccs.Store) -> None:
    ctx, errors = store.task("t", keep_commits=2), []
    first = ctx.set("p", 0).revision
    for number in range(10):
        ctx.set("p", number)
    with pytest.raises(ccs.HistoryCompacted):
        ctx.subscribe("p", print, since=first, on_error=lambda error, change: errors.append((type(error), change)))
    eventually(lambda: errors == [(ccs.HistoryCompacted, None)])
    with pytest.raises(ccs.HistoryForked):
        ctx.subscribe("p", print, since=ctx.revision() + 1)


# Asyncio


async def test_async_callbacks_that_raise_block_write_or_cancel_themselves_disturb_nobody(
    astore: ccs.aio.Store,
) -> None:
    ctx, release = astore.task("t"), asyncio.Event()
    good: list[Change] = []
    raised: list[Change] = []
    once: list[Change] = []
    written: list[Change] = []
    plain: list[Change] = []
    errors: list[tuple[Exception, Change | None]] = []

    @ctx.on_change("p")
    async def blocks(change: Change) -> None:
        await release.wait()

    async def fails_too(error: Exception, change: Change | None) -> None:
        errors.append((error, change))
        raise RuntimeError("on_error itself")

    @ctx.on_change("p", on_error=fails_too)
    async def raises(change: Change) -> None:
        raised.append(change)
        raise RuntimeError(f"on {change.value}")

    @ctx.on_change("p")
    async def writes(change: Change) -> None:
        await ctx.set(f"echo/{change.value}", change.value)
        written.append(change)

    async def cancels(change: Change) -> None:
        once.append(change)
        cancelling.cancel()
        await asyncio.sleep(0)

    cancelling = ctx.subscribe("p", cancels)

    @ctx.on_change("p")
    async def collects(change: Change) -> None:
        good.append(change)

    ctx.subscribe("p", plain.append)
    for number in NUMBERS:
        await ctx.set("p", number)
    await aeventually(lambda: len(good) == len(raised) == len(written) == len(errors) == len(plain) == len(NUMBERS))
    release.set()
    assert values(good) == values(raised) == values(written) == values(plain) == NUMBERS
    assert values(once) == [0]
    assert [(str(error), change and change.value) for error, change in errors] == [(f"on {n}", n) for n in NUMBERS]
    assert astore.stats().callback_errors == len(NUMBERS)
    assert len(await ctx.paths("echo/*")) == len(NUMBERS)


async def test_a_callback_in_which_something_was_cancelled_goes_on_with_the_next_change(astore: ccs.aio.Store) -> None:
    ctx, heard, errors = astore.task("t"), [], []

    async def waits_for_a_cancelled_task(change: Change) -> None:
        heard.append(change.value)
        task = asyncio.ensure_future(asyncio.sleep(60))
        task.cancel()
        await task

    ctx.subscribe("p", waits_for_a_cancelled_task, on_error=lambda error, change: errors.append(change))
    await ctx.set("p", 1)
    await ctx.set("p", 2)
    await aeventually(lambda: heard == [1, 2])
    await aeventually(lambda: [change and change.value for change in errors] == [1, 2])
    assert astore.stats().callback_errors == 2


async def test_many_blocked_plain_callbacks_starve_nobody(astore: ccs.aio.Store) -> None:
    ctx, release, blocked = astore.task("t"), threading.Event(), []

    def blocks(change: Change) -> None:
        blocked.append(threading.get_ident())
        release.wait(scaled(30))

    for _ in range(60):
        ctx.subscribe("p", blocks)
    heard: list[Change] = []
    ctx.subscribe("p", heard.append)
    try:
        await ctx.set("p", 1)
        await aeventually(lambda: len(blocked) == 60 and heard)
        assert threading.get_ident() not in blocked, "plain functions run in worker threads"
        assert len(set(blocked)) == 60
        assert await bounded(ctx.get("p"), 5) == 1
    finally:
        release.set()


async def test_leaving_an_asyncio_store_with_blocked_callbacks_takes_no_more_than_a_second_or_so(
    valkey: str, namespace: str
) -> None:
    release, blocked = threading.Event(), []

    def plain(change: Change) -> None:
        blocked.append(1)
        release.wait(scaled(30))

    async def coroutine(change: Change) -> None:
        blocked.append(1)
        await asyncio.sleep(scaled(30))

    try:
        async with ccs.aio.connect(valkey, namespace=namespace) as store:
            ctx = store.task("t")
            for _ in range(4):
                ctx.subscribe("p", plain)
                ctx.subscribe("p", coroutine)
            await ctx.set("p", 1)
            await aeventually(lambda: len(blocked) == 8)
            began = time.monotonic()
        assert time.monotonic() - began < scaled(2.5)
    finally:
        release.set()
    assert not tasks()


async def test_an_async_subscription_is_live_before_the_next_command_of_its_store(astore: ccs.aio.Store) -> None:
    for number in range(counts(30, 300)):
        ctx = astore.task(f"t{number}")
        heard: list[Any] = []

        async def hears(change: Change, heard: list[Any] = heard) -> None:
            heard.append(change.value)

        ctx.subscribe("p", hears)
        await ctx.set("p", number)
        await aeventually(partial(heard.__len__), 5, f"round {number}")
        assert heard == [number]


async def test_ready_covers_the_commits_of_everybody(aconnect: Callable[..., ccs.aio.Store]) -> None:
    store, other = aconnect(), aconnect("other")
    await store.__aenter__()
    for number in range(counts(30, 300)):
        heard: list[Change] = []
        subscription = store.task(f"t{number}").subscribe("p", heard.append)
        await subscription.ready(timeout=scaled(5))
        await other.task(f"t{number}").set("p", number)
        await aeventually(partial(heard.__len__), 5, f"round {number}")


async def test_ready_before_the_store_is_entered_times_out_and_then_comes_true(
    aconnect: Callable[..., ccs.aio.Store],
) -> None:
    store = aconnect()
    subscription = store.task("t").subscribe("p", print)
    with pytest.raises(TimeoutError, match="waiting"):
        await subscription.ready(timeout=0.05)
    await store.__aenter__()
    await subscription.ready(timeout=scaled(5))


async def test_a_subscription_that_cannot_start_tells_on_error_which_may_use_the_store(
    astore: ccs.aio.Store,
) -> None:
    ctx, told = astore.task("t", keep_commits=2), []
    first = (await ctx.set("p", 0)).revision
    for number in range(10):
        await ctx.set("p", number)

    async def tell(error: Exception, change: Change | None) -> None:
        await ctx.set("trouble", str(error))
        told.append((type(error), change))

    async def never(change: Change) -> None:
        raise AssertionError("nothing can be delivered")

    compacted = ctx.subscribe("p", never, since=first, on_error=tell)
    assert await bounded(ctx.exists("p"), 5), "the next command waits for nobody who waits for it"
    with pytest.raises(ccs.HistoryCompacted) as caught:
        await compacted.ready(timeout=scaled(5))
    assert caught.value.since == first
    gone = astore.task("never was").subscribe("p", never, since=first, on_error=tell)
    with pytest.raises(ccs.ContextGone):
        await gone.ready(timeout=scaled(5))
    await aeventually(lambda: told == [(ccs.HistoryCompacted, None), (ccs.ContextGone, None)])
    assert (compacted.state, gone.state) == ("failed", "failed")
    assert compacted._worker.is_over


async def test_the_end_of_a_context_calls_on_gone_and_a_finish_just_ends(astore: ccs.aio.Store) -> None:
    dropped, finished = astore.task("dropped"), astore.task("finished")
    errors: list[Exception] = []
    gone: list[str] = []
    heard: list[Change] = []
    options: dict[str, Any] = {"on_error": lambda error, change: errors.append(error), "on_gone": gone.append}
    one = dropped.subscribe("**", heard.append, **options)
    other = finished.subscribe("**", heard.append, **options)
    for ctx in (dropped, finished):
        await ctx.set("p", ctx.address)
    await finished.finish()
    await dropped.drop()
    await aeventually(lambda: gone and other._worker.is_over)
    assert gone == ["/tasks/dropped"]
    assert (errors, one.state) == ([], "live")
    assert sorted(values(heard)) == ["/tasks/dropped", "/tasks/finished"]


async def test_initial_and_since_reach_a_callback_in_order(astore: ccs.aio.Store) -> None:
    ctx = astore.task("t")
    present: list[Change] = []
    past: list[Change] = []
    first = await ctx.set("a", 1)
    await ctx.set("b", 2)
    ctx.subscribe(["a", "b"], present.append, initial=True)
    ctx.subscribe("**", past.append, since=first.revision)
    await ctx.set("a", 3)
    await aeventually(lambda: len(present) == 3 and len(past) == 2)
    assert [(change.path, change.value) for change in present] == [("a", 1), ("b", 2), ("a", 3)]
    assert [(change.path, change.value) for change in past] == [("b", 2), ("a", 3)]


async def test_a_subscription_outlives_an_outage_longer_than_retry_for_and_reports_it(
    valkey: str, namespace: str, proxy: Proxy
) -> None:
    errors: list[Exception] = []
    heard: list[Any] = []
    async with (
        ccs.aio.connect(valkey, namespace=namespace) as writer,
        ccs.aio.connect(proxy.url, namespace=namespace, retry_for=0.5) as store,
    ):
        subscription = store.task("t").subscribe(
            "p", lambda change: heard.append(change.value), on_error=lambda error, change: errors.append(error)
        )
        await subscription.ready()
        await writer.task("t").set("p", 1)
        await aeventually(lambda: heard == [1])
        proxy.refuse()
        await writer.task("t").set("p", 2)
        await aeventually(lambda: errors, 10)
        assert isinstance(errors[0], ccs.Unavailable)
        assert subscription.state == "live"
        proxy.refuse(False)
        await aeventually(lambda: heard == [1, 2], 15)
        await writer.task("t").set("p", 3)
        await aeventually(lambda: heard == [1, 2, 3], 15)
    assert all(isinstance(error, ccs.Unavailable) for error in errors)


async def test_a_server_that_refuses_at_once_is_not_reported_without_pause(
    own_server: PrivateServer, namespace: str
) -> None:
    errors: list[Exception] = []
    heard: list[Any] = []
    async with ccs.aio.connect(own_server.url, namespace=namespace) as store:
        subscription = store.task("t").subscribe(
            "p", lambda change: heard.append(change.value), on_error=lambda error, change: errors.append(error)
        )
        await subscription.ready()
        with own_server.client() as client:
            client.config_set("requirepass", "secret")
            client.execute_command("AUTH", "secret")
            for kind in ("pubsub", "normal"):
                client.execute_command("CLIENT", "KILL", "TYPE", kind, "SKIPME", "yes")
            await aeventually(lambda: errors)
            began, told = time.monotonic(), len(errors)
            subscription._worker._watch._mailbox.nudge()  # type: ignore[attr-defined]
            await aeventually(lambda: len(errors) >= told + 4)
            assert time.monotonic() - began > 1.0
            assert all(isinstance(error, ccs.Unavailable) for error in errors)
            client.config_set("requirepass", "")
        await store.task("t").set("p", 1)
        await aeventually(lambda: heard == [1])


async def test_a_subscription_that_finds_no_server_tells_so(valkey: str, namespace: str, proxy: Proxy) -> None:
    errors: list[Exception] = []
    async with ccs.aio.connect(proxy.url, namespace=namespace, retry_for=0.3) as store:
        proxy.refuse()
        subscription = store.task("t").subscribe("p", print, on_error=lambda error, change: errors.append(error))
        with pytest.raises(ccs.Unavailable):
            await subscription.ready(timeout=scaled(10))
        await aeventually(lambda: errors)
        assert isinstance(errors[0], ccs.Unavailable)
        proxy.refuse(False)
        heard: list[Change] = []
        again = store.task("t").subscribe("p", heard.append)
        await again.ready(timeout=scaled(10))
        await store.task("t").set("p", 1)
        await aeventually(lambda: heard)


def test_callbacks_registered_at_import_time_are_live_in_every_colour(valkey: str, namespace: str) -> None:
    program = f"""
        import asyncio, ccs, ccs.aio

        astore = ccs.aio.connect({valkey!r}, namespace={namespace!r})
        atask = astore.task("a")
        heard = []

        @atask.on_change("p")
        async def coroutine(change):
            heard.append(("coroutine", change.value))
            await atask.set("q", change.value)

        @atask.on_change(["q", "never"])
        def plain(change):
            heard.append(("plain", change.value))

        async def main():
            async with asyncio.timeout(20):
                async with astore:
                    await atask.set("p", 1)
                    while len(heard) < 2:
                        await asyncio.sleep(0.005)

        store = ccs.connect({valkey!r}, namespace={namespace!r})

        @store.task("b").on_change("p")
        def blocking(change):
            heard.append(("blocking", change.value))

        asyncio.run(main())
        with store:
            store.task("b").set("p", 2)
            store.task("b").wait_for("p", 2, timeout=10)
            import time
            deadline = time.monotonic() + 10
            while len(heard) < 3 and time.monotonic() < deadline:
                time.sleep(0.005)
        print(heard)
    """
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", textwrap.dedent(program)],
        capture_output=True,
        text=True,
        timeout=scaled(40),
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.strip() == "[('coroutine', 1), ('plain', 1), ('blocking', 2)]"
