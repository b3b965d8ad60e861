"""`memory://`: servers of fakeredis in this process, for tests. A name is shared; without one, a server is private.

Commands run where they are sent, also with asyncio, and their replies are there at once; messages for others too. So
after each command those who listen are woken, and nobody has to look now and then.
"""

from __future__ import annotations

import importlib
import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from threading import get_ident
from typing import Any

from ccs._compat import calls_below, interrupter_refused
from ccs._protocol.replies import ServerError, pack
from ccs.errors import CCSError, Misuse, Unavailable

__all__ = ["FakeConnection", "forget", "interrupts", "register"]

_PRIVATE = "\0private "
_INSTALL = "pip install 'collaborative-context-store[testing]'"


class _Server:
    """A server, and whom to wake when something has happened there. Used by any thread."""

    def __init__(self) -> None:
        self.fake = _ask(lambda: _fakeredis().FakeServer(version=(7,)))
        # A dict is changed, and copied whole, in one step each.
        self.listeners: dict[Callable[[], None], None] = {}

    def connection(self) -> Any:
        """A connection, by what fakeredis and redis-py offer to everybody."""
        return _ask(self._connected)

    def _connected(self) -> Any:
        connection = _fakeredis().FakeRedis(server=self.fake, protocol=2).connection_pool.make_connection()
        connection.connect()
        return connection


_servers: dict[str, _Server] = {}
# The threads in the middle of a call into fakeredis, and perhaps some whose call was interrupted.
_asking: set[int] = set()


def register(name: str) -> str:
    """The name under which the connections of a store find their server; a new one where none is given."""
    _try_out()
    name = name or _private()
    if name not in _servers:
        # Several threads may ask at once: all get the first one.
        _servers.setdefault(name, _Server())
    return name


def _private() -> str:
    return _PRIVATE + secrets.token_hex(8)


def forget(name: str) -> None:
    """Lets go of a private server; what has a name stays as long as the process."""
    if name.startswith(_PRIVATE):
        _servers.pop(name, None)


class FakeConnection:
    """A connection to the server of a name."""

    def __init__(self, name: str) -> None:
        self._server = _servers[name]
        self._on_ready: Callable[[], None] | None = None
        self._connection = self._server.connection()

    def listen(self, on_ready: Callable[[], None]) -> None:
        """From now on `on_ready` is called, in any thread, when there may be something to receive. It must not raise."""
        self._on_ready = on_ready
        self._server.listeners[on_ready] = None

    def send(self, packed: bytes) -> None:
        """Has commands executed; when this returns, their replies can be received."""
        _ask(lambda: self._connection.send_packed_command((packed,), check_health=False))
        for wake in list(self._server.listeners):
            wake()

    @property
    def ready(self) -> bool:
        """Whether there is something to receive."""
        return bool(_ask(lambda: self._connection.can_read(0)))

    def receive(self) -> Any:
        """The next reply or message, errors of the server included; it must be there."""
        try:
            return _ask(self._next_reply)
        except _response_error() as error:
            return _server_error(error)

    def _next_reply(self) -> Any:
        if not self._connection.can_read(0):
            raise RuntimeError("a command was not answered")
        return self._connection.read_response(disable_decoding=True)

    def close(self) -> None:
        """Ends the connection."""
        if self._on_ready:
            self._server.listeners.pop(self._on_ready, None)
        with suppress(Misuse):  # then it goes with its server
            _ask(self._connection.disconnect)


def interrupts() -> bool:
    """Whether the caller runs on top of a call into fakeredis: whoever waits for that server waits for this thread."""
    return get_ident() in _asking and calls_below(_ask) > 0


def _server_error(error: Exception) -> ServerError:
    # redis-py keeps the code of an error in its class.
    code = "NOSCRIPT " if type(error).__name__ == "NoScriptError" else ""
    return ServerError(f"{code}{error}")


@cache
def _try_out() -> None:
    """Whether what is installed works together is found out here, and not by the first command."""
    name = _private()
    _servers[name] = _Server()
    connection = FakeConnection(name)
    connection.send(pack(("EVAL", "return {KEYS[1], 1}", "1", "a")))
    answer = connection.receive()
    if answer != [b"a", 1]:
        raise _broken(RuntimeError(f"a script was answered with {answer!r}"))
    connection.close()
    forget(name)


@cache
def _fakeredis() -> Any:
    # An extra, so imported only when somebody asks for it.
    try:
        return importlib.import_module("fakeredis")
    except ModuleNotFoundError as error:
        if error.name != "fakeredis":
            raise
        raise Unavailable("memory://", reason=f"fakeredis is not installed: {_INSTALL}") from None


@cache
def _response_error() -> Any:
    return importlib.import_module("redis.exceptions").ResponseError


def _ask(call: Callable[[], Any]) -> Any:
    """The result of a call into other packages; what goes wrong there is told with their versions, and what to do about it.

    `Misuse` for a signal handler or a finalizer in the middle of another such call: a server has a lock, for which it
    would wait.
    """
    if interrupts():
        raise interrupter_refused()
    thread = get_ident()
    try:
        _asking.add(thread)
        return call()
    except Exception as error:
        if isinstance(error, (CCSError, _response_error())):
            raise
        raise _broken(error) from error
    finally:
        _asking.discard(thread)


def _broken(error: Exception) -> Unavailable:
    found = ", ".join(f"{name} {_version(name)}" for name in ("fakeredis", "redis", "lupa"))
    reason = f"what is installed does not work together ({found}): {error!r}; {_INSTALL} installs what does"
    return Unavailable("memory://", reason=reason)


def _version(name: str) -> str:
    metadata = importlib.import_module("importlib.metadata")
    try:
        return str(metadata.version(name))
    except metadata.PackageNotFoundError:
        return "not installed"
