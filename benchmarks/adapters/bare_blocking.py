"""Bare redis-py, blocking: SET and GET of JSON text that is made beforehand. Nobody is told of anything."""

from __future__ import annotations

import json
from typing import Any

import redis

from benchmarks.client import TICKET, Callback

__all__ = ["BareBlocking"]


class BareBlocking:
    """What redis-py costs by itself: the floor, not a contender."""

    def __init__(self, url: str, room: str, callers: int) -> None:
        self._redis = redis.Redis.from_url(url, max_connections=callers + 1000)
        self._room = room
        self._data = json.dumps(TICKET)

    def put(self, path: str, value: Any) -> object:
        """`SET`."""
        return self._redis.set(f"{self._room}:{path}", self._data)

    def get(self, path: str) -> Any:
        """`GET`: the bytes as they are."""
        return self._redis.get(f"{self._room}:{path}")

    def subscribe(self, callback: Callback) -> None:
        """There is nothing to subscribe to."""
        raise NotImplementedError

    def close(self) -> None:
        """Closes the pool."""
        self._redis.close()
