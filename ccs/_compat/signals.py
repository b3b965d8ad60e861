"""Flags to wait for: a signal that one consumer clears, and a gate that opens once for everybody."""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

__all__ = ["AsyncGate", "AsyncSignal", "Gate", "Signal"]


class Signal:
    """A flag that one consumer waits for and clears. Any thread may set it."""

    def __init__(self) -> None:
        # A lock that is free while the flag is set. An Event is written in Python: an interrupt inside one could leave
        # its lock taken for ever.
        self._lowered = threading.Lock()
        self.clear()

    @property
    def is_set(self) -> bool:
        """Whether the flag is set."""
        return not self._lowered.locked()

    def set(self) -> None:
        """Sets the flag, and wakes the consumer."""
        try:
            self._lowered.release()
        except RuntimeError:
            pass  # it is set already

    def clear(self) -> None:
        """Clears the flag."""
        self._lowered.acquire(blocking=False)

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the flag is set, and clears it. Returns False after `timeout` seconds without it."""
        return self._lowered.acquire(timeout=-1 if timeout is None else max(0.0, timeout))


class AsyncSignal:
    """A flag that one consumer waits for and clears. Any task of the loop may set it."""

    def __init__(self) -> None:
        self._event = asyncio.Event()
        self.set = self._event.set
        self.clear = self._event.clear

    async def wait(self, timeout: float | None = None) -> bool:
        """Waits until the flag is set. Returns False after `timeout` seconds without it."""
        if timeout is None:
            return await self._event.wait()
        try:
            async with asyncio.timeout(timeout):
                return await self._event.wait()
        except TimeoutError:
            return False


class Gate:
    """Opens once, for everybody who waits."""

    def __init__(self) -> None:
        # The lock of an Event is not re-entrant: a signal handler that opens it could wait for its own thread.
        self.is_open = False
        self._waiting: list[threading.Lock] = []

    def open(self) -> None:
        """Opens the gate, and wakes everybody who waits."""
        self.is_open = True
        with suppress(IndexError):  # another thread opens it too
            while self._waiting:
                self._waiting.pop().release()

    def wait(self, timeout: float | None) -> bool:
        """Waits until the gate is open. Returns False if it is still closed after `timeout` seconds."""
        asleep = threading.Lock()
        asleep.acquire()
        self._waiting.append(asleep)
        # Checked after the append: an open() from here on finds this waiter.
        if not self.is_open:
            asleep.acquire(timeout=-1 if timeout is None else max(0.0, timeout))
        with suppress(ValueError):
            self._waiting.remove(asleep)
        return self.is_open


class AsyncGate:
    """Opens once, for everybody who waits. It can be made and opened where no loop runs."""

    def __init__(self) -> None:
        self.is_open = False
        self._waiting: list[asyncio.Future[None]] = []

    def open(self) -> None:
        """Opens the gate, and wakes everybody who waits."""
        self.is_open = True
        while self._waiting:
            future = self._waiting.pop()
            if not future.done():
                future.set_result(None)

    async def wait(self, timeout: float | None) -> bool:
        """Waits until the gate is open. Returns False if it is still closed after `timeout` seconds."""
        if self.is_open:
            return True
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        await asyncio.wait([future], timeout=timeout)
        return self.is_open
