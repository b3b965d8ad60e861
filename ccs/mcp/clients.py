"""The clients of a server: each has a toolset of its own, which keeps what its model has seen, claimed and received.

Over stdio there is one. Over HTTP an older client has a session. The protocol of 2026-07-28 knows none, so there a client is
whoever uses a token. Who is not heard for half an hour is taken for gone: what it held is given back.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Hashable, Mapping
from contextlib import AsyncExitStack
from typing import Any

import ccs.aio as ccs
from ccs._core.tools.result import ToolResult

__all__ = ["Clients"]

_SILENCE = 1800.0
# What these do depends on what the model did before. The others may run beside each other.
_IN_TURN = {"briefing": "briefing", "claim": "claims", "release": "claims", "inbox": "inbox"}


class Client:
    """One client: its toolset, how many calls run, and when it was last heard."""

    def __init__(self, toolset: ccs.Toolset, now: float) -> None:
        self.toolset = toolset
        self.running = 0
        self.heard = now
        self._turns = {name: asyncio.Lock() for name in _IN_TURN.values()}

    def __repr__(self) -> str:
        return f"<Client with {self.running} calls>"

    async def call(self, name: str, arguments: Mapping[str, Any] | None) -> ToolResult:
        """Calls a tool, after those calls on which it depends."""
        async with AsyncExitStack() as stack:
            if name in _IN_TURN:
                await stack.enter_async_context(self._turns[_IN_TURN[name]])
            return await self.toolset.call(name, arguments)


class Clients:
    """All clients of a server, each by its key. `make` makes a toolset."""

    def __init__(self, make: Callable[[], ccs.Toolset], silence: float = _SILENCE) -> None:
        self._make = make
        self._silence = silence
        self._all: dict[Hashable, Client] = {}
        self._sweeper: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Clients, {len(self._all)} of them>"

    async def call(self, key: Hashable, name: str, arguments: Mapping[str, Any] | None) -> ToolResult:
        """Calls a tool for the client of a key; the one client over stdio has the key None, and is never taken for gone."""
        client = self._of(key)
        client.running += 1
        try:
            return await client.call(name, arguments)
        finally:
            client.running -= 1
            client.heard = _now()

    async def leave(self, key: Hashable) -> None:
        """Gives back what a client holds, which has gone."""
        client = self._all.pop(key, None)
        if client:
            await client.toolset.aclose()

    async def aclose(self) -> None:
        """Gives back what all of them hold."""
        if self._sweeper:
            self._sweeper.cancel()
            await asyncio.wait([self._sweeper])
        await asyncio.gather(*map(self.leave, list(self._all)))

    def _of(self, key: Hashable) -> Client:
        if key not in self._all:
            self._all[key] = Client(self._make(), _now())
            if key is not None and self._sweeper is None:
                self._sweeper = asyncio.create_task(self._sweep())
        return self._all[key]

    async def _sweep(self) -> None:
        while True:
            await asyncio.sleep(self._silence / 10)
            since = _now() - self._silence
            for key, client in list(self._all.items()):
                if key is not None and not client.running and client.heard < since:
                    await self.leave(key)


def _now() -> float:
    return asyncio.get_running_loop().time()
