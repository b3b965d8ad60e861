"""The connections of a store, blocking: each thread takes one for its command, and puts it back.

Written by hand; in the asyncio twin all tasks share one connection.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from socket import SHUT_RDWR
from typing import Any
from weakref import ref

from ccs._core.commits.commit import Argument
from ccs._core.names.server_url import Endpoint
from ccs._core.nodes.cluster_layout import Node
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
# Seconds for which commands are waited for when a store is closed, and between two looks whether any still waits.
_LAST = 0.25
_LOOK = 0.005
# A timeout that is wrong by no more than so many seconds is kept, which saves a system call.
_SLACK = 0.05


class _Connection:
    """One open connection, to `node`. `begun` is since when it waits for a reply, 0 if it does not."""

    __slots__ = (
        "__weakref__",
        "_allowed",
        "_most",
        "_set_timeout",
        "_shutdown",
        "_two_waits",
        "begun",
        "close",
        "feed",
        "next_reply",
        "node",
        "receive",
        "send",
    )

    def __init__(self, socket: Socket, timeout: float) -> None:
        reader = reply_reader()
        self.begun = 0.0
        self.node: Node | None = None
        self._shutdown = socket.shutdown
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
        self.begun = now
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
                    self.begun = 0.0
                    return replies
            self._allow(until)

    def cut(self) -> None:
        """Has a command that waits fail at once. Called in any thread."""
        with suppress(OSError):  # closed meanwhile
            self._shutdown(SHUT_RDWR)

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
        # Those that were opened, as far as they are still in use. It is changed, and copied, in one step each.
        self._opened: deque[ref[_Connection]] = deque(maxlen=4 * _MOST)
        # Not a semaphore: it is written in Python, and an interrupt inside it could leave it locked for ever.
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(_MOST):
            self._room.put(None)
        self._broken = self._closed = False

    def __repr__(self) -> str:
        return f"<Pool to {self._dialer.address}, {len(self._idle)} connections idle>"

    @property
    def dialer(self) -> Dialer:
        """What opens the connections."""
        return self._dialer

    @property
    def endpoint(self) -> Endpoint:
        """Where the connections lead to."""
        return self._dialer.target.endpoint

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

    @property
    def node(self) -> Node | None:
        """Where the newest connection leads to."""
        return self._dialer.node

    def waits(self) -> float:
        """Returns for how many seconds a command has waited for its reply."""
        begun = [connection.begun for connection in self._in_use() if connection.begun]
        return time.monotonic() - min(begun) if begun else 0.0

    def leave_others(self, primaries: Collection[Node]) -> None:
        """Ends the connections that lead to none of the primaries: the newest may lead to one. Called in any thread."""
        for connection in self._in_use():
            if connection.node is not None and connection.node not in primaries:
                connection.cut()

    def renew(self, reason: str) -> None:
        """Ends the connections, so that commands go over others; those that wait are tried again. Called in any thread."""
        self._broken = True
        self._drain()
        for connection in self._in_use():
            connection.cut()

    def _in_use(self) -> list[_Connection]:
        return [connection for each in self._opened.copy() if (connection := each()) is not None]

    def close(self) -> None:
        """Closes the idle connections. One in use is closed when its caller is done, or has waited for a moment longer."""
        self._closed = True
        self._drain()
        until = time.monotonic() + _LAST
        while (self.waits() or self._dialer.greeted) and time.monotonic() < until:
            time.sleep(_LOOK)
        for each in self._dialer.greeted.copy():
            if sock := each():
                with suppress(OSError):  # closed meanwhile
                    sock.shutdown(SHUT_RDWR)
        for connection in self._in_use():
            if connection.begun:
                connection.cut()
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
        if isinstance(connection, _Connection):
            connection.begun = 0.0
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
            connection.node = dialer.node
            self._opened.append(ref(connection))
        self._stats.add("reconnects", int(self._broken))
        self._broken = False
        return connection
