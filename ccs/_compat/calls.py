"""Calling a function, sleeping, and awaiting where that is needed."""

from __future__ import annotations

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from anyio import CancelScope

from ccs.errors import InvalidValue

__all__ = [
    "WrongColour",
    "async_call",
    "async_maybe",
    "async_shielded",
    "async_sleep",
    "call",
    "maybe",
    "shielded",
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
