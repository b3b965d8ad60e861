"""Never a deadlock: a signal handler or finalizer that runs inside a thread's call is refused if it would wait for that call."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest

import ccs
import ccs.aio
from ccs._compat import Gate
from ccs._compat.workers import Worker
from tests.support.proxy import Proxy
from tests.support.waiting import counts, eventually, scaled


class Handler:
    """A signal handler that makes calls, each of which must return or be refused at once; it counts what became of them."""

    def __init__(self, **calls: Callable[[], object]) -> None:
        self.calls = calls
        self.outcomes: Counter[tuple[str, str]] = Counter()
        self.refusals: list[ccs.Misuse] = []
        self.longest = 0.0

    def __call__(self, *_: object) -> None:
        for name, call in self.calls.items():
            began = time.monotonic()
            try:
                call()
                outcome = "done"
            except ccs.Misuse as refused:
                self.refusals.append(refused)
                outcome = "refused"
            except (ccs.AlreadyClaimed, ccs.ClaimLost, TimeoutError):
                outcome = "answered"
            except Exception as error:  # noqa: BLE001  # nothing may reach the interrupted code, which could take it for its own
                outcome = repr(error)
            self.outcomes[name, outcome] += 1
            self.longest = max(self.longest, time.monotonic() - began)

    def outcome(self, name: str) -> set[str]:
        """How the calls of this name ended."""
        return {outcome for called, outcome in self.outcomes if called == name}


@contextlib.contextmanager
def signalled(handler: Handler) -> Iterator[None]:
    """The handler runs now and then, some milliseconds after it has ended."""
    over = False

    def run(*_: object) -> None:
        handler()
        if not over:
            signal.setitimer(signal.ITIMER_REAL, 0.0017 + 0.0001 * (sum(handler.outcomes.values()) % 13))

    before = signal.signal(signal.SIGALRM, run)
    signal.setitimer(signal.ITIMER_REAL, 0.002)
    try:
        yield
    finally:
        over = True
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def possible(store: ccs.Store) -> set[str]:
    """How a call may end that waits for nothing but the server: one in this process waits for the thread that it serves."""
    return {"done", "refused"} if store.address.startswith("memory") else {"done"}


def busily(call: Callable[[], object], handler: Handler, rounds: int) -> int:
    """Calls on and on until the handler has run so often; how many calls were made."""
    done = 0
    deadline = time.monotonic() + scaled(20)
    with signalled(handler):
        while sum(handler.outcomes.values()) < rounds * len(handler.calls):
            assert time.monotonic() < deadline
            call()
            done += 1
    return done


def test_a_signal_handler_is_refused_only_what_would_wait_for_its_own_thread(connect: Any) -> None:
    """Given threads that commit to a context, when a handler calls on top of one, then it never waits for it."""
    store = connect()
    task = store.task("x")
    other = store.task("y")
    task.set_many({"n": 0, "m": 0})
    handler = Handler(
        write=lambda: task.set("status", "stopping"),
        update=lambda: task.update("status", str),
        claim=lambda: task.claim("r").acquire(),
        message=lambda: task.send("role", 1),
        elsewhere=lambda: other.set("status", "stopping"),
        read=lambda: task.get("n"),
        listing=lambda: task.snapshot(),
        counting=lambda: store.stats(),
        subscription=lambda: task.subscribe("nothing", print).cancel(),
    )
    stop = threading.Event()

    def write() -> None:
        while not stop.is_set():
            task.increment("m")
            done["m"] += 1

    done = Counter(n=0, m=0)
    neighbour = threading.Thread(target=write)
    neighbour.start()
    done["n"] = busily(lambda: task.increment("n"), handler, counts(30, 2000))
    stop.set()
    neighbour.join()
    assert dict(done) == {"n": task.get("n"), "m": task.get("m")}
    for name in ("write", "update", "claim", "message"):
        assert "refused" in handler.outcome(name)
    for name in ("elsewhere", "read", "listing", "subscription"):
        assert handler.outcome(name) <= possible(store)
    assert handler.outcome("counting") == {"done"}
    assert all(isinstance(refused, RuntimeError) and "another thread" in str(refused) for refused in handler.refusals)
    assert handler.longest < scaled(2)


def test_a_refused_handler_changes_nothing(proxy: Proxy, namespace: str) -> None:
    """Given a claim and a presence, when a handler is refused to leave them, then they are held, and can be left."""
    with ccs.connect(proxy.url, namespace=namespace) as store:
        task = store.task("x")
        claim = task.claim("r", ttl=1.5).acquire()
        presence = task.join("worker", ttl=1.5).__enter__()
        handler = Handler(release=lambda: claim.release(), leave=lambda: presence.leave())

        def run(*_: object) -> None:
            handler()
            proxy.release()

        before = signal.signal(signal.SIGALRM, run)
        proxy.filter = lambda count, chunk: "hold" if b"increment" in chunk else "pass"
        signal.setitimer(signal.ITIMER_REAL, 0.1)
        task.increment("increment")
        signal.signal(signal.SIGALRM, before)
        assert handler.outcome("release") == handler.outcome("leave") == {"refused"}
        longer_than_the_ttl = time.monotonic() + 1.8
        eventually(lambda: time.monotonic() > longer_than_the_ttl)
        assert claim.held
        assert presence.joined
        claim.release()
        presence.leave()
        assert task.claims() == []
        assert task.members() == []


# What raises while a connection is opened may leave its socket to the collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning", "ignore::ResourceWarning")
def test_a_handler_that_lets_the_refusal_through_does_not_give_it_to_others(store: ccs.Store) -> None:
    """Given threads whose commits travel together, when a handler raises in one, then the others are answered."""
    task = store.task("x")
    stop = threading.Event()
    answered: list[int] = []
    failures: list[BaseException] = []

    def write() -> None:
        try:
            while not stop.is_set():
                answered.append(task.increment("m"))
        except BaseException as error:  # noqa: BLE001  # told by the main thread
            failures.append(error)

    threads = [threading.Thread(target=write) for _ in range(3)]
    for thread in threads:
        thread.start()
    refused = 0
    before = signal.signal(signal.SIGALRM, lambda *_: task.set("status", 1))
    try:
        deadline = time.monotonic() + scaled(20)
        while refused < counts(20, 500) and time.monotonic() < deadline:
            signal.setitimer(signal.ITIMER_REAL, 0.001)
            try:
                for _ in range(100):
                    task.increment("n")
            except ccs.Misuse:
                refused += 1
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
        stop.set()
        for thread in threads:
            thread.join(scaled(10))
    assert refused == counts(20, 500)
    assert not failures
    assert not any(thread.is_alive() for thread in threads)
    assert sorted(answered) == list(range(1, len(answered) + 1))


def test_a_handler_that_comes_while_the_store_opens_does_not_wait_for_it(proxy: Proxy, namespace: str) -> None:
    """Given a first call that waits for the server, when a handler uses the store, then nobody waits for ever."""
    with ccs.connect(proxy.url, namespace=namespace, retry_for=5) as store:
        proxy.refuse()
        handler = Handler(here=lambda: store.task("x").set("b", 1))
        before = signal.signal(signal.SIGALRM, handler)
        threading.Timer(0.3, proxy.refuse, args=(False,)).start()
        signal.setitimer(signal.ITIMER_REAL, 0.05)
        try:
            store.task("x").set("a", 1)
        finally:
            signal.signal(signal.SIGALRM, before)
        assert handler.outcome("here") == {"refused"}
        assert store.task("x").get("a") == 1


def test_a_handler_that_comes_while_an_embedded_server_starts_is_refused(tmp_path: Any) -> None:
    """Given first calls that start the servers of folders, when a handler uses the store, it is refused or comes first."""
    for number in range(20):
        store = ccs.connect(tmp_path / f"brain {number}")
        handler = Handler(read=partial(store.get, "/tasks/x/a"), write=partial(store.set, "/tasks/y/a", 1))
        with signalled(handler):
            store.task("x").set("a", 1)
        assert handler.outcome("read") | handler.outcome("write") <= {"done", "refused"}
        assert handler.longest < scaled(2)
        assert store.task("x").get("a") == 1
        store.close()
        if "refused" in handler.outcome("read"):
            return
    raise AssertionError("no handler came while a server started")


def test_a_handler_does_not_wait_for_changes_on_top_of_a_thread_that_does(store: ccs.Store) -> None:
    """Given a thread that waits for changes, when a handler inside it does too, then the handler gets a change or is refused."""
    task = store.task("x")
    with task.watch("a") as outer, task.watch("b") as inner:
        handler = Handler(wait=lambda: inner.receive(timeout=0.001), look=lambda: task.wait_for("n", timeout=0.001))
        stop = threading.Event()

        def write() -> None:
            while not stop.is_set():
                task.increment("a")

        writer = threading.Thread(target=write)
        writer.start()
        got: list[int] = []
        busily(lambda: got.append(outer.receive(timeout=scaled(10)).value), handler, counts(30, 1000))
        stop.set()
        writer.join()
        assert got == list(range(1, len(got) + 1))
        assert handler.longest < scaled(2)


WATCHES_ON_WATCHES = """
import signal
import sys
import ccs

