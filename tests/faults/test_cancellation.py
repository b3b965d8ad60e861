"""G14: a call that is cancelled or interrupted, at any point, affects no other call and leaves nothing half done."""

from __future__ import annotations

import asyncio
import ctypes
import gc
import itertools
import random
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator
from typing import Any

import pytest

import ccs
import ccs.aio
from ccs._core.commits.commit import Applied, Batch, Commit, Settings, commit_arguments
from ccs._core.commits.operations import (
    append_op,
    delete_op,
    finish_op,
    increment_op,
    renew_op,
    revision_guard,
    set_op,
    sweep_op,
    version_guard,
)
from ccs._core.commits.queries import journal_arguments, page_arguments, read_arguments
from ccs._core.names.keys import keys_of
from ccs._core.names.pattern import Below
from ccs._sync.group_commit import GroupCommit
from tests.faults.chaos import faults, seed, written
from tests.support.interrupts import Interrupt
from tests.support.journal import check_consistent, records
from tests.support.leftovers import tasks
from tests.support.proxy import Proxy
from tests.support.servers import PrivateServer
from tests.support.waiting import aeventually, bounded, counts, eventually, scaled

TASK = "/tasks/42"


async def victim(store: ccs.aio.Store, dice: random.Random, token: str) -> None:
    """One random call, which somebody may cancel."""
    task, path = store.task("42"), f"victims/{token}"
    calls: list[Callable[[], Coroutine[Any, Any, Any]]] = [
        lambda: task.set(path, token),
        lambda: task.get("witness/0"),
        lambda: task.snapshot("witness/*"),
        lambda: task.increment("victims/count"),
        lambda: task.append("victims/list", token),
        lambda: task.update("victims/updated", lambda value: (value or 0) + 1),
        lambda: task.set_many({path: token, f"{path}/twin": token}),
        lambda: task.history(limit=10),
        lambda: task.delete(f"victims/{int(token) - 5}"),
        lambda: store.contexts(),
        lambda: pair(task, path, token),
        lambda: watch(task, path),
        lambda: watch_the_store(store),
        lambda: task.wait_for("never", timeout=5),
        lambda: scan(task),
    ]
    await dice.choice(calls)()


async def pair(task: ccs.aio.Context, path: str, token: str) -> None:
    async with task.transaction() as tx:
        await tx.get("witness/0")
        await tx.exists(path)
        tx.set(path, token)
        tx.set(f"{path}/twin", token)


async def watch(task: ccs.aio.Context, path: str) -> None:
    async with task.watch(path, initial=True) as changes:
        await changes.receive(timeout=1)


async def watch_the_store(store: ccs.aio.Store) -> None:
    async with store.watch() as changes:
        await changes.receive(timeout=1)


async def scan(task: ccs.aio.Context) -> None:
    async for _ in task.scan(page=10):
        pass


async def doom(call: Coroutine[Any, Any, None], dice: random.Random) -> str:
    """Lets a call live for a few turns of the loop, or a few milliseconds, and then cancels it; what became of it."""
    doomed = asyncio.create_task(call)
    if dice.random() < 0.7:
        for _ in range(dice.randrange(12)):
            await asyncio.sleep(0)
    else:
        await asyncio.wait([doomed], timeout=dice.random() * 0.01)
    doomed.cancel()
    await asyncio.wait([doomed])
    if doomed.cancelled():
        return "cancelled"
    error = doomed.exception()
    assert error is None or isinstance(error, (TimeoutError, ccs.Conflict)), f"{error!r}"
    return "done"


async def witness(task: ccs.aio.Context, index: int, over: asyncio.Event) -> int:
    """Writes and reads a value of its own, and must never be given another's."""
    turns = 0
    while not over.is_set():
        mine = f"{index}.{turns}"
        entry = await task.set(f"witness/{index}", mine)
        assert (entry.path, entry.value, entry.version) == (f"witness/{index}", mine, turns + 1)
        assert await task.get(f"witness/{index}") == mine
        assert (await task.snapshot(f"witness/{index}")).revision >= entry.revision
        assert await task.increment(f"counted/{index}") == turns + 1
        turns += 1
    return turns


def check_pairs(url: str, namespace: str) -> None:
    """What belongs to one commit was written by one, or not at all."""
    check_consistent(url, namespace, TASK)
    for values in map(written, records(url, namespace, TASK)):
        for path, value in values.items():
            if path.endswith("/twin"):
                assert values.get(path.removesuffix("/twin")) == value


