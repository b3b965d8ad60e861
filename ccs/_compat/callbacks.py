"""Functions that a user gives: callbacks, called for their effect, and work, called for its result."""

from __future__ import annotations

import asyncio
import inspect
import math
from collections.abc import Callable
from functools import partial
from typing import Any, TypeVar

import anyio.to_thread
from anyio import CapacityLimiter

from ccs._compat.calls import WrongColour, async_maybe
from ccs.errors import InvalidValue

__all__ = ["AsyncCaller", "AsyncWork", "Caller", "Work", "callable_of"]

T = TypeVar("T")


def callable_of(callback: Callable[..., T]) -> Callable[..., T]:
    """Returns the function itself. Raises `InvalidValue` if it cannot be called."""
    if not callable(callback):
        raise InvalidValue(f"{_described(callback)} cannot be called: give a function")
    return callback


class Caller:
    """Calls a callback, which must be a plain function."""

    def __init__(self, callback: Callable[..., object]) -> None:
        self._callback = _plain(callback)

    def __call__(self, *args: object) -> None:
        _contained(self._callback, *args)


class AsyncCaller:
    """Calls a callback: a coroutine function on the loop, a plain one in a thread.

    Whatever the callback raises becomes an `Exception`, also what would end the task or the program. Only cancelling or
    closing the caller itself passes through.
    """

    def __init__(self, callback: Callable[..., object]) -> None:
        self._callback = callable_of(callback)
        self._plain = not _is_coroutine_function(callback)
        self._limiter: CapacityLimiter | None = None

    async def __call__(self, *args: object) -> None:
        task = asyncio.current_task()
        try:
            await self._run(*args)
        except Exception:
            raise
        except asyncio.CancelledError as error:
            if task and task.cancelling():
                raise
            raise RuntimeError("what the callback waited for was cancelled") from error
        except BaseException as error:
            if _current_task() is not task:
                raise  # no task runs us any more: we are being closed
            raise RuntimeError(f"the callback raised {error!r}") from error

    async def _run(self, *args: object) -> None:
        if not self._plain:
            return await self._callback(*args)  # type: ignore[no-any-return, misc]  # a coroutine function, as tested
        self._limiter = self._limiter or CapacityLimiter(math.inf)
        await async_maybe(await anyio.to_thread.run_sync(_contained, self._callback, *args, limiter=self._limiter))


class Work:
    """Calls a function for its result, in the caller's thread. It must be a plain function."""

    stops = True

    def __init__(self, fn: Callable[..., Any]) -> None:
        self._fn = _plain(fn)

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self._fn(*args, **named)


class AsyncWork:
    """Calls a function for its result: a coroutine function in the caller's task, a plain one in a thread.

    `stops` says whether cancelling the caller stops the function: a thread runs to its end.
    """

    def __init__(self, fn: Callable[..., Any]) -> None:
        self._fn = callable_of(fn)
        self.stops = _is_coroutine_function(fn)

    async def __call__(self, *args: Any, **named: Any) -> Any:
        if self.stops:
            return await self._fn(*args, **named)
        # A limiter of its own: as many may run as there are callers.
        call = partial(self._fn, *args, **named)
        return await async_maybe(await anyio.to_thread.run_sync(call, limiter=CapacityLimiter(1)))


def _is_coroutine_function(callback: Callable[..., object]) -> bool:
    # The second test is for an object whose __call__ is a coroutine function.
    return inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(type(callback).__call__)


def _plain(callback: Callable[..., T]) -> Callable[..., T]:
    if _is_coroutine_function(callable_of(callback)):
        raise WrongColour(f"{_described(callback)} is a coroutine function: give ccs a plain one, or use ccs.aio")
    return callback


def _described(callback: object) -> str:
    # Not its repr: that is the user's code, and may raise.
    name = getattr(callback, "__qualname__", None)
    return name if isinstance(name, str) else f"a {type(callback).__name__}"


def _contained(callback: Callable[..., T], *args: object) -> T:
    """Calls a plain function in a thread of ours. What would end that thread becomes an ordinary error."""
    try:
        return callback(*args)
    except Exception:
        raise
    except BaseException as error:
        raise RuntimeError(f"the callback raised {error!r}") from error


def _current_task() -> asyncio.Task[Any] | None:
    try:
        return asyncio.current_task()
    except RuntimeError:
        return None
