"""Connections for commits whose durability is waited for, blocking: each batch has one to itself until its wait has ended.

A WAIT counts for the connection that has written, and holds up whatever comes behind it there. Written by hand; the
asyncio twin has one reader for all.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import suppress
from queue import Empty, SimpleQueue
from socket import SHUT_RDWR
from typing import Any

from ccs._core.commits.commit import Argument
from ccs._core.retry import Patience
from ccs._protocol.faults import Disconnected
from ccs._protocol.flushing import Flushing
from ccs._protocol.replies import NOTHING_YET, InvalidReply, ServerError, pack, reply_reader
from ccs._sync.transport.connect import Dialer
from ccs._sync.transport.sockets import CHUNK, Socket
from ccs.errors import StoreClosed

__all__ = ["DurableLinks", "Link"]

_MOST = 64


class Link:
    """A connection that one batch has to itself. Its replies are read one by one, when they are wanted.

    `flushing` is when the server writes to its disk, once somebody has found out; `may_ask` are the questions that the user
    was found to be allowed.
    """

    flushing: Flushing | None = None
    may_ask: frozenset[str] = frozenset()

    def __init__(self, links: DurableLinks, socket: Socket) -> None:
        self._links = links
        self._socket = socket
        self._reader = reply_reader()
        self._owed = 0
        self.up = True

    def send(self, commands: Sequence[tuple[Argument, ...]], patience: Patience) -> None:
        """Sends commands together. Each has a reply to be read."""
        packed = b"".join(map(pack, commands))
        patience.begin()
        self._owed += len(commands)
        try:
            self._socket.settimeout(self._links.dialer.timeout)
            self._socket.sendall(packed)
        except OSError as error:
            self.up = False
            raise Disconnected(error, sent=True) from error

    def reply(self, until: float) -> Any:
        """Returns the next reply, an error of the server included. Raises `Disconnected` if none comes until then."""
        try:
            reply = self._next(until)
        except (InvalidReply, OSError) as error:
            self.up = False
            raise Disconnected(error, sent=True) from error
        self._owed -= 1
        if isinstance(reply, ServerError) and reply.code == "NOAUTH":
            self.up = False  # this connection is useless; a new one logs in again
        return reply

    def _next(self, until: float) -> Any:
        while (reply := self._reader.gets()) is NOTHING_YET:
            left = until - time.monotonic()
            if left <= 0:
                raise TimeoutError("no answer in time")
            self._socket.settimeout(left)
            chunk = self._socket.recv(CHUNK)
            if not chunk:
                raise ConnectionError("the server closed the connection")
            self._reader.feed(chunk)
        return reply

    def release(self) -> None:
        """Gives the connection to the next batch, or ends it if replies are owed. Idempotent."""
        self._links.take_back(self)

    def drop(self) -> None:
        """Ends the connection. Idempotent."""
        self.up = False
        self.release()

    @property
    def is_idle(self) -> bool:
        """Whether every command was answered, and every answer read."""
        return not self._owed

    def cut(self) -> None:
        """Has a batch that waits fail at once. Called in any thread."""
        self.up = False
        with suppress(OSError):  # closed meanwhile
            self._socket.shutdown(SHUT_RDWR)

    def close(self) -> None:
        """Closes the connection."""
        with suppress(OSError):
            self._socket.close()


class DurableLinks:
    """At most 64 of these connections to one server, opened when they are needed."""

    def __init__(self, dialer: Dialer) -> None:
        self.dialer = dialer
        # A connection is taken and put back in one step each: threads need no lock.
        self._idle: list[Link] = []
        self._taken: dict[Link, None] = {}
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(_MOST):
            self._room.put(None)
        self._closed = False

    def __repr__(self) -> str:
        return f"<DurableLinks to {self.dialer.address}, {len(self._idle)} idle, {len(self._taken)} taken>"

    def take(self, patience: Patience) -> Link:
        """Returns a connection that nobody else uses. Raises `Disconnected` if there is none in time."""
        try:
            self._room.get(timeout=patience.left(time.monotonic()))
        except Empty:
            raise Disconnected(f"{_MOST} other batches wait to be durable", sent=False) from None
        try:
            if self._closed:
                raise StoreClosed(f"the store at {self.dialer.address} is closed; connect anew")
            link = self._standing() or Link(self, self.dialer.dial(patience))
            self._taken[link] = None
        except BaseException:
            self._room.put(None)
            raise
        return link

    def _standing(self) -> Link | None:
        while True:
            try:
                return self._idle.pop()
            except IndexError:
                return None

    def take_back(self, link: Link) -> None:
        """Takes a connection back from its batch."""
        if self._taken.pop(link, link) is link:
            return
        try:
            if link.up and link.is_idle and not self._closed:
                self._idle.append(link)
                return
            link.close()
            if not link.up:
                # A server that went away has closed the idle connections too.
                self._drain()
        finally:
            self._room.put(None)

    def renew(self, reason: str) -> None:
        """Ends all connections: another server has taken over. Called in any thread."""
        self._drain()
        for link in self._taken.copy():
            link.cut()

    def close(self) -> None:
        """Ends all connections for good."""
        self._closed = True
        self.renew("the store was closed")

    def _drain(self) -> None:
        while link := self._standing():
            link.close()
