"""Functions that the tests of run-once run in processes of their own, by a `Player`."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from typing import Any

import ccs
from tests.support.threads import run_threads
from tests.support.waiting import scaled

KEY = "k"


def together(url: str, namespace: str, callers: int) -> list[Any]:
    """That many threads ask for one key at once. Returns their results."""
    found: list[Any] = []
    with ccs.connect(url, namespace=namespace, agent=f"{os.getpid()}") as store:
        task = store.task("t")
        meeting = threading.Barrier(callers)

        def call(_: int) -> None:
            meeting.wait(scaled(20))
            found.append(task.once(KEY, counted, task))

        run_threads(call, callers)
    return found


def counted(task: ccs.Context) -> dict[str, int]:
    """Counts its runs in the context, and leaves the others time to come."""
    task.increment("runs")
    time.sleep(0.1)
    return {"by": os.getpid()}


def until_told(url: str, namespace: str, lease: float) -> Any:
    """Runs until there is an entry `go`, for which it looks itself. Returns the result, or the name of its error."""
    with ccs.connect(url, namespace=namespace, agent="the first") as store:
        task = store.task("t")
        return outcome(lambda: task.once(KEY, poll, task, lease=lease))


def poll(task: ccs.Context) -> str:
    task.set("pid", os.getpid())
    while not task.exists("go"):
        time.sleep(0.01)
    return "the first"


def outcome(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except ccs.CCSError as error:
        return type(error).__name__
