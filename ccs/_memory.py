"""`memory://`: servers of fakeredis in this process, for tests. A name is shared; without one, a server is private."""

from __future__ import annotations

import importlib
import secrets
from typing import Any

from ccs.errors import Unavailable

__all__ = ["async_connection", "connection", "forget", "register"]

_PRIVATE = "\0private "
_servers: dict[str, Any] = {}


def register(name: str) -> str:
    """The name under which the connections of a store find their server; a new one where none is given."""
    name = name or _PRIVATE + secrets.token_hex(8)
    if name not in _servers:
        _servers[name] = _fakeredis().FakeServer(version=(7,))
    return name


def forget(name: str) -> None:
    """Lets go of a private server; what has a name stays as long as the process."""
    if name.startswith(_PRIVATE):
        _servers.pop(name, None)


def connection(name: str) -> Any:
    """A blocking connection to the server of a name."""
    return _fakeredis().FakeRedisConnection(server=_servers[name], protocol=2, driver_info=None)


def async_connection(name: str) -> Any:
    """An asyncio connection to the server of a name."""
    return _fakeredis().FakeAsyncRedisConnection(server=_servers[name], protocol=2, driver_info=None)


def _fakeredis() -> Any:
    # An extra, so imported only when somebody asks for it.
    try:
        return importlib.import_module("fakeredis")
    except ImportError:
        reason = "fakeredis is not installed: pip install 'collaborative-context-store[testing]'"
        raise Unavailable("memory://", reason=reason) from None
