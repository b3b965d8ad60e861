"""A waiting thread reads the subscription connection for all others: which one, until when, and under which faults."""

from __future__ import annotations

import gc
import itertools
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import ccs
from ccs._core.changes.feed import Feed
from ccs._core.commits.journal import Record
from ccs._sync.transport.connection import LeadingSignal
from ccs.types import Change
from tests.support.interrupts import Interrupt
from tests.support.leftovers import threads
from tests.support.proxy import Proxy
from tests.support.servers import PrivateServer
from tests.support.threads import run_threads
from tests.support.waiting import counts, eventually, scaled
from tests.watches.breakage import cutting, losing

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the loop reads, always")

PACKAGE = os.path.join(os.path.dirname(ccs.__file__), "")
"""What is ours, whatever the clone is called and whatever stands above it."""

SOON = 1.0
"""Seconds: before a heartbeat, a look at what is silent or a reconnect could have mended anything."""


@pytest.fixture
def store(valkey: str, namespace: str) -> Iterator[ccs.Store]:
    """The one whose threads wait."""
    with ccs.connect(valkey, namespace=namespace) as store:
        yield store


@pytest.fixture
def ctx(store: ccs.Store) -> ccs.Context:
    return store.task("t")


@pytest.fixture
def writer(valkey: str, namespace: str) -> Iterator[ccs.Context]:
    """The same context, for a writer whom nothing hits."""
    with ccs.connect(valkey, namespace=namespace) as store:
        yield store.task("t")


