"""Calls that no signal handler interrupts: the main thread has them made in another thread, and waits.

Signal handlers run in the main thread, between any two steps of its work, and what they raise comes out of that work. Code
that was not written for this may leave a lock held for ever, or half of its work. Here only the wait is interrupted: the
call goes on to its end.
"""

from __future__ import annotations

import os
import sys
import threading
from _thread import start_new_thread
from collections.abc import Callable
from queue import SimpleQueue
from typing import Any, TypeVar

__all__ = ["uninterrupted"]

T = TypeVar("T")


class _Call:
    """A call, and its outcome."""

    def __init__(self, fn: Callable[[], Any]) -> None:
        self._fn = fn
        # Two threads share only queues. They are written in C, so an interrupt inside cannot leave them locked.
        self._outcome: SimpleQueue[tuple[Any, BaseException | None]] = SimpleQueue()

    def make(self) -> None:
        """Makes the call, and keeps its outcome."""
        try:
            self._outcome.put((self._fn(), None))
        except BaseException as error:  # noqa: BLE001  # raised in the thread that waits
            self._outcome.put((None, error))

    def result(self) -> Any:
        """Waits until the call has been made. Returns its result, or raises its error."""
        result, error = self._outcome.get()
        try:
            if error is not None:
                raise error
        finally:
            del error  # it refers to this frame
        return result


_calls: SimpleQueue[_Call] | None = None


def uninterrupted(fn: Callable[[], T]) -> T:
    """Returns the result of `fn()`. What a signal handler raises meanwhile ends the wait, not the call."""
    if threading.current_thread() is not threading.main_thread() or sys.is_finalizing():
        return fn()
    call = _Call(fn)
    _thread().put(call)
    result: T = call.result()
    return result


def _thread() -> SimpleQueue[_Call]:
    global _calls  # one thread for the process
    if _calls is None:
        calls: SimpleQueue[_Call] = SimpleQueue()
        start_new_thread(_serve, (calls,))
        _calls = calls
    return _calls


def _serve(calls: SimpleQueue[_Call]) -> None:
    while True:
        calls.get().make()


def _after_fork() -> None:
    global _calls
    _calls = None


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
