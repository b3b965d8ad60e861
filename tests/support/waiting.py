"""Waiting for conditions instead of sleeping; one factor scales every timeout; short and long counts."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from inspect import isawaitable
from typing import Any, TypeVar

T = TypeVar("T")

FACTOR = float(os.environ.get("CCS_TEST_TIMEOUT_FACTOR", "1"))
LONG = os.environ.get("CCS_TEST_LONG") == "1"


def scaled(seconds: float) -> float:
    return seconds * FACTOR


def counts(short: T, long: T) -> T:
    """How often to do something: `short` by default, `long` with `scripts/test --long`."""
    return long if LONG else short


def eventually(condition: Callable[[], T], timeout: float = 10.0, what: str = "the condition") -> T:
    """The first true result of the condition; fails with its last one."""
    deadline = time.monotonic() + scaled(timeout)
    while not (result := condition()):
        assert time.monotonic() < deadline, f"waited {timeout:g} s for {what}: {result!r}"
        time.sleep(0.005)
    return result


async def aeventually(condition: Callable[[], Any], timeout: float = 10.0, what: str = "the condition") -> Any:
    """The first true result of the condition, which may be a coroutine function."""
    deadline = time.monotonic() + scaled(timeout)
    while True:
        result = condition()
        result = await result if isawaitable(result) else result
        if result:
            return result
        assert time.monotonic() < deadline, f"waited {timeout:g} s for {what}: {result!r}"
        await asyncio.sleep(0.005)


def bounded(awaitable: Awaitable[T], timeout: float = 10.0) -> Awaitable[T]:
    """The awaitable with a scaled timeout."""
    return asyncio.wait_for(awaitable, scaled(timeout))
