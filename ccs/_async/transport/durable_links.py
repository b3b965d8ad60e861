"""Connections for commits whose durability is waited for, asyncio: each batch has one to itself until its wait has ended.

A WAIT counts for the connection that has written, and holds up whatever comes behind it there. The blocking twin of this
file is written by hand too.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from ccs._async.transport.connect import Dialer
from ccs._async.transport.connection import Connection, open_connection
from ccs._core.commits.commit import Argument
from ccs._core.retry import Patience
from ccs._protocol.faults import Disconnected
from ccs._protocol.flushing import Flushing
from ccs._protocol.replies import pack
from ccs.errors import CCSError, StoreClosed

__all__ = ["DurableLinks", "Link"]

_MOST = 64


class Link:
    """A connection that one batch has to itself. Its replies are read one by one, when they are wanted.

    `flushing` is when the server writes to its disk, once somebody has found out; `may_ask` are the questions that the user
    was found to be allowed.
    """

    connection: Connection
    flushing: Flushing | None = None
    may_ask: frozenset[str] = frozenset()

    def __init__(self, links: DurableLinks) -> None:
        self._links = links
        self._owed: deque[asyncio.Future[Any]] = deque()
        self._unread: deque[asyncio.Future[Any]] = deque()

    @property
    def up(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self.connection.up

    def send(self, commands: Sequence[tuple[Argument, ...]], patience: Patience) -> None:
        """Sends commands together. Each has a reply to be read."""
        packed = b"".join(map(pack, commands))
        patience.begin()
        if not self.up:
            raise Disconnected("the connection broke", sent=False)
        replies = [asyncio.get_running_loop().create_future() for _ in commands]
        self._owed.extend(replies)
        self._unread.extend(replies)
        self.connection.write(packed)

    async def reply(self, until: float) -> Any:
        """Returns the next reply, an error of the server included. Raises `Disconnected` if none comes until then."""
        reply = self._unread.popleft()
        if reply.done():  # mostly: it comes together with the reply to the batch
            return reply.result()
        late = asyncio.get_running_loop().call_later(max(0.0, until - time.monotonic()), _give_up, reply)
        try:
            return await reply
        finally:
            late.cancel()

    def release(self) -> None:
        """Gives the connection to the next batch, or ends it if replies are owed. Idempotent."""
        self._links.take_back(self)

    def drop(self) -> None:
        """Ends the connection. Idempotent."""
        self.connection.lose(ConnectionError("its batch has no more use for it"))
        self.release()

    @property
    def is_idle(self) -> bool:
        """Whether every command was answered, and every answer read."""
        return not self._owed and not self._unread

    def receive(self, reply: Any) -> None:
        """Takes a reply, which belongs to the command that has waited longest."""
        waiting = self._owed.popleft()
        if not waiting.done():
            waiting.set_result(reply)

    def end(self, reason: BaseException) -> None:
        """Fails the commands that wait: there will be no more replies."""
        while self._owed:
            waiting = self._owed.popleft()
            if not waiting.done():
                waiting.set_exception(reason if isinstance(reason, CCSError) else Disconnected(reason, sent=True))
                waiting.exception()  # whoever waits has gone, perhaps


def _give_up(reply: asyncio.Future[Any]) -> None:
    if not reply.done():
        reply.set_exception(Disconnected("no answer in time", sent=True))


class DurableLinks:
    """At most 64 of these connections to one server, opened when they are needed."""

    def __init__(self, dialer: Dialer) -> None:
        self.dialer = dialer
        self._idle: list[Link] = []
        self._taken: set[Link] = set()
        self._room = asyncio.Semaphore(_MOST)
        self._closed = False

    def __repr__(self) -> str:
        return f"<DurableLinks to {self.dialer.address}, {len(self._idle)} idle, {len(self._taken)} taken>"

    async def take(self, patience: Patience) -> Link:
        """Returns a connection that nobody else uses. Raises `Disconnected` if there is none in time."""
        await self._enter(patience)
        try:
            link = self._standing() or await self._open(patience)
            if self._closed:
                link.connection.lose(ConnectionError("the store was closed"))
                raise StoreClosed(f"the store at {self.dialer.address} is closed; connect anew")
            self._taken.add(link)
        except BaseException:
            self._room.release()
            raise
        return link

    async def _enter(self, patience: Patience) -> None:
        if not self._room.locked():
            await self._room.acquire()  # at once
            return
        try:
            async with asyncio.timeout(patience.left(time.monotonic())):
                await self._room.acquire()
        except TimeoutError:
            raise Disconnected(f"{_MOST} other batches wait to be durable", sent=False) from None

    def _standing(self) -> Link | None:
        while self._idle:
            link = self._idle.pop()
            if link.up:
                return link
        return None

    async def _open(self, patience: Patience) -> Link:
        link = Link(self)
        opening = partial(open_connection, self.dialer, link.receive, link.end)
        try:
            async with asyncio.timeout(patience.left(time.monotonic())):
                link.connection = await opening()
        except TimeoutError:
            raise Disconnected("no connection could be opened in time", sent=False) from None
        return link

    def take_back(self, link: Link) -> None:
        """Takes a connection back from its batch."""
        if link not in self._taken:
            return
        self._taken.remove(link)
        self._room.release()
        if link.is_idle and link.up and not self._closed:
            self._idle.append(link)
        else:
            link.connection.lose(ConnectionError("its replies are not wanted any more"))

    def renew(self, reason: str) -> None:
        """Ends all connections: another server has taken over."""
        for link in [*self._idle, *self._taken]:
            link.connection.lose(ConnectionError(reason))
        self._idle.clear()

    async def aclose(self) -> None:
        """Ends all connections for good."""
        self._closed = True
        for link in [*self._idle, *self._taken]:
            await link.connection.aclose(ConnectionError("the store was closed"))
