"""The colour pairs: each name with `Async` or `async_` has a blocking twin under the same name without it."""

from __future__ import annotations

import asyncio
import inspect
import math
import os
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import anyio.to_thread
from anyio import CancelScope, CapacityLimiter

from ccs.errors import InvalidValue, Misuse

__all__ = [
    "AsyncCaller",
    "AsyncGate",
    "AsyncLock",
    "AsyncSignal",
    "AsyncWork",
    "AsyncWorker",
    "Caller",
    "Gate",
    "Lock",
    "Signal",
    "Work",
    "Worker",
    "acquired",
    "async_acquired",
    "async_call",
    "async_here",
    "async_home",
    "async_maybe",
    "async_shielded",
    "async_sleep",
    "call",
    "callable_of",
    "calls_below",
    "here",
    "home",
    "interrupter_refused",
    "maybe",
    "refuse_interrupter",
    "shielded",
    "sleep",
]

T = TypeVar("T")

# Re-entrant: a signal handler or a finalizer that comes while its thread holds the lock must not wait for itself.
Lock = threading.RLock
AsyncLock = asyncio.Lock
sleep = time.sleep
async_sleep = asyncio.sleep


class Signal:
    """A flag that one consumer waits for and clears; anyone may set it."""

    def __init__(self) -> None:
        # Free while the flag is set. Not an event: those are written in Python, and an interrupt inside could leave
        # one locked for ever.
        self._lowered = threading.Lock()
        self.clear()

    @property
    def is_set(self) -> bool:
        """Whether the flag is set."""
        return not self._lowered.locked()

    def set(self) -> None:
        """Lets the consumer go on."""
        try:
            self._lowered.release()
        except RuntimeError:
            pass  # it is set already

    def clear(self) -> None:
        """Takes the flag back."""
        self._lowered.acquire(blocking=False)

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the flag is set, and clears it; False if that took longer than `timeout` seconds."""
        return self._lowered.acquire(timeout=-1 if timeout is None else max(0.0, timeout))


class AsyncSignal:
    """A flag that one consumer waits for and clears; anyone on the loop may set it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.set = self._event.set
        self.clear = self._event.clear

    async def wait(self, timeout: float | None = None) -> bool:
        """Waits until the flag is set; False if that took longer than `timeout` seconds."""
        if timeout is None:
            return await self._event.wait()
        try:
            async with asyncio.timeout(timeout):
                return await self._event.wait()
        except TimeoutError:
            return False


class Gate:
    """Opened once, for everybody who waits."""

    def __init__(self) -> None:
        # No event: its lock is not re-entrant, so a signal handler that opens could wait for the thread that it is in.
        self.is_open = False
        self._waiting: list[threading.Lock] = []

    def open(self) -> None:
        """Lets everybody pass."""
        self.is_open = True
        with suppress(IndexError):  # somebody else opens it too
            while self._waiting:
                self._waiting.pop().release()

    def wait(self, timeout: float | None) -> bool:
        """Waits until it is open; False if that took longer than `timeout` seconds."""
        asleep = threading.Lock()
        asleep.acquire()
        self._waiting.append(asleep)
        # After that: whoever opens it from here on finds this waiter.
        if not self.is_open:
            asleep.acquire(timeout=-1 if timeout is None else max(0.0, timeout))
        with suppress(ValueError):
            self._waiting.remove(asleep)
        return self.is_open


class AsyncGate:
    """Opened once, for everybody who waits; may be made and opened where no loop runs."""

    def __init__(self) -> None:
        self.is_open = False
        self._waiting: list[asyncio.Future[None]] = []

    def open(self) -> None:
        """Lets everybody pass."""
        self.is_open = True
        while self._waiting:
            future = self._waiting.pop()
            if not future.done():
                future.set_result(None)

    async def wait(self, timeout: float | None) -> bool:
        """Waits until it is open; False if that took longer than `timeout` seconds."""
        if self.is_open:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await asyncio.wait([future], timeout=timeout)
        return self.is_open


def calls_below(function: Callable[..., object], *, of_any: bool = False) -> int:
    """How many calls of a function this thread is in the middle of; of a method, those of its object or `of_any`.

    Signal handlers and finalizers run on top of whatever their thread was doing.
    """
    plain: Any = inspect.unwrap(getattr(function, "__func__", function))
    owner = None if of_any else getattr(function, "__self__", None)
    frame = inspect.currentframe()
    calls = 0
    while frame:
        calls += frame.f_code is plain.__code__ and (owner is None or frame.f_locals.get("self") is owner)
        frame = frame.f_back
    return calls


def refuse_interrupter(method: Callable[..., object]) -> None:
    """Called by a method: raises `Misuse` where it was called on top of itself, for which it would wait."""
    if calls_below(method) > 1:
        raise interrupter_refused()


def interrupter_refused() -> Misuse:
    """What a signal handler or a finalizer is told that would wait for the thread on top of which it runs."""
    return Misuse(
        "this was called by a signal handler or a finalizer in the middle of other work of its thread, for which it would"
        " wait; nothing was done: set a flag there, or use another thread"
    )


def acquired(lock: threading.RLock, timeout: float) -> bool:
    """Whether a lock could be had within `timeout` seconds."""
    return lock.acquire(timeout=timeout)