@pytest.mark.parametrize("rate", [0.0, 0.02], ids=["healthy", "connections break"])
async def test_cancelling_random_calls_hurts_nobody_else(
    own_server: PrivateServer, namespace: str, rate: float, answer_within: Callable[[float], None]
) -> None:
    """Given ten callers at work, when others are cancelled at random points, then each still gets its own answers."""
    answer_within(1.0)
    chosen = seed()
    dice = random.Random(chosen)
    with Proxy(own_server.port) as proxy, own_server.client() as client:
        async with ccs.aio.connect(proxy.url, namespace=namespace) as store:
            # All of history is kept: it is replayed in the end.
            await store.task("42", keep_commits=10_000_000, keep_bytes=1 << 40).set("warm", 0)
            proxy.fault = faults(random.Random(chosen), rate, ("drop", "cut"))
            over = asyncio.Event()
            witnesses = [asyncio.create_task(witness(store.task("42"), index, over)) for index in range(10)]
            fates: Counter[str] = Counter()
            for turn in range(counts(75, 2000)):
                tokens = [str(turn * 10 + index) for index in range(10)]
                fates.update(await asyncio.gather(*(doom(victim(store, dice, token), dice) for token in tokens)))
                assert not [each for each in witnesses if each.done()], "a witness has died"
            over.set()
            assert all(await bounded(asyncio.gather(*witnesses), 20))
            assert fates["cancelled"] > 50
            assert fates["done"] > 20
            proxy.fault = faults(random.Random(chosen), 0.0, ("drop",))
            assert not store._engine.opening.dispatcher._feeds, "a cancelled watch has left its feed behind"
            assert not store._engine.opening.dispatcher._observers
            await aeventually(lambda: len(client.client_list()) - 1 <= 3, what="the connections of one store")
            running = tasks()
            assert running["ccs commit"] + running["ccs dial"] == 0
            assert max(running.values()) <= 2, running
            async with store.task("42").watch("after") as changes:
                await store.task("42").set("after", 1)
                assert (await changes.receive(timeout=5)).value == 1
        assert not tasks()
        await aeventually(lambda: len(client.client_list()) == 1)
    await asyncio.to_thread(check_pairs, own_server.url, namespace)


async def test_a_cancelled_commit_that_was_not_sent_never_happens(proxy: Proxy, namespace: str) -> None:
    """Given commits that wait behind two that are on their way, when they are cancelled, then nothing of them happens."""
    async with ccs.aio.connect(proxy.url, namespace=namespace) as store:
        task = store.task("42")
        await task.set("warm", 1)
        requests = proxy.requests
        proxy.filter = lambda count, chunk: "hold"
        sent = [asyncio.create_task(task.set(f"sent/{index}", 1)) for index in range(2)]
        await aeventually(lambda: proxy.requests > requests)
        await aeventually(lambda: not store._engine.route(TASK, None).group_commit._waiting)
        waiting = [asyncio.create_task(task.set(f"waiting/{index}", 1)) for index in range(20)]
        await asyncio.sleep(0)
        for each in waiting:
            each.cancel()
        await asyncio.wait(waiting)
        proxy.filter = lambda count, chunk: "pass"
        proxy.release()
        await bounded(asyncio.gather(*sent))
        assert set(await task.paths()) == {"sent/0", "sent/1", "warm"}
        assert (await task.set("after", 1)).version == 1


async def test_cancelling_the_first_of_many_openers_of_a_store_leaves_it_to_the_others(
    own_server: PrivateServer, namespace: str
) -> None:
    """Given many users of a store that was not entered, when some are cancelled midway, then the others get through."""
    chosen = seed()
    for turn in range(counts(30, 300)):
        dice = random.Random(chosen + turn)
        store = ccs.aio.connect(own_server.url, namespace=namespace)
        calls = [asyncio.create_task(store.task("42").set(f"a/{index}", index)) for index in range(10)]
        for _ in range(dice.randrange(15)):
            await asyncio.sleep(0)
        for each in calls[: dice.randrange(1, 9)]:
            each.cancel()
        results = await bounded(asyncio.gather(*calls, return_exceptions=True))
        assert not [result for result in results[9:] if isinstance(result, BaseException)], results
        await store.aclose()
        assert not tasks()
    with own_server.client() as client:
        await aeventually(lambda: len(client.client_list()) == 1)


