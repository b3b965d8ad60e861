"""CCS, asyncio."""

from __future__ import annotations

from typing import Any

import ccs.aio as ccs
from benchmarks.client import Callback

__all__ = ["AsyncStore"]


class AsyncStore:
    """One store and one task in it."""

    def __init__(self, store: ccs.Store) -> None:
        self.store = store
        self.task = store.task("bench")

    @classmethod
    async def connect(cls, url: str, room: str, callers: int) -> AsyncStore:
        """Enters a store of its own."""
        return cls(await ccs.connect(url, agent="bench", namespace=room).__aenter__())

    async def put(self, path: str, value: Any) -> object:
        """`set`."""
        return await self.task.set(path, value)

    async def get(self, path: str) -> Any:
        """`get`."""
        return await self.task.get(path)

    async def subscribe(self, callback: Callback) -> None:
        """`subscribe` to everything in the task, with a coroutine function as its users would."""

        async def called_back(change: ccs.Change) -> None:
            callback(change.path, change.value)

        await self.task.subscribe("**", called_back).ready()

    async def cursor(self) -> int:
        """Where history stands."""
        return self.task.last_revision

    async def catch_up(self, cursor: int, count: int) -> None:
        """Receives so many changes from after the cursor."""
        async with self.task.watch(since=cursor) as changes:
            for _ in range(count):
                await anext(changes)

    async def aclose(self) -> None:
        """Leaves the store."""
        await self.store.aclose()