async def async_acquired(lock: asyncio.Lock, timeout: float) -> bool:
    """Whether a lock could be had within `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            return await lock.acquire()
    except TimeoutError:
        return False


# What a blocking store belongs to: its process.
here = os.getpid


def async_here() -> asyncio.AbstractEventLoop | None:
    """What an async store belongs to: the running event loop. None where none runs, as in a child that was just forked."""
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


home = here


def async_home() -> object:
    """The running event loop, to which a store that is used here belongs; `Misuse` where asyncio runs none."""
    loop = async_here()
    if loop is None:
        raise Misuse(
            "no event loop of asyncio runs here (is it trio, or no coroutine?), and ccs.aio needs one: use asyncio.run(),"
            " or the blocking ccs, in a worker thread where another kind of loop runs"
        )
    return loop


def call(fn: Callable[..., T], *args: object) -> T:
    """Calls what may block."""
    return fn(*args)


async def async_call(fn: Callable[..., T], *args: object) -> T:
    """Calls what may block, in a thread; a cancelled caller leaves it to its end."""
    return await asyncio.get_running_loop().run_in_executor(None, fn, *args)


def maybe(value: T) -> T:
    """The result itself, which must not be one to be awaited."""
    if inspect.iscoroutine(value):
        value.close()
        raise _WrongColour("this function is a coroutine function: give ccs a plain one, or use ccs.aio")
    return value


async def async_maybe(value: Awaitable[T] | T) -> T:
    """The result, awaited where it has to be."""
    return await value if inspect.isawaitable(value) else value


def shielded(fn: Callable[..., T], *args: object) -> T:
    """Calls a function."""
    return fn(*args)


async def async_shielded(fn: Callable[..., Awaitable[T]], *args: object) -> T:
    """Runs a coroutine function to its end, in a task; a caller who is cancelled meanwhile is so after that end."""
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


class _WrongColour(InvalidValue, TypeError):
    """A coroutine function, where nothing could await it."""


def _is_coroutine_function(callback: Callable[..., object]) -> bool:
    # The second: of an object, whose __call__ may be one.
    return inspect.iscoroutinefunction(callback) or inspect.iscoroutinefunction(type(callback).__call__)


def callable_of(callback: Callable[..., T]) -> Callable[..., T]:
    """The function itself; `InvalidValue` if it cannot be called."""
    if not callable(callback):
        raise InvalidValue(f"{callback!r} cannot be called: give a function")
    return callback


def _plain(callback: Callable[..., T]) -> Callable[..., T]:
    if _is_coroutine_function(callable_of(callback)):
        raise _WrongColour(f"{callback!r} is a coroutine function: give ccs a plain one, or use ccs.aio")
    return callback


def _contained(callback: Callable[..., T], *args: object) -> T:
    """Calls a plain function in a thread that is ours: what would end the thread is an error like any other."""
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


class Caller:
    """Calls a callback, which must be a plain function."""

    def __init__(self, callback: Callable[..., object]) -> None:
        self._callback = _plain(callback)

    def __call__(self, *args: object) -> None:
        _contained(self._callback, *args)


class AsyncCaller:
    """Calls a callback: a coroutine function on the loop, a plain one in a thread of its own.

    Whatever it raises is an `Exception`: what would end the task, or the program, is made one. Only who cancels the
    caller itself, or closes it, gets through.
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
                raise  # nobody runs us any more: we are closed
            raise RuntimeError(f"the callback raised {error!r}") from error

    async def _run(self, *args: object) -> None:
        if not self._plain:
            return await self._callback(*args)  # type: ignore[no-any-return, misc]  # a coroutine function, as tested
        self._limiter = self._limiter or CapacityLimiter(math.inf)
        await async_maybe(await anyio.to_thread.run_sync(_contained, self._callback, *args, limiter=self._limiter))


class Work:
    """Calls a function for its result, where its caller is; it must be a plain one."""

    stops = True

    def __init__(self, fn: Callable[..., Any]) -> None:
        self._fn = _plain(fn)

    def __call__(self, *args: Any, **named: Any) -> Any:
        return self._fn(*args, **named)


class AsyncWork:
    """Calls a function for its result: a coroutine function in its caller's task, a plain one in a thread.

    `stops` tells whether cancelling the caller stops it: a thread goes on to its end.
    """

    def __init__(self, fn: Callable[..., Any]) -> None:
        self._fn, self.stops = callable_of(fn), _is_coroutine_function(fn)

    async def __call__(self, *args: Any, **named: Any) -> Any:
        if self.stops:
            return await self._fn(*args, **named)
        # A limiter of its own: as many may run as there are callers.
        call = partial(self._fn, *args, **named)
        return await async_maybe(await anyio.to_thread.run_sync(call, limiter=CapacityLimiter(1)))


class Worker:
    """A thread that runs one function to its end."""

    def __init__(self, name: str, fn: Callable[[], object]) -> None:
        self._thread = threading.Thread(target=fn, name=name, daemon=True)
        self._thread.start()

    def current(self) -> bool:
        """Whether the caller runs in it."""
        return threading.current_thread() is self._thread

    def finish(self, timeout: float) -> None:
        """Waits for its end, but no longer than `timeout` seconds."""
        self._thread.join(timeout)


class AsyncWorker:
    """A task that runs one coroutine function to its end."""

    def __init__(self, name: str, fn: Callable[[], Coroutine[Any, Any, object]]) -> None:
        self._task = asyncio.get_running_loop().create_task(fn(), name=name)

    def current(self) -> bool:
        """Whether the caller runs in it."""
        return asyncio.current_task() is self._task

    async def finish(self, timeout: float) -> None:
        """Waits for its end; what takes longer than `timeout` seconds is cancelled. What it raised is not raised here."""
        await asyncio.wait([self._task], timeout=timeout)
        self._task.cancel()
        await asyncio.wait([self._task])
