"""What a store counts."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import fields
from threading import get_ident

from ccs.types import StoreStats

__all__ = ["Counters"]


class Counters:
    """Counts that any thread may raise.

    Each thread has its own, so there is no lock: a signal handler or a finalizer could wait for one that its own thread
    holds. One that comes in the middle of raising a count may be missing in it.
    """

    def __init__(self) -> None:
        self._counts: defaultdict[int, dict[str, int]] = defaultdict(_zeros)

    def add(self, name: str, amount: int = 1) -> None:
        """Raises one count."""
        self._counts[get_ident()][name] += amount

    def add_batch(self, commits: int) -> None:
        """Counts one batch of so many commits."""
        counts = self._counts[get_ident()]
        counts["batches"] += 1
        counts["commits"] += commits

    def frozen(self) -> StoreStats:
        """The counts as they stand."""
        total: Counter[str] = Counter()
        for counts in list(self._counts.values()):
            total.update(counts.copy())
        return StoreStats(**total)


def _zeros() -> dict[str, int]:
    return dict.fromkeys((each.name for each in fields(StoreStats)), 0)
