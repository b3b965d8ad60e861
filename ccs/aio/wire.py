"""One open connection, asyncio: bytes go out, replies come in, without a task in between where there is a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Protocol

from redis.exceptions import RedisError, ResponseError

from ccs._faults import dial_fault
from ccs._replies import NOTHING_YET, reply_reader
from ccs.aio.dial import Dialer

__all__ = ["OnLost", "OnReply", "Plain", "SocketWire", "Wire", "open_wire"]

OnReply = Callable[[Any], None]
OnLost = Callable[[BaseException], None]


class Wire(Protocol):
    """A connection that redis-py has opened, from then on without it.

    Each reply is given to `on_reply`, errors of the server too. What that raises, be it one of redis-py's errors or an
    `IndexError` (a reply that nobody has asked for), ends the connection. `on_lost` is called once: when it has ended.
    """

    up: bool

    def write(self, packed: bytes) -> None:
        """Sends bytes at once; who sends bounds how much is on its way."""

    def lose(self, reason: BaseException) -> None:
        """Ends the connection now."""

    async def aclose(self, reason: BaseException) -> None:
        """Ends the connection, and waits until nothing is left of it."""


Plain = Callable[[Any, OnReply, OnLost], Wire]
"""What makes a wire of a connection to which nothing but a socket belongs."""


async def open_wire(dialer: Dialer, on_reply: OnReply, on_lost: OnLost, plain: Plain | None = None) -> Wire:
    """A new connection, which waits for replies without end; `LinkDown` where trying again may help."""
    try:
        connection = await dialer.dial()
    except (RedisError, OSError) as error:
        raise dial_fault(error, dialer.address, dialer.user) from error
    # A watchdog or a heartbeat looks after it from here on.
    connection.socket_timeout = None
    transport = getattr(connection._writer, "transport", None)
    if transport is None:
        return _MemoryWire(connection, on_reply, on_lost)
    kind = SocketWire if transport.get_extra_info("ssl_object") else plain or SocketWire
    try:
        return kind(connection, on_reply, on_lost)
    except BaseException:
        connection._close()
        raise


class SocketWire(asyncio.Protocol):
    """One with a socket."""

    def __init__(self, connection: Any, on_reply: OnReply, on_lost: OnLost) -> None:
        self._connection, self._on_reply, self._on_lost = connection, on_reply, on_lost
        self._reader = reply_reader()
        self._gone: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._transport = connection._writer.transport
        self._transport.set_protocol(self)
        # Not with `send_command`: cancelled in its drain, it would close a connection that others share.
        self.write = self._transport.write
        self.up = True

    def data_received(self, data: bytes) -> None:
        """Hands out the replies that are complete."""
        try:
            self.take(data)
        except (RedisError, IndexError) as error:
            self.lose(error)

    def take(self, data: bytes) -> None:
        """Hands out the replies that are complete; raises what says that the connection has to end."""
        self._reader.feed(data)
        while (reply := self._reader.gets()) is not NOTHING_YET:
            if isinstance(reply, RedisError) and not isinstance(reply, ResponseError):
                raise reply  # one that says that this connection is of no use, as redis-py sees it
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
            self._connection._close()
            self._on_lost(reason)

    async def aclose(self, reason: BaseException) -> None:
        """Ends the connection, and waits until nothing is left of it."""
        self.lose(reason)
        await asyncio.wait([self._gone])


class _MemoryWire:
    """One to a server of fakeredis, which has no socket."""

    def __init__(self, connection: Any, on_reply: OnReply, on_lost: OnLost) -> None:
        self._connection, self._on_reply, self._on_lost = connection, on_reply, on_lost
        self._reader = asyncio.create_task(self._read(), name="ccs link")
        self.up = True

    def write(self, packed: bytes) -> None:
        self._connection._writer.writelines((packed,))

    def lose(self, reason: BaseException) -> None:
        if self.up:
            self.up = False
            self._reader.cancel()
            self._on_lost(reason)

    async def aclose(self, reason: BaseException) -> None:
        self.lose(reason)
        await asyncio.wait([self._reader])
        await self._connection.disconnect()

    async def _read(self) -> None:
        try:
            while True:
                self._on_reply(await self._reply())
        except (RedisError, OSError, IndexError) as error:
            self.lose(error)
            await self._connection.disconnect(nowait=True)

    async def _reply(self) -> Any:
        try:
            return await self._connection.read_response()
        except ResponseError as error:
            return error
