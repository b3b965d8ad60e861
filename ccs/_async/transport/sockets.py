"""Opens the socket of a connection, asyncio, and greets the server. The blocking twin is written by hand too."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import Awaitable
from typing import cast

from ccs._core.names.server_url import Endpoint
from ccs._protocol.greeting import Exchange
from ccs._protocol.replies import NOTHING_YET, reply_reader
from ccs._protocol.sockets import tune

__all__ = ["Socket", "hang_up", "open_socket"]

Socket = asyncio.Transport
"""An open socket."""


async def open_socket(
    endpoint: Endpoint, context: ssl.SSLContext | None, greeting: Exchange, timeout: float, most: float
) -> Socket:
    """Returns a connection to a server that was greeted. Raises what its answers mean, or an `OSError`.

    Each step may take `timeout` seconds, all of them together `most`.
    """
    protocol = _Greeter(greeting)
    until = time.monotonic() + most
    try:
        await _within(min(most, endpoint.connect_timeout or timeout), _connect(endpoint, context, protocol))
        await _within(min(timeout, until - time.monotonic()), protocol.greeted)
        return protocol.taken_over()
    except BaseException:
        protocol.abort()
        raise


def hang_up(socket: Socket) -> None:
    """Closes an open socket."""
    socket.abort()


async def _within(timeout: float, doing: Awaitable[object]) -> None:
    try:
        async with asyncio.timeout(timeout):
            await doing
    except TimeoutError:
        raise TimeoutError(f"no answer within {timeout:g} seconds") from None


async def _connect(endpoint: Endpoint, context: ssl.SSLContext | None, protocol: _Greeter) -> None:
    loop = asyncio.get_running_loop()
    if endpoint.path:
        await loop.create_unix_connection(lambda: protocol, endpoint.path)
        return
    name = endpoint.host if context else None
    transport, _ = await loop.create_connection(
        lambda: protocol, endpoint.host, endpoint.port, ssl=context, server_hostname=name
    )
    tune(transport.get_extra_info("socket"), endpoint.keepalive)


class _Greeter(asyncio.Protocol):
    """Greets the server on a new connection; `greeted` is done when the server has answered as it should."""

    def __init__(self, greeting: Exchange) -> None:
        self._greeting = greeting
        self._reader = reply_reader()
        self._transport: Socket | None = None
        self.greeted: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Sends the greeting."""
        self._transport = cast(Socket, transport)
        self._transport.write(self._greeting.packed)

    def data_received(self, data: bytes) -> None:
        """Checks the answers that are complete."""
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not NOTHING_YET:
                if self._greeting.take(reply):
                    self.greeted.set_result(None)
        except Exception as error:  # noqa: BLE001  # whatever it is, the caller that waits gets it
            self._fail(error)

    def connection_lost(self, exc: Exception | None) -> None:
        """Fails `greeted`."""
        self._fail(exc or ConnectionError("the server closed the connection"))

    def taken_over(self) -> Socket:
        """Returns the connection, for the protocol that takes it over at once."""
        if self._transport is None or self._transport.is_closing():
            raise ConnectionError("the server closed the connection")
        return self._transport

    def abort(self) -> None:
        """Ends the connection, if there is one."""
        self.greeted.cancel()
        if self._transport:
            self._transport.abort()

    def _fail(self, error: Exception) -> None:
        if not self.greeted.done():
            self.greeted.set_exception(error)
        if self._transport:
            self._transport.abort()
