"""Serving over HTTP: who may come in, and the server that runs.

A page in a browser can be led to a server on this machine by a name that points here (DNS rebinding). So the names by which
a request reaches us, and the page that it comes from, are checked on every request, before the token.
"""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import socket
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import uvicorn
from mcp.server import Server
from mcp.server.transport_security import TransportSecuritySettings
from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from ccs._http import LOOPBACK, host_in
from ccs.errors import InvalidValue

__all__ = ["serve_http", "web_app"]


def web_app(server: Server[Any], tokens: Iterable[str], *, hosts: Iterable[str] = LOOPBACK) -> ASGIApp:
    """Returns an MCP server as an ASGI application, which answers at `/mcp`.

    Each request must carry one of the `tokens` (`Authorization: Bearer …`), name one of the `hosts` in its `Host`, and, if it
    comes from a page, in its `Origin`; ports do not matter. By the protocol of 2026-07-28, clients with the same token share
    claims, messages and what they have been told, so give each its own. Raises `InvalidValue` without a token.
    """
    known = list(tokens)
    if not known or not all(known):
        raise InvalidValue("tokens is empty: give one token at least, of a client that may come in")
    trusting = TransportSecuritySettings(enable_dns_rebinding_protection=False)  # the gate checks every request
    return _Gate(server.streamable_http_app(transport_security=trusting), known, frozenset(map(str.lower, hosts)))


class _Gate:
    """Lets in who names us as we are named, and has a token."""

    def __init__(self, app: ASGIApp, tokens: Sequence[str], hosts: frozenset[str]) -> None:
        self._app = app
        self._tokens = [_digest(token) for token in tokens]
        self._hosts = hosts
        # What the server does when a session ends, by session.
        self._sessions: dict[str | None, Callable[[], Awaitable[None]]] = {}

    def __repr__(self) -> str:
        return f"<Gate for {len(self._tokens)} tokens, as {', '.join(sorted(self._hosts))}>"

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        token = self._token_in(headers)
        refusal = self._refusal(headers, token)
        if refusal is not None:
            await refusal(scope, receive, send)
            return
        await self._app({**scope, "ccs.token": token, "ccs.sessions": self._sessions}, receive, send)
        if scope["method"] == "DELETE":
            await self._end(headers.get("mcp-session-id"))

    async def _end(self, session: str | None) -> None:
        """Gives back what the client of a session held, which has ended it."""
        leave = self._sessions.pop(session, None)
        if leave is not None:
            await leave()

    def _refusal(self, headers: Headers, token: int | None) -> Response | None:
        if host_in(f"//{headers.get('host', '')}") not in self._hosts:
            return PlainTextResponse("This server does not go by that name.\n", 421)
        origin = headers.get("origin")
        if origin is not None and host_in(origin) not in self._hosts:
            return PlainTextResponse("Pages from elsewhere may not come in.\n", 403)
        if token is None:
            ask = {"WWW-Authenticate": "Bearer"}
            return PlainTextResponse("Send the token of this server: Authorization: Bearer …\n", 401, ask)
        return None

    def _token_in(self, headers: Headers) -> int | None:
        """Returns the number of the token that a request carries; None if it carries none of ours."""
        scheme, _, given = headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer":
            return None
        digest = _digest(given.strip())
        found = [number for number, token in enumerate(self._tokens) if hmac.compare_digest(token, digest)]
        return found[0] if found else None


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).digest()


async def serve_http(app: ASGIApp, listener: socket.socket, told: asyncio.Event) -> None:
    """Serves on a socket until it is told to end."""
    config = uvicorn.Config(
        app, log_config=None, log_level="critical", access_log=False, ws="none", timeout_graceful_shutdown=0
    )
    server = _Uvicorn(config)
    serving = asyncio.create_task(server.serve(sockets=[listener]))
    waiting = asyncio.create_task(told.wait())
    await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    server.should_exit = True
    await serving


class _Uvicorn(uvicorn.Server):
    """Leaves signals to the program."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Captures none."""
        yield
