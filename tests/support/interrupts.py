"""Interrupts of the main thread, as by Ctrl-C, at any moment."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager


class Interrupt(BaseException):
    """What Ctrl-C is to a program, without its name."""


@contextmanager
def alarms() -> Iterator[Callable[[float], None]]:
    """A call that interrupts the main thread so many seconds from now, wherever it is by then; 0: not any more."""

    def handler(number: int, frame: object) -> None:
        raise Interrupt

    before = signal.signal(signal.SIGALRM, handler)
    try:
        yield lambda seconds: signal.setitimer(signal.ITIMER_REAL, seconds) and None
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