def handle(*_):
    with task.watch("b"):
        handled.append(1)

handled = []
with ccs.connect(sys.argv[1], namespace=sys.argv[2]) as store:
    task = store.task("x")
    signal.signal(signal.SIGALRM, handle)
    rounds = 0
    while len(handled) < int(sys.argv[3]):
        rounds += 1
        signal.setitimer(signal.ITIMER_REAL, 0.0001 + rounds % 50 * 0.00002)
        with task.watch("a"):
            pass
    signal.setitimer(signal.ITIMER_REAL, 0)
"""


def test_a_handler_can_watch_on_top_of_a_thread_that_begins_to(valkey: str, namespace: str) -> None:
    """Given a thread that enters watches, when a handler on top of it enters one, then the background waits for neither."""
    # In a process of its own, which can be ended if it hangs.
    command = [sys.executable, "-c", WATCHES_ON_WATCHES, valkey, namespace, str(counts(300, 3000))]
    ran = subprocess.run(command, stderr=subprocess.PIPE, timeout=scaled(20))
    assert ran.returncode == 0, ran.stderr.decode()


def test_a_handler_does_not_wait_for_the_subscription_that_its_thread_is_starting(
    store: ccs.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a thread that subscribes, when a handler comes before the subscription has a thread, then it waits for nothing."""
    task = store.task("x")
    task.set("n", 1)
    handler = Handler(read=lambda: task.get("n"))

    def interrupted(*args: Any) -> Worker:
        handler()
        return Worker(*args)

    monkeypatch.setattr("ccs._sync.changes.subscription.Worker", interrupted)
    got: list[int] = []
    subscription = task.subscribe("n", lambda change: got.append(change.value))
    task.set("n", 2)
    eventually(lambda: got == [2])
    subscription.cancel()
    assert handler.outcome("read") == {"done"}
    assert handler.longest < scaled(2)


