"""`ccs ui`: serves the web view of a store on this machine until it is interrupted."""

from __future__ import annotations

import asyncio
import secrets
import signal
import socket
import threading
import webbrowser
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlencode

import uvicorn

import ccs.aio
from ccs._http import listening, place_in, shown_address, tokens_in
from ccs.ui.application import WebView, app

__all__ = ["Options", "run"]

# Seconds for which the server lets requests end, once the streams were ended.
_GRACE = 1
_STARTED = 0.01


@dataclass(frozen=True, slots=True)
class Options:
    """What `ccs ui` was asked for. `http` is HOST:PORT; port 0 takes a free one."""

    target: str | None = None
    namespace: str = "ccs"
    address: str | None = None
    http: str = "127.0.0.1:0"
    prefix: str = ""
    hosts: Sequence[str] = ()
    token_file: Path | None = None
    open: bool = False
    retry_for: float = 5.0


def run(options: Options) -> int:
    """Serves the view until it is interrupted or terminated. Prints its URL on a line of its own. Returns the exit code."""
    token = tokens_in(options.token_file)[0] if options.token_file else secrets.token_urlsafe(32)
    with listening(options.http) as listener:
        asyncio.run(_serve(options, token, listener))
    return 0


async def _serve(options: Options, token: str, listener: socket.socket) -> None:
    store = ccs.aio.connect(options.target, namespace=options.namespace, retry_for=options.retry_for)
    async with store:
        if options.address:
            store.context(options.address)  # raises InvalidPath
        hosts = [*options.hosts, place_in(options.http)[0]]
        view = app(store, token=token, hosts=hosts, prefix=options.prefix)
        server = uvicorn.Server(_settings(view))
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        await _started(server, serving)
        _end_on_signals(server, view)
        url = _url(options, listener, token)
        print(url, flush=True)
        if options.open:
            # A browser in this terminal would hold everything up.
            threading.Thread(target=webbrowser.open, args=(url,), daemon=True).start()
        await serving


def _settings(view: WebView) -> uvicorn.Config:
    return uvicorn.Config(
        view,
        log_level="error",
        access_log=False,
        lifespan="off",
        server_header=False,
        timeout_graceful_shutdown=_GRACE,
        ws="none",
    )


async def _started(server: uvicorn.Server, serving: asyncio.Task[None]) -> None:
    while not server.started and not serving.done():  # noqa: ASYNC110  # uvicorn tells by an attribute only
        await asyncio.sleep(_STARTED)


def _end_on_signals(server: uvicorn.Server, view: WebView) -> None:
    """Ends the streams first: a server waits for its answers, and those of pages that are open never end."""

    def end() -> None:
        view.stop()
        server.should_exit = True

    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, end)


def _url(options: Options, listener: socket.socket, token: str) -> str:
    query = {"context": options.address} if options.address else {}
    return f"http://{shown_address(listener)}{options.prefix.rstrip('/')}/?{urlencode({**query, 'token': token}, safe='/')}"
