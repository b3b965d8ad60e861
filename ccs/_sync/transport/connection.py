"""The subscription connection of a blocking store: read by a thread that waits for what comes, else by the loop.

Written by hand. Who reads while it waits hands out the messages of all and needs no other thread to wake it. It stops
with its own first message: what it does then holds up nobody, as the loop reads again.

Only one reads at a time: who has `_reading`. The loop watches not the socket but `_watched`, an epoll that holds it;
there the socket is switched off and on without waking the loop. An interrupt may come after any call. So what has to
be undone is undone by a single call right behind a `finally`, which does no harm where nothing was done yet; and where
bytes may have been lost, the connection is given up. What was missed is in the journal.
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

from ccs._async.transport.connection import OnLost, OnReply, SocketWire
from ccs._async.transport.sockets import Socket
from ccs._compat import Signal, calls_below, interrupter_refused

__all__ = ["LEADS", "LeadingSignal", "LedWire", "OnLost", "OnReply"]

LEADS = hasattr(select, "epoll") and hasattr(os, "eventfd")
"""Whether this platform has what it takes."""

# An epoll counts milliseconds in 32 bits.
_CHUNK = 65536
_LONGEST = 1e6
# Once: the loop must not be told again and again of what somebody else is about to read.
_ONCE, _OFF = (select.EPOLLIN | select.EPOLLONESHOT, select.EPOLLONESHOT) if LEADS else (0, 0)


class LeadingSignal(Signal):
    """A flag whose consumer, while it waits, reads the connection for all, if nobody else does."""

    def __init__(self, wire: Callable[[], LedWire | None]) -> None:
        super().__init__()
        self._wire = wire
        self._asleep_at: LedWire | None = None

    def set(self) -> None:
        """Lets the consumer go on."""
        super().set()
        if wire := self._asleep_at:
            wire.ring()

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the flag is set, and clears it; False if that took longer than `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        if wire := self._wire():
            wire.lead(self, deadline)
        return super().wait(None if deadline is None else deadline - time.monotonic())

    def sleep(self, wire: LedWire, deadline: float | None) -> bool:
        """Waits until there is something to read; False if the flag is set or the deadline has come."""
        left = None if deadline is None else min(deadline - time.monotonic(), _LONGEST)
        self._asleep_at = wire
        try:
            # First where to ring, then the flag: `set` does it the other way round.
            return not self.is_set and (left is None or left > 0) and wire.stirs(left)
        finally:
            self._asleep_at = None


class LedWire(SocketWire):
    """A connection without TLS."""

    def __init__(self, transport: Socket, on_reply: OnReply, on_lost: OnLost, tell: Callable[..., object]) -> None:
        # First the descriptors: there may be too few left. One of our own of the socket: the transport closes its own at
        # any time.
        self._socket = self._owned(os.dup(transport.get_extra_info("socket").fileno()))
        self._bell = self._owned(os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC))
        self._watched = select.epoll()
        self._led = select.epoll()
        super().__init__(transport, on_reply, on_lost)
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._loop_thread = self._reader_thread = threading.get_ident()
        self._transport.pause_reading()
        # Owned by a thread: to let go of what one does not have is an error, and no harm.
        self._reading = threading.RLock()
        self._watched.register(self._socket, _ONCE)
        self._led.register(self._socket, select.EPOLLIN)
        # Each ring wakes once, and need not be read.
        self._led.register(self._bell, select.EPOLLIN | select.EPOLLET)
        self._loop.add_reader(self._watched.fileno(), self._read_here)

    def lead(self, signal: LeadingSignal, deadline: float | None) -> None:
        """Reads until the signal is set, the deadline comes or the connection is lost; not if somebody else does.

        `Misuse` where a signal handler or a finalizer waits on top of a thread in the middle of a message.
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
                pass  # interrupted before it was taken
            finally:
                # After that: the loop, if it was told of something just before, has found somebody reading.
                if leads:
                    self._watched.modify(self._socket, _ONCE)

    def is_read_here(self) -> bool:
        """Whether the caller runs on top of a thread in the middle of a message."""
        return threading.get_ident() == self._reader_thread and calls_below(self._receive) > 0

    def stirs(self, timeout: float | None) -> bool:
        """Waits until there is something to read, or somebody rings."""
        return bool(self._led.poll(timeout))

    def ring(self) -> None:
        """Wakes who leads."""
        os.eventfd_write(self._bell, 1)

    def lose(self, reason: BaseException) -> None:
        """Ends the connection now; on the loop."""
        if self.up:
            super().lose(reason)
            self._loop.remove_reader(self._watched.fileno())
            self.ring()

    def _read_here(self) -> None:
        self._watched.poll(0)  # it tells no more, until it is switched on again
        if self._reading.acquire(blocking=False):
            self._receive()
            self._reading.release()
            self._watched.modify(self._socket, _ONCE)

    def _receive(self) -> bool:
        """Hands out what has come; whether there may be more."""
        try:
            data = os.read(self._socket, _CHUNK) or self._ended()
            self.take(data, len(data))
        except BlockingIOError:
            return True  # only a ring
        except Exception as error:  # noqa: BLE001  # whatever it is, it ends the connection
            self._tell(self.lose, error)
            return False
        except BaseException:
            self._feed = self._broken  # nobody may go on in the middle of a message
            self._tell(self.lose, ConnectionError("interrupted while it was read"))
            raise
        return True

    def _owned(self, descriptor: int) -> int:
        # Closed not before nobody can read or ring any more.
        weakref.finalize(self, os.close, descriptor).atexit = False
        return descriptor

    def _broken(self, *_: object) -> NoReturn:
        raise ConnectionError("interrupted while it was read")

    def _ended(self) -> NoReturn:
        raise ConnectionError("the server closed the connection")
