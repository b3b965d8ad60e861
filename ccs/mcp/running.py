"""`ccs mcp`: serves until its client has gone or a signal comes, and then gives back what it held, within a second."""

from __future__ import annotations

import argparse
import asyncio
import atexit
import gc
import os
import secrets
import signal
import socket
import sys
from collections.abc import Callable, Coroutine
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

from mcp.server import Server

import ccs.aio as ccs
from ccs.errors import CCSError, InvalidValue
from ccs.mcp.serving import server
from ccs.mcp.stdio import serve_stdio
from ccs.mcp.web import LOOPBACK, serve_http, web_app

__all__ = ["serve"]

_INTERRUPTED = 130
# Seconds that closing the store may take.
_FAREWELL = 0.4


def serve(options: argparse.Namespace) -> int:
    """Serves as the options say. Returns the exit code. Raises `InvalidValue` and the like for what cannot be served."""
    if bool(options.http) != bool(options.token_file):
        raise InvalidValue("--http and --token-file go together: who may come in shows a token of that file")
    # At its end the process would look for garbage once more, in all the models of the protocol, which takes half a second.
    atexit.register(gc.freeze)
    return asyncio.run(_serve(options))


async def _serve(options: argparse.Namespace) -> int:
    # Not entered: a store that is unavailable now must not keep the server from starting.
    store = ccs.connect(options.store, agent=options.agent, namespace=options.namespace, retry_for=options.retry_for)
    try:
        served = server(
            store.task(options.task),
            role=options.role,
            read=options.read or "**",
            write=options.write,
            allow_delete=options.allow_delete,
            max_tokens=options.max_tokens,
        )
        return await _until_told(partial(_over_http, served, options) if options.http else partial(serve_stdio, served))
    finally:
        with suppress(TimeoutError, CCSError):
            async with asyncio.timeout(_FAREWELL):
                await store.aclose(drain=0)


async def _over_http(served: Server[Any], options: argparse.Namespace, told: asyncio.Event) -> None:
    listener = _listener(options.http, options.host)
    app = web_app(served, _tokens(Path(options.token_file)), hosts=(*LOOPBACK, *options.host))
    host, port = listener.getsockname()[:2]
    sys.stderr.write(f"http://{f'[{host}]' if ':' in host else host}:{port}/mcp\n")
    await serve_http(app, listener, told)


async def _until_told(serve: Callable[[asyncio.Event], Coroutine[Any, Any, None]]) -> int:
    """Serves until that ends, or a signal comes and tells it to. Returns the exit code."""
    told = asyncio.Event()
    came: list[int] = []

    def stop(number: int) -> None:
        came.append(number)
        told.set()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop, number)
    serving = asyncio.create_task(serve(told))
    waiting = asyncio.create_task(told.wait())
    await asyncio.wait([serving, waiting], return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    await asyncio.wait([serving], timeout=_FAREWELL)
    serving.cancel()  # of a client that does not read what it is told
    (problem,) = await asyncio.gather(serving, return_exceptions=True)
    if problem and not came:
        raise problem
    return _INTERRUPTED if signal.SIGINT in came else 0


def _listener(where: str, hosts: list[str]) -> socket.socket:
    host, _, port = where.rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not host or not port.isdecimal():
        raise InvalidValue(f"--http is {where!r}: give HOST:PORT, such as 127.0.0.1:8765")
    if host not in LOOPBACK and not hosts:
        raise InvalidValue(
            f"--http {where} would serve other machines: give 127.0.0.1:{port}, or name with --host the name by which they"
            " come in, and put a proxy that speaks TLS in front"
        )
    try:
        family = socket.getaddrinfo(host, int(port), type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family[0], socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(family[4])
    except OSError as error:
        raise InvalidValue(f"--http {where}: {error.strerror or error}; give another address") from None
    return listener


def _tokens(file: Path) -> list[str]:
    """Returns the tokens of a file; makes it, with a new one, if it is not there."""
    try:
        with suppress(FileExistsError):
            descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w", encoding="utf-8") as made:
                made.write(f"{secrets.token_urlsafe(32)}\n")
        tokens = file.read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidValue(f"--token-file {file}: {error}") from None
    if not tokens:
        raise InvalidValue(f"--token-file {file} is empty: write a token a line, or remove it to have one made")
    return tokens
