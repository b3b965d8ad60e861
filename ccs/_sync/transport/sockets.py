"""Opens the socket of a connection, blocking, and greets the server. The asyncio twin is written by hand too."""

from __future__ import annotations

import socket
import ssl
import time
from collections import deque
from weakref import ref

from ccs._core.names.server_url import Endpoint
from ccs._protocol.greeting import Exchange
from ccs._protocol.replies import NOTHING_YET, reply_reader
from ccs._protocol.sockets import tune

__all__ = ["CHUNK", "Socket", "hang_up", "open_socket"]

Socket = socket.socket
"""An open socket."""

CHUNK = 65536
"""The most bytes that are read at once."""


def open_socket(
    endpoint: Endpoint,
    context: ssl.SSLContext | None,
    greeting: Exchange,
    timeout: float,
    most: float,
    greeted: deque[ref[Socket]] | None = None,
) -> Socket:
    """Returns a connection to a server that was greeted. Raises what its answers mean, or an `OSError`.

    Each step may take `timeout` seconds, all of them together `most`. Until the server has answered, the socket is among
    those `greeted`, so that another thread can shut it down.
    """
    noted = deque[ref[Socket]]() if greeted is None else greeted
    until = time.monotonic() + most
    sock = _connected(endpoint, min(most, endpoint.connect_timeout or timeout))
    try:
        if context:
            sock = context.wrap_socket(sock, server_hostname=endpoint.host)
        known = ref(sock)
        noted.append(known)
        try:
            _greet(sock, greeting, min(until, time.monotonic() + timeout))
        finally:
            noted.remove(known)
        sock.settimeout(timeout)
    except BaseException:
        sock.close()
        raise
    return sock


def hang_up(sock: Socket) -> None:
    """Closes an open socket."""
    sock.close()


def _connected(endpoint: Endpoint, timeout: float) -> Socket:
    if endpoint.path:
        return _unix(endpoint.path, timeout)
    sock = socket.create_connection((endpoint.host, endpoint.port), timeout)
    tune(sock, endpoint.keepalive)
    return sock


def _unix(path: str, timeout: float) -> Socket:
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.settimeout(timeout)
        sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return sock


def _greet(sock: Socket, greeting: Exchange, until: float) -> None:
    reader = reply_reader()
    done = False
    _allow(sock, until)
    sock.sendall(greeting.packed)
    while not done:
        while (reply := reader.gets()) is NOTHING_YET:
            _allow(sock, until)
            chunk = sock.recv(CHUNK)
            if not chunk:
                raise ConnectionError("the server closed the connection")
            reader.feed(chunk)
        done = greeting.take(reply)


def _allow(sock: Socket, until: float) -> None:
    left = until - time.monotonic()
    if left <= 0:
        raise TimeoutError("the server did not greet in time")
    sock.settimeout(left)