async def test_closing_that_is_cancelled_can_be_done_again(own_server: PrivateServer, namespace: str) -> None:
    """Given a store in use, when closing it is cancelled midway and then done again, then nothing stays behind."""
    for turns in range(12):
        store = ccs.aio.connect(own_server.url, namespace=namespace)
        task = store.task("42")

        async def see(change: ccs.Change) -> None: ...

        task.subscribe("**", see)
        await task.set("a", turns, ttl=100)
        busy = [asyncio.create_task(task.increment("n")) for _ in range(10)]
        await asyncio.sleep(0)
        closing = asyncio.create_task(store.aclose())
        for _ in range(turns):
            await asyncio.sleep(0)
        closing.cancel()
        await asyncio.wait([closing])
        await bounded(store.aclose())
        for result in await bounded(asyncio.gather(*busy, return_exceptions=True)):
            assert isinstance(result, (int, ccs.StoreClosed))
        assert not tasks()
        with pytest.raises(ccs.StoreClosed):
            await task.get("a")
    with own_server.client() as client:
        await aeventually(lambda: len(client.client_list()) == 1)


async def test_a_timeout_around_a_call_is_a_timeout(proxy: Proxy, namespace: str) -> None:
    """Given a server that is silent for a while, when callers time out, then the next get their own answers."""
    async with ccs.aio.connect(proxy.url, namespace=namespace) as store:
        task = store.task("42")
        for index in range(5):
            await task.set(f"a/{index}", index)
        proxy.filter = lambda count, chunk: "hold"
        for index in range(5):
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.02):
                    await task.get(f"a/{index}")
        proxy.filter = lambda count, chunk: "pass"
        proxy.release()
        assert await bounded(asyncio.gather(*(task.get(f"a/{index}") for index in range(5)))) == [0, 1, 2, 3, 4]
        assert store.stats().reconnects == 0


async def test_an_attempt_to_connect_that_nobody_waits_for_any_more_fails_in_silence(
    proxy: Proxy, namespace: str, answer_within: Callable[[float], None]
) -> None:
    """Given an attempt to connect whose only caller was cancelled, when it fails, then no loop complains of it."""
    answer_within(0.1)
    proxy.filter = lambda count, chunk: "eat"
    problems: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    before = loop.get_exception_handler()
    loop.set_exception_handler(lambda _, problem: problems.append(problem))
    store = ccs.aio.connect(proxy.url, namespace=namespace)
    call = asyncio.create_task(store.task("42").get("a"))
    await aeventually(lambda: tasks()["ccs dial"])
    call.cancel()
    await asyncio.wait([call])
    del call
    await aeventually(lambda: not tasks()["ccs dial"])
    gc.collect()
    await store.aclose()
    loop.set_exception_handler(before)
    assert problems == []


# --- Threads ----------------------------------------------------------------------------------------------------------


class FakeServer:
    """Applies each batch number once and answers it again, at one instant, as the script does; slow to answer."""

    def __init__(self, dice: random.Random) -> None:
        self.dice = dice
        self.batches: dict[int, tuple[str, ...]] = {}
        self.stale = 0

    @property
    def applied(self) -> Counter[str]:
        return Counter(itertools.chain.from_iterable(self.batches.values()))

    def ready(self, patience: Any) -> None:
        """It is open."""

    def send(self, sending: Any) -> list[Any]:
        names = tuple(commit.agent for commit in sending.commits)
        self.stale += sending.number not in self.batches and sending.number < max(self.batches, default=0)
        applied = self.batches.setdefault(sending.number, names)
        for _ in range(self.dice.randrange(300)):
            pass
        return [Applied(int(name), 1) for name in applied]


@pytest.fixture
def short_switches() -> Iterator[None]:
    """Threads take turns far more often than they would."""
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    yield
    sys.setswitchinterval(interval)


def interrupt(thread: threading.Thread) -> None:
    assert thread.ident is not None
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread.ident), ctypes.py_object(Interrupt))


