"""`memory://`: servers of fakeredis in this process, for tests. Stores share a named one; without a name it is private.

A command runs while its sender waits, also with asyncio. Its reply, and its messages to other connections, are then ready
at once. So after each command all listeners are woken, and none has to poll.
"""

from __future__ import annotations

import importlib
import secrets
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from threading import get_ident
from typing import Any

from ccs._compat import calls_below, interrupter_refused
from ccs._protocol.interrupt_safe_calls import uninterrupted
from ccs._protocol.replies import ServerError, pack
from ccs.errors import CCSError, Misuse, Unavailable

__all__ = ["FakeConnection", "forget", "interrupts", "register"]

_PRIVATE = "\0private "
_INSTALL = "pip install 'collaborative-context-store[testing]'"


class _Server:
    """A server, and the callbacks that wake its listeners. Any thread may use it."""

    def __init__(self) -> None:
        self.fake = _ask(lambda: _fakeredis().FakeServer(version=(7,)))
        # A dict is changed, and copied, atomically.
        self.listeners: dict[Callable[[], None], None] = {}

    def connection(self) -> Any:
        """Returns a connection, made with the public interfaces of fakeredis and redis-py."""
        return _ask(self._connected)

    def _connected(self) -> Any:
        connection = _fakeredis().FakeRedis(server=self.fake, protocol=2).connection_pool.make_connection()
        connection.connect()
        return connection


_servers: dict[str, _Server] = {}
# The threads in a call into fakeredis, and perhaps some whose call was interrupted.
_asking: set[int] = set()


def register(name: str) -> str:
    """Returns the name under which a store's connections find their server; a new one if `name` is empty."""
    _try_out()
    name = name or _private()
    if name not in _servers:
        # Several threads may do this at once: all get the first server.
        _servers.setdefault(name, _Server())
    return name


def _private() -> str:
    return _PRIVATE + secrets.token_hex(8)


def forget(name: str) -> None:
    """Removes a private server. A named one stays as long as the process."""
    if name.startswith(_PRIVATE):
        _servers.pop(name, None)


class FakeConnection:
    """A connection to the server of this name."""

    def __init__(self, name: str) -> None:
        self._server = _servers[name]
        self._on_ready: Callable[[], None] | None = None
        self._connection = self._server.connection()

    def listen(self, on_ready: Callable[[], None]) -> None:
        """Calls `on_ready` from now on, in any thread, when there may be something to receive. It must not raise."""
        self._on_ready = on_ready
        self._server.listeners[on_ready] = None

    def send(self, packed: bytes) -> None:
        """Executes commands. When this returns, their replies can be received."""
        # One call: the listeners hear of what was done, even if the wait for it is interrupted.
        _complete(partial(self._send_and_wake, packed))

    def _send_and_wake(self, packed: bytes) -> None:
        _explained(lambda: self._connection.send_packed_command((packed,), check_health=False))
        for wake in list(self._server.listeners):
            wake()

    @property
    def ready(self) -> bool:
        """Whether something can be received."""
        return bool(_ask(self._can_read))

    @property
    def ready_when_woken(self) -> bool:
        """Whether something can be received. For `on_ready`, which runs within the sender's call."""
        return bool(_explained(self._can_read))

    def _can_read(self) -> bool:
        return bool(self._connection.can_read(0))

    def receive(self) -> Any:
        """Returns the next reply or message, or a `ServerError`. There must be one: see `ready`."""
        try:
            return _ask(self._next_reply)
        except _response_error() as error:
            return _server_error(error)

    def _next_reply(self) -> Any:
        if not self._connection.can_read(0):
            raise RuntimeError("a command was not answered")
        return self._connection.read_response(disable_decoding=True)

    def close(self) -> None:
        """Closes the connection."""
        if self._on_ready:
            self._server.listeners.pop(self._on_ready, None)
        with suppress(Misuse):  # then it ends with its server
            _ask(self._connection.disconnect)


def interrupts() -> bool:
    """Returns whether the caller runs on top of a call into fakeredis: waiting for that server is waiting for itself."""
    return get_ident() in _asking and calls_below(_complete) + calls_below(_marked) > 0


def _server_error(error: Exception) -> ServerError:
    # redis-py keeps the code of an error in its class.
    code = "NOSCRIPT " if type(error).__name__ == "NoScriptError" else ""
    return ServerError(f"{code}{error}")


@cache
def _try_out() -> None:
    """Tests whether the installed packages work together, before the first command does. Raises `Unavailable` if not."""
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
    # An extra, so imported only when it is used.
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
    """Returns the result of a call into fakeredis, made as `_complete` and `_explained` say."""
    return _complete(partial(_explained, call))


def _complete(call: Callable[[], Any]) -> Any:
    """Returns the result of a call that goes on to its end, even if a signal handler raises meanwhile.

    Raises `Misuse` for a signal handler or a finalizer in the middle of another such call: it would wait for a server's
    lock that its own thread holds.
    """
    if interrupts():
        raise interrupter_refused()
    thread = get_ident()
    try:
        _asking.add(thread)
        return uninterrupted(partial(_marked, call))
    finally:
        _asking.discard(thread)


def _marked(call: Callable[[], Any]) -> Any:
    # This may be another thread than the one that waits for it.
    _asking.add(get_ident())
    return call()


def _explained(call: Callable[[], Any]) -> Any:
    """Returns the result of a call into fakeredis. Raises `Unavailable` with the versions of the packages if it fails."""
    try:
        return call()
    except Exception as error:
        if isinstance(error, (CCSError, _response_error())):
            raise
        raise _broken(error) from error


def _broken(error: Exception) -> Unavailable:
    found = ", ".join(f"{name} {_version(name)}" for name in ("fakeredis", "redis", "lupa"))
    reason = f"the installed packages do not work together ({found}): {error!r}; {_INSTALL} installs some that do"
    return Unavailable("memory://", reason=reason)


def _version(name: str) -> str:
    metadata = importlib.import_module("importlib.metadata")
    try:
        return str(metadata.version(name))
    except metadata.PackageNotFoundError:
        return "not installed"
