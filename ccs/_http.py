"""What the web view and the MCP server share as servers: where they listen, the file of their tokens, and names of hosts."""

from __future__ import annotations

import os
import secrets
import socket
from contextlib import suppress
from pathlib import Path
from urllib.parse import urlsplit

from ccs.errors import CCSError, InvalidValue

__all__ = ["LOOPBACK", "host_in", "listening", "place_in", "shown_address", "tokens_in"]

LOOPBACK = frozenset(("127.0.0.1", "localhost", "::1"))
"""The names of this machine, as only it can use them."""

# Characters of a token in a file.
_SHORTEST = 16


def place_in(where: str) -> tuple[str, int]:
    """Returns host and port of `HOST:PORT`; an address of IPv6 may stand in brackets. Raises `InvalidValue`."""
    host, colon, port = where.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not colon or not host or not (port.isascii() and port.isdecimal()) or int(port) > 65_535:
        raise InvalidValue(f"--http is {where!r}: give HOST:PORT, such as 127.0.0.1:8765")
    return host, int(port)


def listening(where: str) -> socket.socket:
    """Returns a socket that is bound to `HOST:PORT`. Raises `InvalidValue`, and `CCSError` if that cannot be bound."""
    host, port = place_in(where)
    try:
        family, kind, _, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind)
    except OSError as error:
        raise _unbound(where, error) from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except OSError as error:
        listener.close()
        raise _unbound(where, error) from error
    return listener


def shown_address(listener: socket.socket) -> str:
    """Returns `HOST:PORT` as it stands in a URL that this machine can open."""
    host, port = listener.getsockname()[:2]
    here = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
    return f"[{here}]:{port}" if ":" in here else f"{here}:{port}"


def tokens_in(file: Path) -> list[str]:
    """Returns the tokens in a file, one a line. If there is no such file, it is made, readable by its user only.

    Raises `InvalidValue` if there is none, if one is shorter than 16 characters, and if the file cannot be used.
    """
    try:
        with suppress(FileExistsError):
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as made:
                made.write(f"{secrets.token_urlsafe(32)}\n")
        tokens = file.read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue(f"--token-file {file}: {error}") from error
    if not tokens:
        raise InvalidValue(f"--token-file {file} is empty: write a token a line, or remove it to have one made")
    for token in tokens:
        if len(token) < _SHORTEST:
            raise InvalidValue(f"a token in {file} has {len(token)} characters: give at least {_SHORTEST}")
    return tokens


def host_in(url: str) -> str | None:
    """Returns the host that a URL names, in lower case, without its port; None if it names none."""
    try:
        return urlsplit(url).hostname
    except ValueError:
        return None


def _unbound(where: str, error: OSError) -> CCSError:
    return CCSError(f"cannot listen on {where}: {error.strerror or error}; choose another with --http")
