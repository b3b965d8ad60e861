"""Ctrl-C and SIGTERM end the servers, whatever else is under way.

Both raise `KeyboardInterrupt`. That may not be enough: Python drops what is raised in a finalizer, and a client library
may swallow a cancellation and go on. So there is a deadline, after which the servers are ended and the process exits.
And it may be too much: in the middle of a server's start or end, a process or a folder would be forgotten. So those are
held together: an interrupt that comes meanwhile comes after them.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["INTERRUPTED", "SAID", "held", "interruptible"]

INTERRUPTED = 130
SAID = "interrupted; the servers have been ended"
GRACE = 3.0
PATIENCE = 30.0


class _Interrupt:
    """What the process knows of interrupts. There is one, as there is one main thread and one handler a signal."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.depth = 0
        self.came = False

    def come(self) -> None:
        self.came = True
        if not self.depth:
            raise KeyboardInterrupt


_interrupt = _Interrupt()


@contextmanager
def held() -> Iterator[None]:
    """No interrupt comes within; one that would have comes after it."""
    with _interrupt.lock:
        _interrupt.depth += 1
        try:
            yield
        finally:
            _interrupt.depth -= 1
    if _interrupt.came and not _interrupt.depth:
        raise KeyboardInterrupt


@contextmanager
def interruptible(end: Callable[[], None]) -> Iterator[None]:
    """Until it is left: signals interrupt; if that does not lead out of here in time, `end` is called, and that is it."""
    if threading.current_thread() is not threading.main_thread():
        yield  # handlers can be set in the main thread only
        return
    deadline = threading.Timer(GRACE, _give_up, (end,))
    deadline.daemon = True

    def interrupt(*_: object) -> None:
        if not _interrupt.came:
            deadline.start()
            _interrupt.come()

    _interrupt.came = False
    before = {each: signal.signal(each, interrupt) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        deadline.cancel()
        _interrupt.came = False
        for each, handler in before.items():
            signal.signal(each, handler)


def _give_up(end: Callable[[], None]) -> None:
    try:
        _interrupt.lock.acquire(timeout=PATIENCE)
        end()
        print(SAID, file=sys.stderr, flush=True)
    finally:
        os._exit(INTERRUPTED)
