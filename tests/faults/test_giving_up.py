"""G1: a write that is reported as not applied was not, even if the server comes back just then."""

import asyncio
import errno
import random
import threading
import time

import pytest

import ccs
import ccs.aio
from ccs._sync.changes.watch import Watch
from tests.support.colours import COLOURS, connect_in
from tests.support.proxy import Proxy, once
from tests.support.threads import run_threads
from tests.support.waiting import counts

_PATIENCE = 0.3
_WRITERS, _APART = 24, 0.02


def _outage(seed: int) -> tuple[float, bool]:
    """For how many seconds the server is away: until about the first of the writers give up. And what it does first."""
    dice = random.Random(seed)
    return dice.uniform(0.2, 0.55), dice.random() < 0.5


async def test_a_write_reported_as_not_applied_never_is(proxy: Proxy, namespace: str) -> None:
    """Given writers of all ages, when the server is back as the first give up, then no write of "not applied" is there."""
    for seed in range(counts(6, 200)):
        async with ccs.aio.connect(proxy.url, namespace=namespace, retry_for=_PATIENCE) as store:
            task = store.task(f"outage-{seed}")
            await task.set("first", 0)
            told: set[str] = set()

            async def write(index: int, task: ccs.aio.Context = task, told: set[str] = told) -> None:
                await asyncio.sleep(index * _APART)
                try:
                    await task.set(f"late/{index}", index)
                except ccs.Unavailable as error:
                    if not error.maybe_applied:
                        told.add(f"late/{index}")

            away, hangs = _outage(seed)
            _break(proxy, hangs)
            writing = [asyncio.ensure_future(write(index)) for index in range(_WRITERS)]
            await asyncio.sleep(away)
            proxy.refuse(False)
            await asyncio.gather(*writing)
            await asyncio.sleep(0.05)
            assert not told & set(await task.paths("late/*")), f"told not to be applied, seed {seed}"


def test_a_blocking_write_reported_as_not_applied_never_is(proxy: Proxy, namespace: str) -> None:
    """Given threads of all ages, when the server is back as the first give up, then no write of "not applied" is there."""
    for seed in range(counts(6, 200)):
        with ccs.connect(proxy.url, namespace=namespace, retry_for=_PATIENCE) as store:
            task = store.task(f"outage-{seed}")
            task.set("first", 0)
            told: set[str] = set()

            def write(index: int, task: ccs.Context = task, told: set[str] = told) -> None:
                time.sleep(index * _APART)
                try:
                    task.set(f"late/{index}", index)
                except ccs.Unavailable as error:
                    if not error.maybe_applied:
                        told.add(f"late/{index}")

            away, hangs = _outage(seed)
            _break(proxy, hangs)
            back = threading.Timer(away, proxy.refuse, [False])
            back.start()
            run_threads(write, _WRITERS)
            back.join()
            time.sleep(0.05)
            assert not told & set(task.paths("late/*")), f"told not to be applied, seed {seed}"


def _break(proxy: Proxy, hangs: bool) -> None:
    if hangs:
        proxy.fault = once(b"", "hang", lambda: proxy.refuse(cut=False))
    else:
        proxy.refuse()


@pytest.mark.parametrize("colour", COLOURS)
async def test_an_append_that_cannot_be_read_back_may_have_been_applied(
    colour: str, proxy: Proxy, namespace: str
) -> None:
    """Given an append that was acknowledged, when the server is gone before its list is read, then it is not denied."""
    async with connect_in(colour, proxy.url, namespace=namespace, retry_for=0.3) as store:
        task = store.task("42")
        await task.append("log", "a")
        proxy.filter = once(b"XRANGE", "cut", proxy.refuse)
        with pytest.raises(ccs.Unavailable) as caught:
            await task.append("log", "b")
        assert caught.value.maybe_applied
        proxy.refuse(False)
        assert await task.get("log") == ["a", "b"]


async def test_a_write_that_was_sent_is_not_denied_because_a_callback_is_not_live_yet(
    proxy: Proxy, namespace: str
) -> None:
    """Given a commit whose reply is lost, and a callback that begins meanwhile, then the commit may have been applied."""
    async with ccs.aio.connect(proxy.url, namespace=namespace, retry_for=0.6) as store:
        task = store.task("42")
        await task.set("first", 0)
        proxy.fault = lambda count, chunk: "lose"
        writing = asyncio.ensure_future(task.set("a", 1))
        await asyncio.sleep(0.05)
        subscription = task.subscribe("**", print)
        await asyncio.sleep(0.05)
        proxy.refuse()
        with pytest.raises(ccs.Unavailable) as caught:
            await writing
        assert caught.value.maybe_applied
        proxy.fault = lambda count, chunk: "pass"
        proxy.refuse(False)
        assert await task.get("a") == 1
        subscription.cancel()


def test_a_callback_that_cannot_be_live_in_time_is_told_as_unavailable_and_never_called(
    proxy: Proxy, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a callback whose watch takes longer than the patience, when it begins, then it ends, and is told so."""
    called: list[ccs.Change] = []
    real = Watch.start

    def slow(watch: Watch) -> None:
        time.sleep(1.5)
        real(watch)

    with ccs.connect(proxy.url, namespace=namespace, retry_for=0.3) as store:
        task = store.task("42")
        task.set("first", 0)
        with monkeypatch.context() as patched:
            patched.setattr(Watch, "start", slow)
            began = time.monotonic()
            with pytest.raises(ccs.Unavailable, match="is not live yet"):
                task.subscribe("**", called.append)
            assert time.monotonic() - began < 1.4
        time.sleep(1.5)
        task.set("a", 1)
        time.sleep(0.2)
    assert called == []


def test_a_store_whose_background_cannot_start_says_why(
    proxy: Proxy, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a process without descriptors for an event loop, when a store is entered, then it says so, and can be later."""

    def exhausted() -> None:
        raise OSError(errno.EMFILE, "Too many open files")

    store = ccs.connect(proxy.url, namespace=namespace)
    with monkeypatch.context() as patch:
        patch.setattr(asyncio, "new_event_loop", exhausted)
        patch.setattr(asyncio.events, "new_event_loop", exhausted)
        with pytest.raises(ccs.Unavailable, match="Too many open files"):
            store.task("x").set("a", 1)
    assert store.task("x").set("a", 1).version == 1
    store.close()
