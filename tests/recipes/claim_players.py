"""Functions that the tests of claims run in processes of their own, by a `Player`."""

from __future__ import annotations

import gc
import os
import signal
import time
import warnings
from typing import Any

import ccs
from tests.support.threads import run_threads
from tests.support.waiting import eventually

RESOURCE = "r"


def count_up(url: str, namespace: str, threads: int, rounds: int) -> None:
    """Threads that each read a number and write the next one, with nothing but the claim to keep them apart."""
    with ccs.connect(url, namespace=namespace, agent=f"{os.getpid()}") as store:
        task = store.task("t")

        def work(_: int) -> None:
            for _ in range(rounds):
                with task.claim(RESOURCE, wait=60) as claim:
                    claim.context.set("n", (task.get("n") or 0) + 1)
                    claim.context.append("tokens", claim.token)

        run_threads(work, threads)


def hold(url: str, namespace: str, ttl: float) -> dict[str, Any]:
    """Holds the claim and writes under it until another holds it. Returns its state and what it could do then."""
    with ccs.connect(url, namespace=namespace, agent="the first") as store:
        task = store.task("t")
        claim = task.claim(RESOURCE, ttl=ttl).acquire()
        last = time.monotonic()
        task.set("pid", os.getpid())
        while (now := time.monotonic()) - last < ttl:  # until it was stopped for longer than that
            last = now
            time.sleep(0.001)
        believed = claim.held
        return {
            "believed": believed,
            "write": error_of(claim.context.set, "n", "stale"),
            "release": error_of(claim.release),
        }


def forget(url: str, namespace: str, ttl: float) -> list[str]:
    """Holds the claim, forgets it, and is stopped at the same moment. Returns the warnings that it got once it went on."""
    with (
        ccs.connect(url, namespace=namespace, agent="the first") as store,
        warnings.catch_warnings(record=True) as told,
    ):
        warnings.simplefilter("always")
        task = store.task("t")
        claim = task.claim(RESOURCE, ttl=ttl).acquire()
        task.set("pid", os.getpid())
        eventually(lambda: task.get("stop"))
        del claim
        gc.collect()
        os.kill(os.getpid(), signal.SIGSTOP)
        marker = task.claim("marker", ttl=ttl).acquire()
        del marker
        gc.collect()
        eventually(lambda: not task.claims("marker"))
        eventually(lambda: any("marker" in str(warning.message) for warning in told))
        return [str(warning.message).split()[0] for warning in told]


def error_of(call: Any, *args: Any) -> str:
    try:
        call(*args)
    except ccs.CCSError as error:
        return type(error).__name__
    return ""


def wait_in_line(url: str, namespace: str, ttl: float) -> None:
    """Waits for the claim and never releases it."""
    with (
        ccs.connect(url, namespace=namespace, agent="a waiter") as store,
        store.task("t").claim(RESOURCE, ttl=ttl, wait=60),
    ):
        eventually(lambda: False, 60)


def hold_several(url: str, namespace: str, ttl: float) -> None:
    """Holds two resources and a slot of a third, until it is killed."""
    with ccs.connect(url, namespace=namespace, agent="holder") as store:
        task = store.task("t")
        with task.claim_all(["x", "y"], ttl=ttl), task.claim("z", slots=2, ttl=ttl):
            task.set("pid", os.getpid())
            eventually(lambda: False, 60)


def wait_for_several(url: str, namespace: str, ttl: float) -> None:
    """Waits for resources in the lines of all of them, until it is killed."""
    with (
        ccs.connect(url, namespace=namespace, agent="a waiter") as store,
        store.task("t").claim_all(["y", "x"], ttl=ttl, wait=60),
    ):
        eventually(lambda: False, 60)


def be_told(url: str, namespace: str, ttl: float) -> list[bool]:
    """Holds a claim until it is told that the claim was lost. Returns what it then believes, told in both ways."""
    with ccs.connect(url, namespace=namespace, agent="the first") as store:
        task, told = store.task("t"), list[bool]()
        claim = task.claim(RESOURCE, ttl=ttl).acquire()
        claim.on_lost(lambda lost: told.append(lost.lost))
        task.set("pid", os.getpid())
        lost = claim.wait_lost(timeout=60)
        eventually(lambda: told)
        return [lost, *told]
