"""How commands travel, blocking: each thread takes a connection while it talks, and puts it back.

Written by hand; the asyncio twin shares one connection among all tasks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any

from ccs._core.commits.commit import Argument
from ccs._core.retry import Patience
from ccs._protocol.fake_server import FakeConnection
from ccs._protocol.faults import LinkDown, copy_of
from ccs._protocol.replies import NOTHING_YET, InvalidReply, ServerError, pack, reply_reader
from ccs._stats import Counters
from ccs._sync.transport.connect import Dialer
from ccs._sync.transport.sockets import CHUNK, Socket
from ccs.errors import CCSError, StoreClosed

__all__ = ["Link"]

_MOST = 64
# Seconds: a socket that waits so much too long is left as it is, which saves a system call.
_SLACK = 0.05


class _Wire:
    """One open connection."""

    __slots__ = ("_allowed", "_most", "_set_timeout", "_two_waits", "close", "feed", "next_reply", "receive", "send")

    def __init__(self, socket: Socket, timeout: float) -> None:
        reader = reply_reader()
        self._most = self._allowed = timeout
        self._two_waits = 2 * timeout
        self._set_timeout = socket.settimeout
        self.close = socket.close
        self.send: Callable[[bytes], object] = socket.sendall
        self.receive: Callable[[int], bytes] = socket.recv
        self.feed, self.next_reply = reader.feed, reader.gets

    def talk(self, packed: bytes, count: int, patience: Patience) -> list[Any]:
        """The replies to so many commands, errors of the server included; `TimeoutError` where patience ends first."""
        # Ordinarily there is patience for two waits, one to send and one to receive: then nothing need be set.
        now = time.monotonic()
        hurried = patience.until - now < self._two_waits
        until = now + patience.left(now) if hurried else patience.until
        if hurried or self._allowed != self._most:
            self._allow(until)
        patience.begin()
        self.send(packed)
        if hurried:
            self._allow(until)
        replies: list[Any] = []
        while True:
            chunk = self.receive(CHUNK)
            if not chunk:
                raise ConnectionError("the server closed the connection")
            self.feed(chunk)
            while (reply := self.next_reply()) is not NOTHING_YET:
                if isinstance(reply, ServerError) and reply.code == "NOAUTH":
                    raise reply  # this connection is of no use; a new one logs in again
                replies.append(reply)
                if len(replies) == count:
                    return replies
            self._allow(until)

    def _allow(self, until: float) -> None:
        """Lets the socket wait no longer than patience does, be it for the server or for the rest of a long answer."""
        seconds = until - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("no answer in time")
        allowed = min(self._most, seconds)
        if abs(allowed - self._allowed) > _SLACK:
            self._set_timeout(allowed)
            self._allowed = allowed


class _MemoryWire(FakeConnection):
    """One connection to a server in this process."""

    def talk(self, packed: bytes, count: int, patience: Patience) -> list[Any]:
        """The replies to so many commands, errors of the server included."""
        patience.begin()
        self.send(packed)
        return [self.receive() for _ in range(count)]


class Link:
    """A pool of at most 64 connections, opened when they are needed, and anew after one broke."""

    def __init__(self, dialer: Dialer, stats: Counters) -> None:
        self._dialer, self._stats, self.clock = dialer, stats, dialer.clock
        # Taken from and put back in one step each: threads need no lock.
        self._idle: list[_Wire | _MemoryWire] = []
        # Not a semaphore: those are written in Python, and an interrupt inside could leave one locked for ever.
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(_MOST):
            self._room.put(None)
        self._broken = self._closed = False

    def __repr__(self) -> str:
        return f"<Link to {self._dialer.address}, {len(self._idle)} connections idle>"

    def call(self, command: tuple[Argument, ...], patience: Patience) -> Any:
        """The reply to one command; `LinkDown` where there is none, `ServerError` where the server refuses."""
        reply = self._exchange(pack(command), 1, patience)[0]
        if isinstance(reply, ServerError):
            # A copy: with the error among its locals, this frame would keep those of all callers until the next
            # collection, and thereby what they hold.
            raise copy_of(reply)
        return reply

    def call_all(self, commands: Sequence[tuple[Argument, ...]], patience: Patience) -> list[Any]:
        """The replies to several commands, sent one right after the other, errors of the server among them."""
        return self._exchange(b"".join(map(pack, commands)), len(commands), patience)

    def close(self) -> None:
        """Closes what is idle; what is in use is closed when its caller is done."""
        self._closed = True
        self._drain()
        self._dialer.close()

    def _exchange(self, packed: bytes, count: int, patience: Patience) -> list[Any]:
        try:
            self._room.get_nowait()
        except Empty:
            self._wait_for_room(patience)
        try:
            if self._closed:
                raise StoreClosed(f"the store at {self._dialer.address} is closed; connect anew")
            replies = self._talk(self._take(patience), packed, count, patience)
        finally:
            self._room.put(None)
        self._stats.add("bytes", len(packed))
        return replies

    def _wait_for_room(self, patience: Patience) -> None:
        try:
            self._room.get(timeout=patience.left(time.monotonic()))
        except Empty:
            raise LinkDown(f"{_MOST} other commands of this store wait for answers", sent=False) from None

    def _talk(self, wire: _Wire | _MemoryWire, packed: bytes, count: int, patience: Patience) -> list[Any]:
        try:
            replies = wire.talk(packed, count, patience)
        except (ServerError, InvalidReply, OSError) as error:
            self._discard(wire)
            raise (error if isinstance(error, CCSError) else LinkDown(error, sent=True)) from error
        except BaseException:
            # Somebody interrupted us between a command and its reply: nobody else may read that reply as theirs.
            wire.close()
            raise
        self._idle.append(wire)
        if self._closed:
            self._drain()
        return replies

    def _take(self, patience: Patience) -> _Wire | _MemoryWire:
        try:
            return self._idle.pop()
        except IndexError:
            return self._open(patience)

    def _discard(self, wire: _Wire | _MemoryWire) -> None:
        # A server that went away took the idle connections with it.
        self._broken = True
        wire.close()
        self._drain()

    def _drain(self) -> None:
        while True:
            try:
                wire = self._idle.pop()
            except IndexError:
                return
            with suppress(OSError):
                wire.close()

    def _open(self, patience: Patience) -> _Wire | _MemoryWire:
        dialer = self._dialer
        wire: _Wire | _MemoryWire
        if dialer.target.kind == "memory":
            wire = _MemoryWire(dialer.target.location)
        else:
            wire = _Wire(dialer.dial(patience), dialer.timeout)
        self._stats.add("reconnects", int(self._broken))
        self._broken = False
        return wire