class Committer:
    """Threads that commit through one group commit, each its own numbers, and can be interrupted, once in each commit."""

    def __init__(self, dice: random.Random, count: int) -> None:
        self.server = FakeServer(dice)
        self.group_commit = GroupCommit(self.server, lambda: None, itertools.count(1).__next__, 30.0)
        self.names, self.over = itertools.count(1), threading.Event()
        self.acknowledged: list[tuple[int, int]] = []
        self.calm, self.interrupts = [False] * count, 0
        self.threads = [threading.Thread(target=self.run, args=(index,), daemon=True) for index in range(count)]
        for thread in self.threads:
            thread.start()

    def run(self, index: int) -> None:
        # In a loop of its own, so that none of the steps of the test is outside: they are interrupted too.
        while True:
            try:
                return self.commit_until_over(index)
            except Interrupt:
                self.interrupts += 1

    def commit_until_over(self, index: int) -> None:
        while not self.over.is_set():
            name = next(self.names)
            self.acknowledged.append((name, self.group_commit.commit(Commit(str(name), [delete_op("a")])).revision))
            self.calm[index] = True

    def interrupt(self, index: int) -> None:
        """Interrupts one thread, unless it has not made a commit since the last time."""
        if self.calm[index]:
            self.calm[index] = False
            interrupt(self.threads[index])

    def finish(self) -> None:
        self.over.set()
        for thread in self.threads:
            thread.join(scaled(5))
        assert not [thread for thread in self.threads if thread.is_alive()], (
            f"a thread waits for ever: {self.group_commit}"
        )


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # an interrupt inside a finalizer
def test_a_thread_interrupted_anywhere_in_a_group_commit_leaves_nobody_waiting(short_switches: None) -> None:
    """Given threads that commit together, when some are interrupted, then the others are answered, each commit once."""
    dice = random.Random(seed())
    for _ in range(counts(3, 60)):
        committer = Committer(dice, 6)
        deadline = time.monotonic() + 1.0
        while time.monotonic() < deadline:
            committer.interrupt(dice.randrange(4))
            time.sleep(dice.random() * 0.001)
        committer.finish()
        assert all(name == revision for name, revision in committer.acknowledged), "an answer went to the wrong caller"
        applied = committer.server.applied
        assert max(applied.values()) == 1, "a commit was applied twice"
        assert {str(name) for name, _ in committer.acknowledged} <= set(applied), "acknowledged, but not applied"
        assert not committer.server.stale, "a batch came after its successor"
        assert committer.interrupts > 50
        assert committer.group_commit.commit(Commit("0", [delete_op("a")])).revision == 0


def test_no_number_reaches_the_packing_of_commands() -> None:
    """hiredis prints numbers itself, and crashes the process if Ctrl-C comes just then: it is given none (G14)."""
    operations = [
        set_op("a", b"", 1),
        increment_op("a", 1),
        append_op("a", 1, b"", 1),
        renew_op("a", 1),
        finish_op(b"", 1),
        sweep_op(1),
    ]
    commit = Commit("agent", operations, [version_guard("a", 1), revision_guard("a", 1)], Settings(1, 1, 1))
    arguments = commit_arguments(Batch([commit], "client", 1, 1), keys_of("ccs", TASK), Settings(1, 1, 1))
    arguments += page_arguments(Below("a"), "", 1) + journal_arguments(1, 1) + read_arguments("paths", [Below("a")])
    assert {type(argument) for argument in arguments} == {str, bytes}


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # an interrupt inside a finalizer
def test_interrupting_the_main_thread_leaves_the_store_usable_and_others_unharmed(
    own_server: PrivateServer, namespace: str, alarm: Callable[[float], None]
) -> None:
    """Given threads that write together, when the main one is interrupted in random calls, then all goes on."""
    chosen = seed()
    dice, over = random.Random(chosen), threading.Event()
    with ccs.connect(own_server.url, namespace=namespace) as store:
        task = store.task("42")
        task.set("mine", -1)
        done: list[int] = []
        errors: list[BaseException] = []

        def work(index: int) -> None:
            try:
                turns = 0
                while not over.is_set():
                    turns += 1
                    assert task.increment(f"n/{index}") == turns
                    assert task.get(f"n/{index}") == turns
                done.append(turns)
            except BaseException as error:  # noqa: BLE001  # handed to the test
                errors.append(error)

        threads = [threading.Thread(target=work, args=(index,), daemon=True) for index in range(6)]
        for thread in threads:
            thread.start()
        interrupts, turn = 0, 0
        while interrupts < counts(75, 3000):
            turn += 1
            calls: list[Callable[[], object]] = [
                lambda turn=turn: task.set("mine", turn),
                lambda: task.get("mine"),
                lambda turn=turn: task.set_many({"a": turn, "b": turn}),
                lambda: task.append("list", 1, max_items=5),
                lambda: task.snapshot(),
            ]
            try:
                try:
                    alarm(dice.uniform(1e-5, 3e-3))
                    for call in dice.choices(calls, k=50):
                        call()
                finally:
                    alarm(0)
            except Interrupt:
                interrupts += 1
            assert task.set("check", turn).value == turn
            assert task.get("check") == turn
            snapshot = task.snapshot("a", "b")
            assert len({entry.value for entry in snapshot.values()}) <= 1
        over.set()
        for thread in threads:
            thread.join(scaled(10))
        assert not errors
        assert len(done) == len(threads), "a thread waits for ever"
        with own_server.client() as client:
            assert len(client.client_list()) < 20
    check_consistent(own_server.url, namespace, TASK)
    with own_server.client() as client:
        eventually(lambda: len(client.client_list()) == 1)
