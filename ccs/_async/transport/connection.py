"""One open connection, asyncio: bytes go out, replies come in, without a task in between."""

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

__all__ = ["OnLost", "OnReply", "Plain", "SocketWire", "Wire", "open_wire"]

_BUFFER = 65536

OnReply = Callable[[Any], None]
OnLost = Callable[[BaseException], None]


class Wire(Protocol):
    """An open connection.

    Each reply is given to `on_reply`, errors of the server too. What that raises, be it a `ServerError` or an
    `IndexError` (a reply that nobody has asked for), ends the connection. `on_lost` is called once: when it has ended.
    """

    up: bool

    def write(self, packed: bytes) -> None:
        """Sends bytes at once; who sends bounds how much is on its way."""

    def lose(self, reason: BaseException) -> None:
        """Ends the connection now."""

    async def aclose(self, reason: BaseException) -> None:
        """Ends the connection, and waits until nothing is left of it."""


Plain = Callable[[Socket, OnReply, OnLost], Wire]
"""What makes a wire of a socket without TLS."""


async def open_wire(dialer: Dialer, on_reply: OnReply, on_lost: OnLost, plain: Plain | None = None) -> Wire:
    """A new connection, which waits for replies without end; `LinkDown` where trying again may help."""
    target = dialer.target
    if target.kind == "memory":
        return _MemoryWire(target.location, on_reply, on_lost)
    socket = await dialer.dial()
    kind = SocketWire if target.endpoint.tls else plain or SocketWire
    try:
        return kind(socket, on_reply, on_lost)
    except BaseException:
        socket.abort()
        raise


class SocketWire(asyncio.BufferedProtocol):
    """One with a socket. It reads into a buffer of its own: a new one for each reply costs as much as a command."""

    def __init__(self, transport: Socket, on_reply: OnReply, on_lost: OnLost) -> None:
        self._transport, self._on_reply, self._on_lost = transport, on_reply, on_lost
        reader = reply_reader()
        self._feed: Callable[..., object] = reader.feed  # it takes a bytearray too, which its stub does not know
        self._next_reply = reader.gets
        self._buffer = bytearray(_BUFFER)
        # TLS fills it piece by piece: a slice of the bytes themselves would be a copy, and what is read into it lost.
        self._view = memoryview(self._buffer)
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        transport.set_protocol(self)
        self.write = transport.write
        self.up = True

    def get_buffer(self, sizehint: int) -> memoryview:
        """Where the transport puts what it reads."""
        return self._view

    def buffer_updated(self, nbytes: int) -> None:
        """Hands out the replies that are complete."""
        try:
            self.take(self._buffer, nbytes)
        except (ServerError, InvalidReply, IndexError) as error:
            self.lose(error)

    def take(self, data: bytes | bytearray, size: int) -> None:
        """Hands out the replies that are complete; raises what says that the connection has to end."""
        self._feed(data, 0, size)
        while (reply := self._next_reply()) is not NOTHING_YET:
            if isinstance(reply, ServerError) and reply.code == "NOAUTH":
                raise reply  # this connection is of no use; a new one logs in again
            self._on_reply(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells that it has ended."""
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
        """Ends the connection, and waits until nothing is left of it."""
        self.lose(reason)
        await asyncio.wait([self._gone])


class _MemoryWire:
    """One to a server in this process."""

    def __init__(self, name: str, on_reply: OnReply, on_lost: OnLost) -> None:
        self._on_reply, self._on_lost = on_reply, on_lost
        self._loop = asyncio.get_running_loop()
        self._connection = FakeConnection(name)
        self.up = True
        # Last: from here on other threads may wake it.
        self._connection.listen(self._wake)

    def write(self, packed: bytes) -> None:
        try:
            self._connection.send(packed)
        except CCSError as error:
            self._loop.call_soon(self.lose, error)

    def lose(self, reason: BaseException) -> None:
        if self.up:
            self.up = False
            self._connection.close()
            self._on_lost(reason)

    async def aclose(self, reason: BaseException) -> None:
        self.lose(reason)

    def _wake(self) -> None:
        # In the thread of whoever has sent something to the server, whom nothing that is wrong here concerns.
        try:
            ready = self._connection.ready
        except CCSError:
            ready = True  # found out again where it does
        if ready:
            with suppress(RuntimeError):  # the loop is closed
                self._loop.call_soon_threadsafe(self._receive)

    def _receive(self) -> None:
        try:
            while self.up and self._connection.ready:
                self._on_reply(self._connection.receive())
        except (ServerError, CCSError, IndexError) as error:
            self.lose(error)
