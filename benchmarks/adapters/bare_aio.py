"""Bare redis-py, asyncio: SET and GET of JSON text that is made beforehand. Nobody is told of anything."""

from __future__ import annotations

import json
from typing import Any

import redis.asyncio as redis

from benchmarks.client import TICKET, Callback

__all__ = ["BareAsync"]


class BareAsync:
    """What redis-py costs by itself: the floor, not a contender."""

    def __init__(self, url: str, room: str, callers: int) -> None:
        self._redis = redis.Redis.from_url(url, max_connections=callers + 1000)
        self._room = room
        self._data = json.dumps(TICKET)

    @classmethod
    async def connect(cls, url: str, room: str, callers: int) -> BareAsync:
        """redis-py connects with the first command."""
        return cls(url, room, callers)

    async def put(self, path: str, value: Any) -> object:
        """`SET`."""
        return await self._redis.set(f"{self._room}:{path}", self._data)

    async def get(self, path: str) -> Any:
        """`GET`: the bytes as they are."""
        return await self._redis.get(f"{self._room}:{path}")

    async def subscribe(self, callback: Callback) -> None:
        """There is nothing to subscribe to."""
        raise NotImplementedError

    async def aclose(self) -> None:
        """Closes the pool."""
        await self._redis.aclose()