def test_a_finalizer_is_refused_only_what_would_wait_for_its_own_thread(store: ccs.Store) -> None:
    """Given objects that write when they are collected, when that is in the middle of a commit, then nothing hangs."""
    task = store.task("x")
    handler = Handler(write=lambda: task.increment("collected"), read=lambda: task.get("n"))

    class Writes:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            handler()

    before = gc.get_threshold()
    gc.set_threshold(40)  # often, and so in the middle of what we do
    try:
        done = 0
        deadline = time.monotonic() + scaled(20)
        while handler.outcomes["write", "refused"] < counts(20, 500):
            assert time.monotonic() < deadline
            Writes()
            done = task.increment("n")
    finally:
        gc.set_threshold(*before)
    gc.collect()
    assert task.get("n") == done
    assert task.get("collected", 0) == handler.outcomes["write", "done"]
    assert handler.outcome("read") <= possible(store)


def test_a_gate_can_be_opened_on_top_of_a_thread_that_waits_for_it() -> None:
    """Given threads that wait at a gate, when a handler on top of one opens it, then all pass."""
    for _ in range(counts(20, 500)):
        _open_on_top(Gate())


def _open_on_top(gate: Gate) -> None:
    passed: list[bool] = []
    thread = threading.Thread(target=lambda: passed.append(gate.wait(scaled(5))))
    thread.start()
    before = signal.signal(signal.SIGALRM, lambda *_: gate.open())
    signal.setitimer(signal.ITIMER_REAL, 0.0005)
    assert gate.wait(scaled(5))
    thread.join()
    signal.signal(signal.SIGALRM, before)
    assert passed == [True]
    assert gate.wait(None)


