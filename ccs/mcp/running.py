"""`ccs mcp`: serves until its client has gone or a signal comes, and then gives back what it held, within a second."""

from __future__ import annotations

import argparse
import asyncio
import atexit
import gc
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
from ccs._http import LOOPBACK, listening, place_in, shown_address, tokens_in
from ccs.errors import CCSError, InvalidValue
from ccs.mcp.serving import server
from ccs.mcp.stdio import serve_stdio
from ccs.mcp.web import serve_http, web_app

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
    app = web_app(served, tokens_in(Path(options.token_file)), hosts=(*LOOPBACK, *options.host))
    sys.stderr.write(f"http://{shown_address(listener)}/mcp\n")
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
    host, port = place_in(where)
    if host not in LOOPBACK and not hosts:
        raise InvalidValue(
            f"--http {where} would serve other machines: give 127.0.0.1:{port}, or name with --host the name by which they"
            " come in, and put a proxy that speaks TLS in front"
        )
    return listening(where)
