"""Calling a function, sleeping, and awaiting where that is needed."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from anyio import CancelScope

from ccs.errors import InvalidValue

__all__ = [
    "WrongColour",
    "async_call",
    "async_maybe",
    "async_shielded",
    "async_side_by_side",
    "async_sleep",
    "call",
    "maybe",
    "shielded",
    "side_by_side",
    "sleep",
]

T = TypeVar("T")

sleep = time.sleep
async_sleep = asyncio.sleep


class WrongColour(InvalidValue, TypeError):
    """A coroutine function was given where nothing can await it."""


def call(fn: Callable[..., T], *args: object) -> T:
    """Calls a function that may block. Returns its result."""
    return fn(*args)


async def async_call(fn: Callable[..., T], *args: object) -> T:
    """Calls a function that may block, in a thread. Returns its result. Cancelling the caller does not stop the call."""
    return await asyncio.get_running_loop().run_in_executor(None, fn, *args)


def maybe(value: T) -> T:
    """Returns the value. Raises `InvalidValue` if it is a coroutine."""
    if inspect.iscoroutine(value):
        value.close()
        raise WrongColour("this function is a coroutine function: give ccs a plain one, or use ccs.aio")
    return value


async def async_maybe(value: Awaitable[T] | T) -> T:
    """Returns the value, or what awaiting it gives if it is awaitable."""
    return await value if inspect.isawaitable(value) else value


def shielded(fn: Callable[..., T], *args: object) -> T:
    """Calls a function. Returns its result."""
    return fn(*args)


async def async_shielded(fn: Callable[..., Awaitable[T]], *args: object) -> T:
    """Runs a coroutine function to its end, in a task. Returns its result.

    If the caller is cancelled meanwhile, `CancelledError` is raised only after that end.
    """
    doing = asyncio.ensure_future(fn(*args))
    cancelled: asyncio.CancelledError | None = None
    with CancelScope(shield=True):  # anyio cancels again and again, asyncio once
        while not doing.done():
            try:
                await asyncio.wait([doing])
            except asyncio.CancelledError as error:
                cancelled = error
    if cancelled is None:
        return doing.result()
    raise cancelled from (None if doing.cancelled() else doing.exception())


# Threads that make calls side by side, for one caller.
_THREADS = 16


def side_by_side(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Makes calls side by side, in threads. Returns their results in order; raises the first error once all have ended."""
    if len(calls) < 2:
        return [call() for call in calls]
    threads = ThreadPoolExecutor(min(len(calls), _THREADS), "ccs side by side")
    try:
        made = [threads.submit(call) for call in calls]
        errors = [doing.exception() for doing in made]
    finally:
        # An interrupted caller does not wait for the others, whose patience ends by itself.
        threads.shutdown(wait=False, cancel_futures=True)
    for error in errors:
        if error is not None:
            raise error
    return [doing.result() for doing in made]


async def async_side_by_side(calls: Sequence[Callable[[], Awaitable[T]]]) -> list[T]:
    """Makes calls side by side. Returns their results in order; raises the first error once all have ended."""
    if len(calls) < 2:
        return [await call() for call in calls]
    made = [asyncio.ensure_future(call()) for call in calls]
    await asyncio.gather(*made, return_exceptions=True)
    return [doing.result() for doing in made]
