"""The naive way, blocking: SET, then PUBLISH, of JSON, with redis-py; a thread that listens."""

from __future__ import annotations

import json
import threading
from typing import Any

import redis

from benchmarks.client import Callback

__all__ = ["NaiveBlocking"]


class NaiveBlocking:
    """A key a path, and a channel of the same name, so that the value is encoded once."""

    def __init__(self, url: str, room: str, callers: int) -> None:
        self._redis: Any = redis.Redis.from_url(url, max_connections=callers + 1000)
        self._room = room
        self._listeners: list[tuple[Any, threading.Thread]] = []

    def put(self, path: str, value: Any) -> object:
        """`SET`, `PUBLISH`: two round trips."""
        data = json.dumps(value)
        self._redis.set(f"{self._room}:{path}", data)
        return self._redis.publish(f"{self._room}:{path}", data)

    def get(self, path: str) -> Any:
        """`GET`, and JSON."""
        data: Any = self._redis.get(f"{self._room}:{path}")
        return json.loads(data)

    def subscribe(self, callback: Callback) -> None:
        """`PSUBSCRIBE` on a connection of its own."""
        pubsub = self._redis.pubsub()
        pubsub.psubscribe(f"{self._room}:*")
        pubsub.get_message(timeout=5)
        thread = threading.Thread(target=self._listen, args=(pubsub, callback), name="naive listener")
        thread.start()
        self._listeners.append((pubsub, thread))

    def close(self) -> None:
        """Ends the listeners, then the pool."""
        for pubsub, thread in self._listeners:
            pubsub.punsubscribe()
            thread.join(10)
            pubsub.close()
        self._redis.close()

    def _listen(self, pubsub: Any, callback: Callback) -> None:
        start = len(self._room) + 1
        for message in pubsub.listen():  # ends when nothing is subscribed any more
            if message["type"] == "pmessage":
                callback(message["channel"][start:].decode(), json.loads(message["data"]))
