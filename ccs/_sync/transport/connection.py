"""The subscription connection of a blocking store. A thread that waits for a change reads it; otherwise the loop does.

Written by hand. The thread that reads delivers the messages of all subscribers, and no other thread has to wake it. With
this, a change reaches a watch in four fifths of the time in the same process. From another process it was six tenths on one
machine, and 217 µs for 250 on a faster one (medians of 300 changes, `LEADS` on and off, in interleaved rounds). It stops reading after its own first message, and the
loop reads again, so whatever it does then holds up no other subscriber.

Only one thread reads at a time: the one that holds `_reading`. The loop does not watch the socket itself but `_watched`,
an epoll that contains it. There the socket is switched off and on without waking the loop. An interrupt may come after any
call. So each change is undone by a single call right after a `finally`, which does no harm if nothing was changed yet.
Where bytes may have been lost, the connection is given up: the journal has what was missed.
"""

from __future__ import annotations

import asyncio
import os
import select
import threading
import time
import weakref
from collections.abc import Callable
from typing import NoReturn

from ccs._async.transport.connection import OnLost, OnReply, SocketConnection
from ccs._async.transport.sockets import Socket
from ccs._compat import Signal, calls_below, interrupter_refused

__all__ = ["LEADS", "LeadingSignal", "LedConnection", "OnLost", "OnReply"]

LEADS = hasattr(select, "epoll") and hasattr(os, "eventfd")
"""Whether this platform has epoll and eventfd."""

# An epoll counts milliseconds in 32 bits.
_CHUNK = 65536
_LONGEST = 1e6
# Once: the loop must not be woken again and again by data that another thread is about to read.
_ONCE, _OFF = (select.EPOLLIN | select.EPOLLONESHOT, select.EPOLLONESHOT) if LEADS else (0, 0)


class LeadingSignal(Signal):
    """A flag. While its consumer waits, it reads the connection for all subscribers, unless another thread does."""

    def __init__(self, connection: Callable[[], LedConnection | None]) -> None:
        super().__init__()
        self._connection = connection
        self._asleep_at: LedConnection | None = None

    def set(self) -> None:
        """Wakes the consumer."""
        super().set()
        if connection := self._asleep_at:
            connection.ring()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the flag is set, and clears it. Returns False after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if connection := self._connection():
            connection.lead(self, deadline)
        return super().wait(None if deadline is None else deadline - time.monotonic())

    def sleep(self, connection: LedConnection, deadline: float | None) -> bool:
        """Waits until there is data to read. Returns False if the flag is set or the deadline has come."""
        left = None if deadline is None else min(deadline - time.monotonic(), _LONGEST)
        self._asleep_at = connection
        try:
            # First `_asleep_at`, then the flag: `set` looks at them in the other order.
            return not self.is_set and (left is None or left > 0) and connection.stirs(left)
        finally:
            self._asleep_at = None


class LedConnection(SocketConnection):
    """A connection without TLS."""

    def __init__(self, transport: Socket, on_reply: OnReply, on_lost: OnLost, call_soon: Callable[..., object]) -> None:
        # First the descriptors: there may be too few left. A duplicate of the socket's: the transport may close its own at
        # any time.
        self._socket = self._owned(os.dup(transport.get_extra_info("socket").fileno()))
        self._bell = self._owned(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
        self._watched = select.epoll()
        self._led = select.epoll()
        super().__init__(transport, on_reply, on_lost)
        self._call_soon = call_soon
        self._loop = asyncio.get_running_loop()
        self._loop_thread = self._reader_thread = threading.get_ident()
        self._transport.pause_reading()
        # Owned by a thread: a release by any other thread is an error, and does no harm.
        self._reading = threading.RLock()
        self._watched.register(self._socket, _ONCE)
        self._led.register(self._socket, select.EPOLLIN)
        # Each ring wakes once, and does not have to be read.
        self._led.register(self._bell, select.EPOLLIN | select.EPOLLET)
        self._loop.add_reader(self._watched.fileno(), self._read_here)

    def lead(self, signal: LeadingSignal, deadline: float | None) -> None:
        """Reads until the signal is set, the deadline comes or the connection is lost, unless another thread reads.

        Raises `Misuse` in a signal handler or a finalizer that interrupts a thread in the middle of a message.
        """
        if threading.get_ident() == self._loop_thread or self.is_read_here():
            raise interrupter_refused()
        leads = True
        try:
            leads = self._reading.acquire(blocking=False)
            if leads:
                self._reader_thread = threading.get_ident()
                self._watched.modify(self._socket, _OFF)
                while self.up and signal.sleep(self, deadline) and self._receive():
                    pass
        finally:
            try:
                if leads:
                    self._reading.release()
            except RuntimeError:
                pass  # interrupted before it was acquired
            finally:
                # After the release: a loop that was woken just before has found the connection in use.
                if leads:
                    self._watched.modify(self._socket, _ONCE)

    def is_read_here(self) -> bool:
        """Returns whether the caller interrupts a thread in the middle of a message."""
        return threading.get_ident() == self._reader_thread and calls_below(self._receive) > 0

    def stirs(self, timeout: float | None) -> bool:
        """Waits until there is data to read, or `ring` is called."""
        return bool(self._led.poll(timeout))

    def ring(self) -> None:
        """Wakes the thread that reads."""
        os.eventfd_write(self._bell, 1)

    def lose(self, reason: BaseException) -> None:
        """Ends the connection now. Called on the loop."""
        if self.up:
            super().lose(reason)
            self._loop.remove_reader(self._watched.fileno())
            self.ring()

    def _read_here(self) -> None:
        self._watched.poll(0)  # it is silent until it is switched on again
        if self._reading.acquire(blocking=False):
            self._receive()
            self._reading.release()
            self._watched.modify(self._socket, _ONCE)

    def _receive(self) -> bool:
        """Delivers the data that has come. Returns whether there may be more."""
        try:
            data = os.read(self._socket, _CHUNK) or self._ended()
            self.take(data, len(data))
        except BlockingIOError:
            return True  # a ring, without data
        except Exception as error:  # noqa: BLE001  # whatever it is, it ends the connection
            self._call_soon(self.lose, error)
            return False
        except BaseException:
            self._feed = self._broken  # no thread may go on in the middle of a message
            self._call_soon(self.lose, ConnectionError("interrupted while it was read"))
            raise
        return True

    def _owned(self, descriptor: int) -> int:
        # Closed when no thread can read or ring any more.
        weakref.finalize(self, os.close, descriptor).atexit = False
        return descriptor

    def _broken(self, *_: object) -> NoReturn:
        raise ConnectionError("interrupted while it was read")

    def _ended(self) -> NoReturn:
        raise ConnectionError("the server closed the connection")