@pytest.fixture
def readers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Returns the name of the thread that read each message."""
    names, deliver = list[str](), Feed.deliver

    def noted(feed: Feed, record: Record) -> bool:
        names.append(threading.current_thread().name)
        return deliver(feed, record)

    monkeypatch.setattr(Feed, "deliver", noted)
    return names


def is_led(store: ccs.Store) -> bool:
    """Whether a thread reads while it waits."""
    wire = store._engine.opening.dispatcher._connection
    return wire is not None and repr(wire._reading).startswith("<locked")


def wait_until_led(store: ccs.Store) -> None:
    eventually(lambda: is_led(store), what="somebody to lead")


class Collector:
    """A subscription that keeps what it is called with, and may be held up."""

    def __init__(self, ctx: ccs.Context, *patterns: str) -> None:
        self.changes, self.go_on = list[Change](), threading.Event()
        self.go_on.set()
        self.subscription = ctx.subscribe(patterns or "**", self)
        self.subscription.ready()

    def __call__(self, change: Change) -> None:
        self.changes.append(change)
        self.go_on.wait(scaled(30))

    @property
    def values(self) -> list[Any]:
        return [change.value for change in self.changes]

    def wait(self, value: Any, timeout: float = 10) -> None:
        eventually(lambda: value in self.values, timeout, f"{value} among {self.values[-5:]}")


def in_thread(work: Callable[[], object]) -> threading.Thread:
    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


# --- who reads ------------------------------------------------------------------------------------------------------


def test_a_waiting_thread_reads_for_itself(ctx: ccs.Context, writer: ccs.Context, readers: list[str]) -> None:
    with ctx.watch() as changes:
        for number in range(50):
            setter = threading.Timer(0.005, writer.set, ("p", number))
            setter.start()
            assert changes.receive(timeout=scaled(5)).value == number
            setter.join()
    assert readers.count("MainThread") > 40


def test_a_waiting_thread_reads_for_the_others(store: ccs.Store, writer: ccs.Context, readers: list[str]) -> None:
    first = Collector(store.task("t"), "a")
    wait_until_led(store)
    other = Collector(store.task("t"), "b")
    for number in range(20):
        writer.set("b", number)
        other.wait(number, SOON)
    assert first.values == []
    assert set(readers) == {f"ccs {first.subscription._worker._name}"}


def test_a_callback_that_blocks_delays_no_other(store: ccs.Store, writer: ccs.Context, readers: list[str]) -> None:
    """Given the leading thread, in its callback for long, then all others still get their changes at once (G13)."""
    blocked, other = Collector(store.task("t"), "a"), Collector(store.task("t"), "b")
    blocked.go_on.clear()
    writer.set("a", 0)
    blocked.wait(0)
    for number in range(50):
        writer.set("b", number)
        other.wait(number, SOON)
    writer.set("a", 1)
    blocked.go_on.set()
    blocked.wait(1, SOON)
    assert other.values == list(range(50))


def test_a_callback_that_raises_holds_up_nobody(store: ccs.Store, writer: ccs.Context) -> None:
    def callback(change: Change) -> None:
        raise SystemExit

    store.task("t").subscribe("**", callback).ready()
    other = Collector(store.task("t"))
    for number in range(50):
        writer.set("a", number)
        other.wait(number, SOON)


def test_while_nobody_waits_the_dispatcher_reads(ctx: ccs.Context, writer: ccs.Context, readers: list[str]) -> None:
    with ctx.watch() as changes:
        for number in range(20):
            writer.set("p", number)
        eventually(lambda: len(readers) == 20)
        assert [changes.receive(timeout=SOON).value for _ in range(20)] == list(range(20))
    assert set(readers) == {"ccs dispatcher"}


def test_two_waiting_threads_are_served_in_turn(store: ccs.Store, writer: ccs.Context) -> None:
    both = {"a": Collector(store.task("t"), "a"), "b": Collector(store.task("t"), "b")}
    for number in range(counts(100, 2000)):
        path = "ab"[number % 2]
        writer.set(path, number)
        both[path].wait(number, SOON)
    for collector in both.values():
        assert collector.values == sorted(collector.values)
    assert store.stats().gaps_filled == 0


def test_contexts_come_and_go_while_a_thread_leads(store: ccs.Store, writer: ccs.Context) -> None:
    """Given a leading thread, then it passes on confirmations to subscribers, and heartbeats to the connection."""
    leader = Collector(store.task("t"))
    for number in range(counts(30, 300)):
        wait_until_led(store)
        with store.task(f"t{number}").watch() as changes:
            store.task(f"t{number}").set("p", number)
            assert changes.receive(timeout=SOON).value == number
    writer.set("p", "end")
    leader.wait("end", SOON)
    assert store.stats().reconnects == 0


# --- when it stops --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("timeout", [0.001, 0.05, 0.3])
def test_it_waits_no_longer_than_it_should(ctx: ccs.Context, writer: ccs.Context, timeout: float) -> None:
    """Given messages for others all the time, when a leading thread has waited long enough, then it ends."""
    over = threading.Event()

    def write() -> None:
        number = 0
        while not over.is_set():
            writer.set("others", number := number + 1)

    with ctx.watch("mine") as changes:
        writing = in_thread(write)
        for _ in range(5):
            began = time.monotonic()
            with pytest.raises(TimeoutError):
                changes.receive(timeout=timeout)
            assert timeout <= time.monotonic() - began < timeout + scaled(0.5)
        over.set()
        writing.join()


def test_a_leading_thread_sleeps(store: ccs.Store, ctx: ccs.Context) -> None:
    """Given a thread that was woken before, when it leads again, then it does not spin."""
    with ctx.watch() as changes, ctx.watch() as stopped:
        waiting = in_thread(lambda: list(stopped))
        wait_until_led(store)
        stopped.stop()
        waiting.join(scaled(SOON))
        began, wall = time.process_time(), time.monotonic()
        with pytest.raises(TimeoutError):
            changes.receive(timeout=1.5)
        assert time.process_time() - began < 0.05 * (time.monotonic() - wall)


def test_a_leading_thread_can_be_stopped(store: ccs.Store, ctx: ccs.Context, writer: ccs.Context) -> None:
    for _ in range(counts(25, 500)):
        with ctx.watch("mine") as changes:
            waiting = in_thread(lambda changes=changes: list(changes))
            if random.random() < 0.7:
                wait_until_led(store)
            changes.stop()
            waiting.join(scaled(SOON))
            assert not waiting.is_alive()
    eventually(lambda: not is_led(store), SOON)


def test_a_subscription_that_leads_can_be_cancelled(store: ccs.Store, writer: ccs.Context) -> None:
    first, other = Collector(store.task("t"), "a"), Collector(store.task("t"), "b")
    wait_until_led(store)
    first.subscription.cancel()
    writer.set("b", 1)
    other.wait(1, SOON)
    eventually(lambda: first.subscription._worker._over, SOON)


def test_closing_the_store_ends_the_leading_thread(valkey: str, namespace: str) -> None:
    before, open_before = threads(), open_files()
    for turn in range(counts(20, 200)):
        ends: list[Exception] = []

        def wait(changes: Any, ends: list[Exception] = ends) -> None:
            try:
                changes.receive()
            except ccs.StoreClosed as error:
                ends.append(error)

        store = ccs.connect(valkey, namespace=namespace)
        watches = [store.task("t").watch().__enter__() for _ in range(3)]
        waiting = [in_thread(lambda changes=changes: wait(changes)) for changes in watches]
        if turn % 2:
            wait_until_led(store)
        store.close()
        for thread in waiting:
            thread.join(scaled(SOON))
        assert len(ends) == 3
    assert threads() == before
    del store, watches, waiting
    gc.collect()
    eventually(lambda: open_files() <= open_before, what="no file to be left open")


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_child_that_is_forked_takes_nothing_away(store: ccs.Store, writer: ccs.Context) -> None:
    collector = Collector(store.task("t"))
    for number in range(5):
        wait_until_led(store)
        child = os.fork()
        if not child:
            gc.collect()
            os._exit(0)
        os.waitpid(child, 0)
        writer.set("p", number)
        collector.wait(number, SOON)
    assert store.stats().reconnects == 0


# --- lost connections -----------------------------------------------------------------------------------------------


def check(collectors: list[Collector], count: int) -> None:
    for each in collectors:
        eventually(lambda each=each: len(each.changes) >= count, 30, f"{count} changes")
        assert each.values == list(range(count))


def test_a_connection_that_is_killed_while_somebody_leads_loses_nothing(
    own_server: PrivateServer, namespace: str
) -> None:
    with (
        ccs.connect(own_server.url, namespace=namespace) as store,
        ccs.connect(own_server.url, namespace=namespace) as other,
        own_server.client() as client,
    ):
        collectors = [Collector(store.task("t")) for _ in range(3)]
        for number in range(count := counts(150, 3000)):
            if number % 50 == 25:
                client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
            other.task("t").set("p", number)
        check(collectors, count)
        assert store.stats().reconnects


def test_a_server_that_is_killed_while_somebody_leads_loses_nothing(own_server: PrivateServer, namespace: str) -> None:
    with ccs.connect(own_server.url, namespace=namespace) as store:
        collectors = [Collector(store.task("t")) for _ in range(3)]
        for turn in range(turns := counts(2, 8)):
            for number in range(20):
                store.task("t").set("p", 20 * turn + number)
            wait_until_led(store)
            own_server.sync()
            own_server.kill()
            own_server.start()
        check(collectors, 20 * turns)


@pytest.mark.parametrize("faults", [losing, cutting], ids=lambda faults: faults.__name__)
def test_a_broken_connection_loses_nothing(
    proxy: Proxy, writer: ccs.Context, namespace: str, faults: Any, impatient: None
) -> None:
    with ccs.connect(proxy.url, namespace=namespace) as store:
        collectors = [Collector(store.task("t")) for _ in range(3)]
        proxy.fault = faults(random.Random(1))
        for number in range(count := counts(150, 3000)):
            writer.set("p", number)
        proxy.fault = lambda count, chunk: "pass"
        check(collectors, count)


def test_a_silent_connection_is_given_up_though_somebody_leads(
    proxy: Proxy, writer: ccs.Context, namespace: str, impatient: None
) -> None:
    with ccs.connect(proxy.url, namespace=namespace) as store:
        collector = Collector(store.task("t"))
        wait_until_led(store)
        proxy.fault = lambda count, chunk: "hang"
        writer.set("p", 0)
        eventually(lambda: store.stats().reconnects, 10)
        proxy.fault = lambda count, chunk: "pass"
        check([collector], 1)


def test_a_leading_thread_that_never_comes_back_loses_the_lead(
    store: ccs.Store, ctx: ccs.Context, writer: ccs.Context, impatient: None
) -> None:
    """Given a leading thread that is stopped, for instance by a debugger, then the silence is noticed, and others read again."""
    with ctx.watch() as changes:
        wire = store._engine.opening.dispatcher._connection
        assert wire is not None
        signal, stuck, go_on = LeadingSignal(lambda: wire), threading.Event(), threading.Event()

        def sleep(*args: Any) -> bool:
            stuck.set()
            return go_on.wait(scaled(20)) and False

        signal.sleep = sleep  # type: ignore[method-assign]
        leading = in_thread(lambda: signal.wait(1e-3))
        assert stuck.wait(scaled(5))
        writer.set("p", 1)
        assert changes.receive(timeout=scaled(10)).value == 1
        eventually(lambda: store.stats().reconnects == 1)
        go_on.set()
        leading.join(scaled(SOON))


# --- many -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("switches", [1e-6, 0.005])
def test_many_threads_that_wait_now_and_then_miss_nothing(
    store: ccs.Store, writer: ccs.Context, switches: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given 20 watches in one store, each in a thread that waits or does something else, then each gets all of its own."""
    count, before = counts(500, 20_000), sys.getswitchinterval()
    expected: dict[int, list[int]] = {index: [n for n in range(count) if n % 5 == index % 5] for index in range(20)}
    entered = threading.Barrier(21)

    def consume(index: int) -> None:
        dice, seen = random.Random(index), list[int]()
        with store.task("t").watch(f"p{index % 5}", "end") as changes:
            entered.wait(scaled(20))
            while True:
                try:
                    change = changes.receive(timeout=dice.choice([0.0005, 0.003, 5]))
                except TimeoutError:
                    continue
                if change.path == "end":
                    break
                seen.append(change.value)
                if dice.random() < 0.02:
                    time.sleep(dice.random() * 0.01)
        assert seen == expected[index]

    def write() -> None:
        dice = random.Random(99)
        entered.wait(scaled(20))
        for number in range(count):
            writer.set(f"p{number % 5}", number)
            if dice.random() < 0.1:
                time.sleep(dice.random() * 0.002)
        writer.set("end", True)

    try:
        sys.setswitchinterval(switches)
        run_threads(lambda index: consume(index) if index < 20 else write(), 21, timeout=120)
    finally:
        sys.setswitchinterval(before)
    assert store.stats().reconnects == 0
    eventually(lambda: not is_led(store), SOON)


