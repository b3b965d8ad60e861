"""The counts of a store."""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import fields
from threading import get_ident

from ccs.types import StoreStats

__all__ = ["Counters"]


class Counters:
    """Counts that any thread may raise.

    Each thread has its own counts, so there is no lock, for which a signal handler or a finalizer could wait while its own
    thread holds it. One that interrupts its thread while that raises a count may itself not be counted.
    """

    def __init__(self) -> None:
        self._counts: defaultdict[int, dict[str, int]] = defaultdict(_zeros)

    def add(self, name: str, amount: int = 1) -> None:
        """Raises one count."""
        self._counts[get_ident()][name] += amount

    def add_batch(self, commits: int) -> None:
        """Counts one batch of `commits` commits."""
        counts = self._counts[get_ident()]
        counts["batches"] += 1
        counts["commits"] += commits

    def frozen(self) -> StoreStats:
        """Returns the present counts."""
        total: Counter[str] = Counter()
        for counts in list(self._counts.values()):
            total.update(counts.copy())
        return StoreStats(**total)


def _zeros() -> dict[str, int]:
    return dict.fromkeys((each.name for each in fields(StoreStats)), 0)
