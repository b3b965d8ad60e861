"""One open connection, asyncio: it sends bytes and receives replies, without a task in between."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Protocol

from ccs._async.transport.connect import Dialer
from ccs._async.transport.sockets import Socket
from ccs._protocol.fake_server import FakeConnection
from ccs._protocol.replies import NOTHING_YET, InvalidReply, ServerError, reply_reader
from ccs.errors import CCSError

__all__ = ["Connection", "OnLost", "OnReply", "Plain", "SocketConnection", "open_connection"]

_BUFFER = 65536

OnReply = Callable[[Any], None]
OnLost = Callable[[BaseException], None]


class Connection(Protocol):
    """An open connection.

    It calls `on_reply` with each reply, errors of the server included. If that raises a `ServerError` or an `IndexError`
    (a reply to no command), the connection ends. It calls `on_lost` once, when it has ended.
    """

    up: bool

    def write(self, packed: bytes) -> None:
        """Sends bytes at once. The callers bound how much is in flight."""

    def lose(self, reason: BaseException) -> None:
        """Ends the connection now."""

    async def aclose(self, reason: BaseException) -> None:
        """Ends the connection, and waits until it is closed."""


Plain = Callable[[Socket, OnReply, OnLost], Connection]
"""Makes a connection of a socket without TLS."""


async def open_connection(dialer: Dialer, on_reply: OnReply, on_lost: OnLost, plain: Plain | None = None) -> Connection:
    """Returns a new connection, which waits for replies without end. Raises `Disconnected` if a retry may help."""
    target = dialer.target
    if target.kind == "memory":
        return _MemoryConnection(target.location, on_reply, on_lost)
    socket = await dialer.dial()
    kind = SocketConnection if target.endpoint.tls else plain or SocketConnection
    try:
        return kind(socket, on_reply, on_lost)
    except BaseException:
        socket.abort()
        raise


class SocketConnection(asyncio.BufferedProtocol):
    """A connection with a socket. It keeps one buffer: a new one for each reply costs as much as a command."""

    def __init__(self, transport: Socket, on_reply: OnReply, on_lost: OnLost) -> None:
        self._transport = transport
        self._on_reply = on_reply
        self._on_lost = on_lost
        reader = reply_reader()
        self._feed: Callable[..., object] = reader.feed  # its stub does not know that it takes a bytearray too
        self._next_reply = reader.gets
        self._buffer = bytearray(_BUFFER)
        # TLS fills it piece by piece: a slice of the bytearray would be a copy, and the data would be lost.
        self._view = memoryview(self._buffer)
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        transport.set_protocol(self)
        self.up = True

    def write(self, packed: bytes) -> None:
        """Sends this, unless the transport has found that the connection is lost: it warns of more of them."""
        if not self._transport.is_closing():
            self._transport.write(packed)

    def get_buffer(self, sizehint: int) -> memoryview:
        """Returns the buffer that the transport reads into."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Delivers the replies that are complete."""
        try:
            self.take(self._buffer, nbytes)
        except (ServerError, InvalidReply, IndexError) as error:
            self.lose(error)

    def take(self, data: bytes | bytearray, size: int) -> None:
        """Delivers the replies that are complete. Raises the error after which the connection has to end."""
        self._feed(data, 0, size)
        while (reply := self._next_reply()) is not NOTHING_YET:
            if isinstance(reply, ServerError) and reply.code == "NOAUTH":
                raise reply  # this connection is useless; a new one logs in again
            self._on_reply(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Ends the connection, which the transport has lost."""
        self.lose(exc or ConnectionError("the server closed the connection"))
        if not self._gone.done():
            self._gone.set_result(None)

    def lose(self, reason: BaseException) -> None:
        """Ends the connection now."""
        if self.up:
            self.up = False
            self._transport.abort()
            self._on_lost(reason)

    async def aclose(self, reason: BaseException) -> None:
        """Ends the connection, and waits until it is closed."""
        self.lose(reason)
        await asyncio.wait([self._gone])


class _MemoryConnection:
    """A connection to a server in this process."""

    def __init__(self, name: str, on_reply: OnReply, on_lost: OnLost) -> None:
        self._on_reply = on_reply
        self._on_lost = on_lost
        self._loop = asyncio.get_running_loop()
        self._connection = FakeConnection(name)
        self.up = True
        # Last: from now on other threads may wake it.
        self._connection.listen(self._wake)

    def write(self, packed: bytes) -> None:
        try:
            self._connection.send(packed)
        except CCSError as error:
            self._loop.call_soon(self.lose, error)
        except BaseException:
            self._loop.call_soon(self.lose, ConnectionError("interrupted while it was written to"))
            raise

    def lose(self, reason: BaseException) -> None:
        if self.up:
            self.up = False
            self._connection.close()
            self._on_lost(reason)

    async def aclose(self, reason: BaseException) -> None:
        self.lose(reason)

    def _wake(self) -> None:
        # In the thread of the caller that has sent something to the server: it must not get our errors.
        try:
            ready = self._connection.ready_when_woken
        except CCSError:
            ready = True  # the loop gets the error
        if ready:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._receive)

    def _receive(self) -> None:
        try:
            while self.up and self._connection.ready:
                self._on_reply(self._connection.receive())
        except (ServerError, CCSError, IndexError) as error:
            self.lose(error)
        except BaseException:
            # A reply may be lost: no other caller may take the next one for it.
            self.lose(ConnectionError("interrupted while it was read"))
            raise