# --- interrupts -----------------------------------------------------------------------------------------------------


class Interruption:
    """Interrupts this thread once, after so many of the calls at which Python looks for interrupts.

    Python looks when a function of its own begins, and when a call of anything has ended. So does a profile.
    """

    def __init__(self, after: int) -> None:
        self.left, self.where = after, ""

    def __enter__(self) -> Interruption:
        sys.setprofile(self)
        return self

    def __exit__(self, *exc: object) -> None:
        sys.setprofile(None)

    def __call__(self, frame: FrameType, event: str, argument: object) -> None:
        if event in ("call", "c_return") and frame.f_code.co_filename.startswith(PACKAGE):
            self.left -= 1
            if self.left == 0:
                self.where = f"{event} in {frame.f_code.co_qualname}, line {frame.f_lineno}, {argument}"
                raise Interrupt


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # an interrupt inside a finalizer
@pytest.mark.parametrize("mine", [True, False], ids=["with its own message", "with that of another"])
def test_wherever_the_leading_thread_is_interrupted_the_others_get_all(
    store: ccs.Store, ctx: ccs.Context, writer: ccs.Context, mine: bool
) -> None:
    """Given a leading thread that is interrupted at any moment, then all get all changes, in order, and at once."""
    with ctx.watch("mine") as changes, ctx.watch() as others:
        heard, finished = others._mailbox, 0
        for turn in itertools.count(1):
            setter = threading.Timer(0.002, writer.set, ("mine" if mine else "other", turn))
            with Interruption(turn) as interruption, suppress(Interrupt, TimeoutError):
                setter.start()
                changes.receive(timeout=0.01)
            setter.join()
            for number in (turn, -turn):
                if number < 0:
                    writer.set("other", number)
                # Nobody waits: if the socket was not given back, nobody reads.
                where = f"interrupted {interruption.where}"
                eventually(lambda: heard.behind or heard.first, SOON, f"the other one to be told, {where}")
                assert others.receive(timeout=SOON).value == number, where
            writer.set("mine", 0)
            others.receive(timeout=SOON)
            while changes.receive(timeout=SOON).value != 0:
                pass
            finished += not interruption.where
            if finished == 3:
                break
    assert turn > 50


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # an interrupt inside a finalizer
def test_ctrl_c_at_random_moments_hurts_nobody_else(
    store: ccs.Store, ctx: ccs.Context, writer: ccs.Context, alarm: Callable[[float], None]
) -> None:
    """Given a main thread that waits in a loop and is interrupted, then the others miss nothing."""
    dice, interrupts, over = random.Random(3), 0, threading.Event()
    others, count = [Collector(ctx) for _ in range(2)], counts(750, 30_000)

    def write() -> None:
        for number in range(count):
            writer.set("p", number)
        over.set()

    with ctx.watch() as changes:
        writing = in_thread(write)
        while not over.is_set():
            try:
                try:
                    alarm(dice.uniform(1e-5, 3e-3))
                    for _ in range(100):  # and not for ever: what interrupts a finalizer is lost
                        changes.receive(timeout=0.5)
                finally:
                    alarm(0)
            except (Interrupt, TimeoutError):
                interrupts += 1
        writing.join()
    check(others, count)
    assert interrupts > 50