class Alarmed(Exception):
    """An error that a signal handler of the user raises."""


@contextlib.contextmanager
def raising(error: type[BaseException]) -> Iterator[Callable[[float], None]]:
    """Gives `alarm(seconds)`: after so many seconds a signal handler raises the error; 0 cancels that."""

    def handle(*_: object) -> None:
        raise error("now")

    before = signal.signal(signal.SIGALRM, handle)
    try:
        yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds) and None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


# What a handler raises on top of a finalizer of redis-py goes no further.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("error", [Alarmed, KeyboardInterrupt])
def test_what_a_handler_raises_in_memory_reaches_its_caller_as_it_is(error: type[BaseException]) -> None:
    """Given calls to a server in this process, when a handler raises in the middle of them, then the store goes on."""
    with ccs.connect("memory://", retry_for=scaled(20)) as store, raising(error) as alarm:
        task = store.task("x")
        answered = raised = 0
        deadline = time.monotonic() + scaled(30)
        while raised < counts(25, 1000):
            assert time.monotonic() < deadline
            try:
                alarm(0.0003 + 0.0001 * (raised % 23))
                for _ in range(100):  # not for ever: what the handler raises in a finalizer is lost
                    task.increment("n")
                    answered += 1
            except error:
                raised += 1
        alarm(0)
        # A call without an answer was applied or not, and none was applied twice.
        assert answered <= task.get("n", 0) <= answered + raised
        assert task.set("after", 1).value == 1
        assert [change.value for change in task.history("n")] == list(range(1, task.get("n", 0) + 1))


# As above. What is raised in a callback of the loop reaches only the loop's exception handler.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_what_a_handler_raises_in_memory_leaves_an_asyncio_store_in_order() -> None:
    """Given an event loop that a handler stops again and again, when it runs on, then every call gets its own answer."""
    loop = asyncio.new_event_loop()
    loop.set_exception_handler(lambda _, context: told.append(context.get("exception") or context))
    told: list[Any] = []
    store = ccs.aio.connect("memory://", retry_for=scaled(20))
    rounds = counts(50, 2000)

    task = store.task("x")
    got: list[Any] = []

    async def work() -> None:
        for _ in range(rounds):
            with contextlib.suppress(Alarmed):
                got.append(await task.increment("n"))

    with raising(Alarmed) as alarm:
        working = loop.create_task(work())
        raised = 0
        deadline = time.monotonic() + scaled(60)
        while not working.done():
            assert time.monotonic() < deadline
            with contextlib.suppress(Alarmed):
                alarm(0.005 + 0.0003 * (raised % 23))
                raised += 1
                loop.run_until_complete(asyncio.wait([working]))
        alarm(0)
    working.result()
    last = loop.run_until_complete(task.get("n"))
    loop.run_until_complete(store.aclose())
    loop.close()
    assert got == sorted(set(got))
    assert rounds - raised <= len(got) <= last <= rounds
    assert [error for error in told if not isinstance(error, Alarmed)] == []
