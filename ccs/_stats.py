"""What a store counts."""

from __future__ import annotations

from dataclasses import fields
from threading import RLock

from ccs.types import StoreStats

__all__ = ["Counters"]


class Counters:
    """Counts that any thread may raise."""

    def __init__(self) -> None:
        # Re-entrant: a signal handler or a finalizer may come in between.
        self._lock = RLock()
        self._counts = {field.name: 0 for field in fields(StoreStats)}

    def add(self, name: str, amount: int = 1) -> None:
        """Raises one count."""
        with self._lock:
            self._counts[name] += amount

    def add_batch(self, commits: int) -> None:
        """Counts one batch of so many commits."""
        with self._lock:
            self._counts["batches"] += 1
            self._counts["commits"] += commits

    def frozen(self) -> StoreStats:
        """The counts as they stand."""
        with self._lock:
            return StoreStats(**self._counts)
