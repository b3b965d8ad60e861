"""The connections of a store, blocking: each thread takes one for its command, and puts it back.

Written by hand; in the asyncio twin all tasks share one connection.
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
from ccs._protocol.faults import Disconnected, copy_of
from ccs._protocol.replies import NOTHING_YET, InvalidReply, ServerError, pack, reply_reader
from ccs._stats import Counters
from ccs._sync.transport.connect import Dialer
from ccs._sync.transport.sockets import CHUNK, Socket
from ccs.errors import CCSError, StoreClosed

__all__ = ["Pool"]

_MOST = 64
# A timeout that is wrong by no more than so many seconds is kept, which saves a system call.
_SLACK = 0.05


class _Connection:
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
        self.feed = reader.feed
        self.next_reply = reader.gets

    def exchange(self, packed: bytes, count: int, patience: Patience) -> list[Any]:
        """Returns the replies to so many commands, errors of the server included. Raises `TimeoutError` if patience ends first."""
        # Ordinarily patience lasts for two waits, to send and to receive: then no timeout has to be set.
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
                    raise reply  # this connection is useless; a new one logs in again
                replies.append(reply)
                if len(replies) == count:
                    return replies
            self._allow(until)

    def _allow(self, until: float) -> None:
        """Sets the timeout of the socket, so that it waits no longer than patience lasts."""
        seconds = until - time.monotonic()
        if seconds <= 0:
            raise TimeoutError("no answer in time")
        allowed = min(self._most, seconds)
        if abs(allowed - self._allowed) > _SLACK:
            self._set_timeout(allowed)
            self._allowed = allowed


class _MemoryConnection(FakeConnection):
    """One connection to a server in this process."""

    def exchange(self, packed: bytes, count: int, patience: Patience) -> list[Any]:
        """Returns the replies to so many commands, errors of the server included."""
        patience.begin()
        self.send(packed)
        return [self.receive() for _ in range(count)]


class Pool:
    """At most 64 connections, opened when they are needed, and again after a loss."""

    def __init__(self, dialer: Dialer, stats: Counters) -> None:
        self._dialer = dialer
        self._stats = stats
        self.clock = dialer.clock
        # A connection is taken and put back in one step each: threads need no lock.
        self._idle: list[_Connection | _MemoryConnection] = []
        # Not a semaphore: it is written in Python, and an interrupt inside it could leave it locked for ever.
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(_MOST):
            self._room.put(None)
        self._broken = self._closed = False

    def __repr__(self) -> str:
        return f"<Pool to {self._dialer.address}, {len(self._idle)} connections idle>"

    def call(self, command: tuple[Argument, ...], patience: Patience) -> Any:
        """Returns the reply to one command. Raises `Disconnected` if there is none, `ServerError` if the server refuses."""
        reply = self._exchange(pack(command), 1, patience)[0]
        if isinstance(reply, ServerError):
            # A copy: the error itself refers to this frame, which would keep all callers alive until the next collection.
            raise copy_of(reply)
        return reply

    def call_all(self, commands: Sequence[tuple[Argument, ...]], patience: Patience) -> list[Any]:
        """Returns the replies to several commands, which are sent together; errors of the server are among them."""
        return self._exchange(b"".join(map(pack, commands)), len(commands), patience)

    def close(self) -> None:
        """Closes the idle connections. One in use is closed when its caller is done."""
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
            replies = self._exchange_over(self._take(patience), packed, count, patience)
        finally:
            self._room.put(None)
        self._stats.add("bytes", len(packed))
        return replies

    def _wait_for_room(self, patience: Patience) -> None:
        try:
            self._room.get(timeout=patience.left(time.monotonic()))
        except Empty:
            raise Disconnected(f"{_MOST} other commands of this store wait for answers", sent=False) from None

    def _exchange_over(
        self, connection: _Connection | _MemoryConnection, packed: bytes, count: int, patience: Patience
    ) -> list[Any]:
        try:
            replies = connection.exchange(packed, count, patience)
        except (ServerError, InvalidReply, OSError) as error:
            self._discard(connection)
            raise (error if isinstance(error, CCSError) else Disconnected(error, sent=True)) from error
        except BaseException:
            # Interrupted between a command and its reply, which no other caller may get.
            connection.close()
            raise
        self._idle.append(connection)
        if self._closed:
            self._drain()
        return replies

    def _take(self, patience: Patience) -> _Connection | _MemoryConnection:
        try:
            return self._idle.pop()
        except IndexError:
            return self._open(patience)

    def _discard(self, connection: _Connection | _MemoryConnection) -> None:
        # A server that went away has closed the idle connections too.
        self._broken = True
        connection.close()
        self._drain()

    def _drain(self) -> None:
        while True:
            try:
                connection = self._idle.pop()
            except IndexError:
                return
            with suppress(OSError):
                connection.close()

    def _open(self, patience: Patience) -> _Connection | _MemoryConnection:
        dialer = self._dialer
        connection: _Connection | _MemoryConnection
        if dialer.target.kind == "memory":
            connection = _MemoryConnection(dialer.target.location)
        else:
            connection = _Connection(dialer.dial(patience), dialer.timeout)
        self._stats.add("reconnects", int(self._broken))
        self._broken = False
        return connection
