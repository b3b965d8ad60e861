"""Many callers at once: tasks of one event loop, or threads."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

__all__ = ["each", "repeat", "tasks", "threads"]

PATIENCE = 60.0

Shares = Sequence[Sequence[str]]  # the paths of each caller


async def each(act: Callable[[str], Awaitable[Any]], paths: Sequence[str]) -> None:
    """One after the other."""
    for path in paths:
        await act(path)


async def tasks(act: Callable[[str], Awaitable[Any]], shares: Shares) -> None:
    """A task a share."""
    async with asyncio.TaskGroup() as group:
        for share in shares:
            group.create_task(each(act, share))


def repeat(act: Callable[[str], Any], paths: Sequence[str]) -> None:
    """One after the other."""
    for path in paths:
        act(path)


def threads(act: Callable[[str], Any], warm_up: Shares, shares: Shares, watch: AbstractContextManager[object]) -> None:
    """A thread a share. They warm up, wait for each other and for the clock, and run; raises what a thread raises."""
    start = threading.Barrier(len(shares) + 1)
    failures = list[Exception]()

    def work(before: Sequence[str], share: Sequence[str]) -> None:
        try:
            repeat(act, before)
            start.wait(PATIENCE)
            repeat(act, share)
        except Exception as error:  # noqa: BLE001  raised in the thread that measures
            failures.append(error)
            start.abort()

    workers = [threading.Thread(target=work, args=pair) for pair in zip(warm_up, shares, strict=True)]
    try:
        _race(start, workers, watch)
    finally:
        start.abort()  # whoever still waits, because something has failed or was interrupted, waits for nothing
        for worker in workers:
            if worker.is_alive():
                worker.join()
    if failures:
        raise next((error for error in failures if not isinstance(error, threading.BrokenBarrierError)), failures[0])


def _race(start: threading.Barrier, workers: Sequence[threading.Thread], watch: AbstractContextManager[object]) -> None:
    for worker in workers:
        worker.start()
    ready = threading.Event()
    while start.n_waiting < len(workers) and not start.broken:
        ready.wait(0.001)  # so that the clock does not run while they warm up
    with watch:
        try:
            start.wait(PATIENCE)
        except threading.BrokenBarrierError:
            pass  # a thread has failed, and its failure is raised
        for worker in workers:
            worker.join()
