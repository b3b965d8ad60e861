"""G5 across forks: an identity belongs to a process. A store that is used in the wrong process or loop says so at once."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import ccs
import ccs.aio
from tests.faults.fork_players import CHILDREN
from tests.support.proxy import Proxy
from tests.support.waiting import bounded, counts, eventually, scaled

PROJECT = Path(__file__).parents[2]
CLOSED, HUNG = 7, -signal.SIGALRM


def play(colour: str, how: str, url: str, namespace: str) -> list[dict[str, Any]]:
    """What the children of a program with a store at module level saw."""
    command = [sys.executable, "-m", "tests.faults.fork_players", colour, how, url, namespace]
    ended = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=scaled(60))
    assert ended.returncode == 0, ended.stderr
    return [json.loads(line) for line in ended.stdout.splitlines()]


@pytest.mark.parametrize("how", ["fork", "forkserver", "spawn", "prefork"])
@pytest.mark.parametrize("colour", ["blocking", "asyncio"])
def test_children_of_a_program_with_a_store_at_module_level_share_no_identity(
    valkey: str, namespace: str, colour: str, how: str
) -> None:
    """Given a store that was made before the fork, when each child uses it, then no write is lost and one leads."""
    seen = play(colour, how, valkey, namespace)
    assert len({each["revision"] for each in seen}) == len({each["pid"] for each in seen}) == CHILDREN
    assert sum(each["token"] > 0 for each in seen) == 1
    assert all(each["agent"].endswith(f":{each['pid']}") for each in seen)
    with ccs.connect(valkey, namespace=namespace) as store:
        task = store.task("forked")
        assert set(task.paths("child/*")) == {each["path"] for each in seen}
        assert task.get("count") == 20 * CHILDREN


def ended(child: int) -> int:
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def forked(call: Callable[[], object]) -> int:
    """How a forked child that calls ends: `CLOSED` if the store said so, `HUNG` if it said nothing."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that there are threads: so there are in user programs
        child = os.fork()
    if child:
        return ended(child)
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(int(scaled(5)))
    try:
        call()
    except ccs.StoreClosed:
        os._exit(CLOSED)
    finally:
        os._exit(1)


