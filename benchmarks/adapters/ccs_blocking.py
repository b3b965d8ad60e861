"""CCS, blocking."""

from __future__ import annotations

from typing import Any

import ccs
from benchmarks.client import Callback

__all__ = ["BlockingStore"]


class BlockingStore:
    """One store and one task in it."""

    def __init__(self, url: str, room: str, callers: int) -> None:
        self.store = ccs.connect(url, agent="bench", namespace=room)
        self.store.__enter__()
        self.task = self.store.task("bench")

    def put(self, path: str, value: Any) -> object:
        """`set`."""
        return self.task.set(path, value)

    def get(self, path: str) -> Any:
        """`get`."""
        return self.task.get(path)

    def subscribe(self, callback: Callback) -> None:
        """`subscribe` to everything in the task."""
        self.task.subscribe("**", lambda change: callback(change.path, change.value))

    def cursor(self) -> int:
        """Where history stands."""
        return self.task.last_revision

    def catch_up(self, cursor: int, count: int) -> None:
        """Receives so many changes from after the cursor."""
        with self.task.watch(since=cursor) as changes:
            for _ in range(count):
                next(changes)

    def close(self) -> None:
        """Leaves the store."""
        self.store.close()
