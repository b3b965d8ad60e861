"""Fills contexts and servers, quickly, before anything is measured on them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import ccs.aio as ccs
from benchmarks.client import PATHS, TICKET
from benchmarks.server import Server

__all__ = ["build_contexts", "build_entries", "build_history"]

CHUNK = 1_000  # entries in a commit
AT_ONCE = 100
TOLD_EVERY = 1.0
PATIENCE = 180.0

Tell = Callable[[str], None]


def build_entries(server: Server, room: str, number: int, tell: Tell) -> None:
    """A context of so many entries and next to no history."""

    async def build(store: ccs.Store) -> None:
        task = store.task("bench", keep_commits=1)  # else their commits would fill the history of the large ones only
        await task.set_many(dict.fromkeys(PATHS, TICKET))

        async def add(start: int) -> None:
            chunk = range(start, min(start + CHUNK, number))
            await task.set_many({f"elsewhere/{one:07}": TICKET for one in chunk})

        await _all(f"{number:,} entries", add, range(len(PATHS), number, CHUNK), 4, tell)
        await store.task("bench", keep_commits=10_000).set(PATHS[0], TICKET)  # the default again

    _run(server, room, build)


def build_contexts(server: Server, room: str, number: int, tell: Tell) -> None:
    """So many contexts: those of one entry each, and the one that is measured."""

    async def build(store: ccs.Store) -> None:
        await store.task("bench").set_many(dict.fromkeys(PATHS, TICKET))

        async def add(one: int) -> None:
            await store.task(f"other-{one}").set("status", TICKET)

        await _all(f"{number:,} contexts", add, range(1, number), AT_ONCE, tell)

    _run(server, room, build)


def build_history(server: Server, room: str, number: int, tell: Tell) -> None:
    """A context of a hundred entries and so many commits."""

    async def build(store: ccs.Store) -> None:
        task = store.task("bench")
        await task.set_many(dict.fromkeys(PATHS, TICKET))

        async def add(one: int) -> None:
            await task.set(PATHS[one % len(PATHS)], TICKET)

        await _all(f"{number:,} commits", add, range(number), AT_ONCE, tell)

    _run(server, room, build)


def _run(server: Server, room: str, build: Callable[[ccs.Store], Awaitable[None]]) -> None:
    async def main() -> None:
        async with ccs.connect(server.url, agent="bench", namespace=room, retry_for=PATIENCE) as store:
            await build(store)

    asyncio.run(main())
    _await_rest(server)


async def _all(
    what: str, act: Callable[[int], Awaitable[Any]], numbers: Sequence[int], at_once: int, tell: Tell
) -> None:
    """Does it for every number, so many at a time."""
    left = iter(numbers)
    told = Told(what, len(numbers), tell)

    async def work() -> None:
        for number in left:
            await act(number)
            told.step()

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())


class Told:
    """Tells now and then how far it got."""

    def __init__(self, what: str, total: int, tell: Tell) -> None:
        self._what = what
        self._total = total
        self._tell = tell
        self._done = 0
        self._next = time.monotonic()

    def step(self) -> None:
        """One more is done."""
        self._done += 1
        if time.monotonic() >= self._next:
            self._next = time.monotonic() + TOLD_EVERY
            self._tell(f"building {self._what}: {self._done / self._total:.0%}")


def _await_rest(server: Server) -> None:
    """Until the server no longer rewrites its file, which would be measured too."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        info = server.info()
        if not info["aof_rewrite_in_progress"] and not info["aof_rewrite_scheduled"]:
            return
        time.sleep(0.05)