@contextmanager
def busy(*calls: Callable[[], object]) -> Iterator[None]:
    """Threads that call on and on."""
    stop = threading.Event()

    def work(call: Callable[[], object]) -> None:
        while not stop.is_set():
            call()

    threads = [threading.Thread(target=work, args=(call,)) for call in calls for _ in range(2)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def test_a_child_that_is_forked_while_threads_use_the_store_gets_an_error_at_once(store: ccs.Store) -> None:
    """Given threads in the middle of every kind of call, when a child uses the store, then it is `StoreClosed`."""
    task = store.task("42")
    task.set("n", 0)
    mirror = task.mirror("n").__enter__()
    claim = task.claim("held").acquire()
    watch = task.watch("n").__enter__()
    calls: list[Callable[[], object]] = [
        lambda: task.set("child", 1),
        lambda: task.get("n"),
        lambda: task.update("n", lambda value: value + 1),
        lambda: task.transact(lambda tx: tx.set("child", tx.get("n"))),
        lambda: claim.context.set("child", 1),
        lambda: claim.release(),
        lambda: task.claim("other").acquire(),
        lambda: task.once("key", lambda: 1),
        lambda: task.send("role", 1),
        lambda: task.semantic.store("a fact", embedding=[1.0, 0.0]),
        lambda: task.semantic.query([1.0, 0.0]),
        lambda: task.watch("**").__enter__(),
        lambda: watch.receive(timeout=5),
        lambda: task.subscribe("**", print),
        lambda: mirror["n"],
        lambda: store.contexts(),
        lambda: store.watch("/**").__enter__(),
    ]
    working = (
        lambda: task.increment("n"),
        lambda: task.get("n"),
        lambda: task.semantic.store("another", embedding=[0.0, 1.0]),
        lambda: task.semantic.query([1.0, 0.0]),
    )
    with busy(*working):
        for number in range(counts(2, 30) * len(calls)):
            assert (number, forked(calls[number % len(calls)])) == (number, CLOSED)
    assert forked(lambda: None if claim.held else os._exit(CLOSED)) == CLOSED
    assert claim.held
    assert task.get("child") is None
    claim.release()
    watch.close()
    mirror.close()


def test_a_child_that_is_forked_while_the_store_opens_gets_an_error_at_once(proxy: Proxy, namespace: str) -> None:
    """Given a first call that is on its way, when a child is forked, then the store is the parent's."""
    store = ccs.connect(proxy.url, namespace=namespace)
    task = store.task("42")
    proxy.filter = lambda count, chunk: "hold"
    first = threading.Thread(target=task.set, args=("a", 1))
    first.start()
    eventually(lambda: proxy.requests)
    assert forked(lambda: task.get("a")) == CLOSED
    assert forked(lambda: task.set("a", 2)) == CLOSED
    proxy.release()
    first.join()
    assert task.get("a") == 1
    store.close()


async def test_a_child_that_is_forked_out_of_a_busy_event_loop_gets_an_error_at_once(astore: ccs.aio.Store) -> None:
    """Given tasks in the middle of their writes, when a child uses the store, then it is `StoreClosed`; they go on."""
    task = astore.task("42")
    calls: list[Callable[[], Any]] = [
        lambda: task.set("child", 1),
        lambda: task.get("n"),
        lambda: task.claim("r").acquire(),
        lambda: task.watch("**").__aenter__(),
    ]

    async def work() -> None:
        for _ in range(counts(20, 500)):
            await task.increment("n")

    async def fork() -> None:
        for call in calls:
            await task.get("n")
            assert forked(lambda call=call: asyncio.Runner().run(call())) == CLOSED  # type: ignore[misc]

    await bounded(asyncio.gather(*(work() for _ in range(10)), fork()), 60)
    assert await task.get("n") == 10 * counts(20, 500)
    assert await task.get("child") is None


async def test_a_call_from_another_event_loop_does_not_hold_up_the_owner(astore: ccs.aio.Store) -> None:
    """Given tasks in the middle of their writes, when another loop uses the store, then it gets an error, and they go on."""
    task = astore.task("42")
    refused: list[BaseException] = []

    def intrude() -> None:
        for call in (lambda: task.set("intruder", 1), lambda: task.get("n"), lambda: task.increment("n")):
            try:
                asyncio.run(call())
            except ccs.StoreClosed as error:
                refused.append(error)

    async def work() -> None:
        for _ in range(counts(20, 500)):
            await task.increment("n")

    await bounded(asyncio.gather(*(work() for _ in range(10)), *(asyncio.to_thread(intrude) for _ in range(5))), 60)
    assert len(refused) == 15
    assert all("another event loop" in str(error) for error in refused)
    assert await task.get("n") == 10 * counts(20, 500)
    assert await task.get("intruder") is None


def test_the_first_uses_by_many_threads_share_one_identity(connect: Any, valkey: str, namespace: str) -> None:
    """Given a store that nobody has used, when many threads use it at once, then nothing is lost."""
    store = ccs.connect(valkey, namespace=namespace)
    task = store.task("42")
    threads = [threading.Thread(target=task.increment, args=("n",)) for _ in range(40)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert task.get("n") == 40
    store.close()


def test_a_fork_waits_for_what_another_thread_imports(namespace: str, valkey: str) -> None:
    """Given a thread that imports a room of the library, when a child is forked meanwhile, then it can import it too."""
    program = """
import os, sys, threading
import ccs

store = ccs.connect(sys.argv[1], namespace=sys.argv[2])
task = store.task("x")
importer = threading.Thread(target=lambda: task.semantic)
importer.start()
child = os.fork()
if not child:
    task.semantic, task.episodic, task.procedural
    os._exit(7)
importer.join()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
"""
    command = [sys.executable, "-W", "ignore", "-c", program, valkey, namespace]
    for _ in range(counts(5, 50)):
        assert subprocess.run(command, timeout=scaled(20)).returncode == 7
