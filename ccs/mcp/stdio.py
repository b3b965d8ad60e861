"""Serving the one client that started this process, over its standard input and output.

No thread reads or writes: a read that blocks in one could not be interrupted, and the process would not end. While the
server runs, what anything prints goes to the error output, as only the protocol may go to the standard output.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast

import anyio
from mcp.server import Server
from mcp.server.stdio import stdio_server

__all__ = ["Lines", "Writer", "serve_stdio"]

_CHUNK = 65536
_STDIN = 0
_STDOUT = 1
_STDERR = 2


async def serve_stdio(server: Server[Any], told: asyncio.Event) -> None:
    """Serves until the standard input ends, or it is told to end; that is the same to the server."""
    with _diverted() as (stdin, stdout):
        lines = Lines(stdin)
        ending = asyncio.create_task(_end_when(told, lines))
        source = cast("anyio.AsyncFile[str]", lines)
        sink = cast("anyio.AsyncFile[str]", Writer(stdout))
        async with stdio_server(source, sink) as (incoming, outgoing):
            await server.run(incoming, outgoing, server.create_initialization_options())
        ending.cancel()


async def _end_when(told: asyncio.Event, lines: Lines) -> None:
    await told.wait()
    lines.end()


@contextmanager
def _diverted() -> Iterator[tuple[int, int]]:
    """Yields descriptors of the standard input and output, which lead nowhere and to the error output meanwhile."""
    pipes = os.dup(_STDIN), os.dup(_STDOUT)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, _STDIN)
    os.dup2(_STDERR, _STDOUT)
    try:
        yield pipes
    finally:
        for pipe, standard in zip(pipes, (_STDIN, _STDOUT), strict=True):
            os.dup2(pipe, standard)
            os.close(pipe)
        os.close(nothing)


class Lines:
    """The lines of a descriptor, as an anyio file iterates over them."""

    def __init__(self, source: int) -> None:
        self._source = source
        self._rest = b""
        self._lines: list[bytes] = []
        self._waiting = anyio.CancelScope()
        self._ended = False

    def __repr__(self) -> str:
        return f"<Lines of descriptor {self._source}>"

    def end(self) -> None:
        """Ends the iteration, as if the other side had closed its end."""
        self._ended = True
        self._waiting.cancel()

    def __aiter__(self) -> Lines:
        return self

    async def __anext__(self) -> str:
        while not self._lines:
            chunk = await self._read()
            if not chunk:
                raise StopAsyncIteration
            *lines, self._rest = (self._rest + chunk).split(b"\n")
            self._lines = lines[::-1]
        return self._lines.pop().decode("utf-8", "replace")

    async def _read(self) -> bytes:
        if not self._ended:
            with anyio.CancelScope() as self._waiting:
                await _readable(self._source)
        return b"" if self._ended else os.read(self._source, _CHUNK)


class Writer:
    """A descriptor as an anyio file is written to. Never more is written at once than a pipe takes without blocking."""

    def __init__(self, sink: int) -> None:
        self._sink = sink

    def __repr__(self) -> str:
        return f"<Writer to descriptor {self._sink}>"

    async def write(self, text: str) -> None:
        """Writes a text, as soon as the other side reads."""
        left = memoryview(text.encode("utf-8", "replace"))
        while left:
            await _writable(self._sink)
            left = left[os.write(self._sink, left[: select.PIPE_BUF]) :]

    async def flush(self) -> None:
        """There is nothing to flush."""


async def _readable(source: int) -> None:
    try:
        await anyio.wait_readable(source)
    except PermissionError:
        pass  # a file, which can always be read


async def _writable(sink: int) -> None:
    try:
        await anyio.wait_writable(sink)
    except PermissionError:
        pass  # a file, as above
