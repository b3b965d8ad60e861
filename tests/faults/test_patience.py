"""`retry_for` is each caller's own: of hundreds with a server that hangs, each gets its error in time."""

import asyncio
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import ccs
import ccs.aio
from ccs._core.retry import Patience
from ccs._sync.transport.pool import _Connection
from tests.support.colours import COLOURS, connect_in
from tests.support.servers import PrivateServer
from tests.support.waiting import counts, eventually, scaled

PATIENCE, CALLERS = counts(0.7, 1.0), counts(60, 300)
CALLS: dict[str, Callable[[Any], Any]] = {
    "get": lambda task: task.get("a"),
    "set": lambda task: task.set("a", 2),
    "snapshot": lambda task: task.snapshot(),
    "claim": lambda task: task.claim("r").acquire(),
}


@contextmanager
def hanging(server: PrivateServer) -> Iterator[None]:
    server.pause()
    try:
        yield
    finally:
        server.resume()


def in_threads(call: Callable[[], Any], gap: float = 0.0) -> list[float]:
    """Returns how long each of many threads waited for its error; they begin one after the other."""
    waits: list[float] = []

    def ask() -> None:
        began = time.monotonic()
        with pytest.raises(ccs.Unavailable):
            call()
        waits.append(time.monotonic() - began)

    threads = [threading.Thread(target=ask) for _ in range(CALLERS)]
    for thread in threads:
        thread.start()
        time.sleep(gap)  # they are not to be of one age
    for thread in threads:
        thread.join(scaled(30))
    return waits


async def in_tasks(call: Callable[[], Any]) -> list[float]:
    """Returns how long each of many tasks waited for its error."""

    async def ask() -> float:
        began = time.monotonic()
        with pytest.raises(ccs.Unavailable):
            await call()
        return time.monotonic() - began

    return list(await asyncio.gather(*(ask() for _ in range(CALLERS))))


@pytest.mark.parametrize("name", CALLS)
def test_each_of_many_threads_gets_its_error_in_time(own_server: PrivateServer, name: str) -> None:
    with ccs.connect(own_server.url, retry_for=PATIENCE) as store:
        task = store.task("x")
        task.set("a", 1)
        with hanging(own_server):
            waits = in_threads(lambda: CALLS[name](task))
    assert len(waits) == CALLERS
    assert max(waits) < PATIENCE + scaled(0.5)


@pytest.mark.parametrize("name", CALLS)
async def test_each_of_many_tasks_gets_its_error_in_time(own_server: PrivateServer, name: str) -> None:
    async with ccs.aio.connect(own_server.url, retry_for=PATIENCE) as store:
        task = store.task("x")
        await task.set("a", 1)
        with hanging(own_server):
            waits = await in_tasks(lambda: CALLS[name](task))
    assert max(waits) < PATIENCE + scaled(0.5)


def test_threads_that_come_later_wait_as_long_as_the_first(own_server: PrivateServer) -> None:
    with ccs.connect(own_server.url, retry_for=PATIENCE) as store:
        task = store.task("x")
        task.set("a", 1)
        with hanging(own_server):
            waits = in_threads(lambda: task.set("a", 2), gap=0.005)
    assert min(waits) > PATIENCE - 0.2, "nobody's patience ends with that of those before"
    assert max(waits) < PATIENCE + scaled(0.5)


async def test_a_commit_that_comes_later_has_the_patience_of_its_own(own_server: PrivateServer) -> None:
    async with ccs.aio.connect(own_server.url, retry_for=PATIENCE) as store:
        task = store.task("x")
        await task.set("a", 1)

        async def late(after: float) -> float:
            await asyncio.sleep(after)
            began = time.monotonic()
            with pytest.raises(ccs.Unavailable):
                await task.set("a", 2)
            return time.monotonic() - began

        with hanging(own_server):
            waits = await asyncio.gather(*(late(tenth / 10) for tenth in range(10)))
    assert min(waits) > PATIENCE - 0.2
    assert max(waits) < PATIENCE + scaled(0.5)


def test_a_watch_is_entered_in_time_or_not_at_all(own_server: PrivateServer) -> None:
    with ccs.connect(own_server.url, retry_for=PATIENCE) as store:
        task = store.task("x")
        task.set("a", 1)
        with hanging(own_server):
            waits = in_threads(lambda: task.watch().__enter__())
    assert max(waits) < PATIENCE + scaled(0.5)


def test_an_answer_that_comes_byte_by_byte_does_not_lengthen_patience() -> None:
    ours, theirs = socket.socketpair()
    stop = threading.Event()

    def trickle() -> None:
        theirs.sendall(b"$1000000\r\n")
        while not stop.wait(0.01):
            theirs.sendall(b"x")

    peer = threading.Thread(target=trickle)
    began = time.monotonic()
    with ours, theirs:
        peer.start()
        with pytest.raises(TimeoutError):
            _Connection(ours, 5.0).exchange(b"GET a", 1, Patience(began + 0.3))
        stop.set()
        peer.join()
    assert time.monotonic() - began < 0.3 + scaled(0.5)


def test_what_never_left_was_not_applied(own_server: PrivateServer) -> None:
    with ccs.connect(own_server.url, retry_for=PATIENCE) as store:
        task = store.task("x")
        task.set("a", 1)
        own_server.kill()
        with pytest.raises(ccs.Unavailable):
            task.set("a", 2)
        told: list[bool] = []

        def ask() -> None:
            with pytest.raises(ccs.Unavailable) as info:
                task.set("a", 2)
            told.append(info.value.maybe_applied)

        threads = [threading.Thread(target=ask) for _ in range(CALLERS)]
        for thread in threads:
            thread.start()
        eventually(lambda: len(told) == CALLERS, 20, "all to be told")
    assert not any(told)


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_call_that_joins_an_attempt_to_reach_a_folder_keeps_its_own_patience(
    tmp_path: Path, colour: str
) -> None:
    """Given a folder whose server hangs, when one call follows another, then it does not end with that one."""
    async with ccs.aio.connect(tmp_path) as keeping, connect_in(colour, str(tmp_path), retry_for=PATIENCE) as store:
        await store.task("x").set("a", 1)
        info = await keeping._engine.opening.commands.run(("INFO", "server"))
        server = int(info.decode().partition("process_id:")[2].split()[0])

        async def late(after: float) -> float:
            await asyncio.sleep(after)
            began = time.monotonic()
            with pytest.raises(ccs.Unavailable):
                await store.task(f"x{after}").set("a", 2)
            return time.monotonic() - began

        os.kill(server, signal.SIGSTOP)
        try:
            waits = await asyncio.gather(*(late(tenth / 10) for tenth in range(8)))
        finally:
            os.kill(server, signal.SIGCONT)
    assert min(waits) > PATIENCE - 0.2
    assert max(waits) < PATIENCE + scaled(1)
