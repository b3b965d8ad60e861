"""Interrupters: signal handlers and finalizers, which run on top of whatever their thread was doing.

One that waits for work of its own thread would wait for ever. It is refused instead.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from ccs.errors import Misuse

__all__ = ["calls_below", "interrupter_refused", "refuse_interrupter"]


def calls_below(function: Callable[..., object], *, of_any: bool = False) -> int:
    """Returns how many calls of a function are on this thread's stack.

    For a method, only the calls on its own object count, or with `of_any` those on every object.
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
    """Raises `Misuse` if the method that calls this was called on top of itself, so that it would wait for itself."""
    if calls_below(method) > 1:
        raise interrupter_refused()


def interrupter_refused() -> Misuse:
    """Returns the error for a signal handler or a finalizer that would wait for its own thread."""
    return Misuse(
        "this was called by a signal handler or a finalizer in the middle of other work of its thread, for which it would"
        " wait; nothing was done: set a flag there, or use another thread"
    )
