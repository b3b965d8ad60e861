"""The naive way, asyncio: SET, then PUBLISH, of JSON, with redis-py; a task that listens."""

from __future__ import annotations

import asyncio
import json
from typing import Any

import redis.asyncio as redis

from benchmarks.client import Callback

__all__ = ["NaiveAsync"]


class NaiveAsync:
    """A key a path, and a channel of the same name, so that the value is encoded once."""

    def __init__(self, url: str, room: str, callers: int) -> None:
        self._redis = redis.Redis.from_url(url, max_connections=callers + 1000)
        self._room = room
        self._listeners: list[tuple[Any, asyncio.Task[None]]] = []

    @classmethod
    async def connect(cls, url: str, room: str, callers: int) -> NaiveAsync:
        """redis-py connects with the first command."""
        return cls(url, room, callers)

    async def put(self, path: str, value: Any) -> object:
        """`SET`, `PUBLISH`: two round trips."""
        data = json.dumps(value)
        await self._redis.set(f"{self._room}:{path}", data)
        return await self._redis.publish(f"{self._room}:{path}", data)

    async def get(self, path: str) -> Any:
        """`GET`, and JSON."""
        data: Any = await self._redis.get(f"{self._room}:{path}")
        return json.loads(data)

    async def subscribe(self, callback: Callback) -> None:
        """`PSUBSCRIBE` on a connection of its own."""
        pubsub = self._redis.pubsub()
        await pubsub.psubscribe(f"{self._room}:*")
        await pubsub.get_message(timeout=5)
        task = asyncio.create_task(self._listen(pubsub, callback), name="naive listener")
        self._listeners.append((pubsub, task))

    async def aclose(self) -> None:
        """Ends the listeners, then the pool."""
        for pubsub, task in self._listeners:
            task.cancel()
            await asyncio.wait([task])
            await pubsub.aclose()
        await self._redis.aclose()

    async def _listen(self, pubsub: Any, callback: Callback) -> None:
        start = len(self._room) + 1
        async for message in pubsub.listen():
            if message["type"] == "pmessage":
                callback(message["channel"][start:].decode(), json.loads(message["data"]))
