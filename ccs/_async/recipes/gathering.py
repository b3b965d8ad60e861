"""The parties that wait at one barrier in one store: nobody wakes at each arrival, only for what concerns it.

All wake when the barrier is made, opened or removed; a party wakes when its own arrival changes, and one when all have
arrived, to open the barrier.
"""

from __future__ import annotations

import random
import time
from collections.abc import Iterable, Mapping
from typing import Self

from ccs._async.engine import Engine
from ccs._async.recipes.crowd import Crowd, SharedPicture
from ccs._core.names.pattern import escape
from ccs._core.recipes.barrier import Arrival, is_full
from ccs.types import Entry

__all__ = ["Gathering"]

# Seconds for the last party to open the barrier, and a random part as much again; then another one does.
_GRACE = 0.1


class Gathering(Crowd[SharedPicture]):
    """All parties at one barrier, as far as they wait in one store."""

    def __init__(self, engine: Engine, address: str, root: str) -> None:
        super().__init__(engine, address, root)
        self._root = root
        # When another party than the last may open the barrier (monotonic), while it is full and closed.
        self._opens: float | None = None
        # The arrival that was written last.
        self._last: str | None = None

    @classmethod
    def of(cls, engine: Engine, address: str, root: str) -> Self:
        """Returns what all parties at this barrier in this store share."""
        return engine.common(("barrier", address, root), lambda: cls(engine, address, root))

    @property
    def entries(self) -> Mapping[str, Entry]:
        """The barrier and its arrivals, in the order in which they were written. Another thread may be changing them."""
        return self._picture.entries if self._picture else {}

    @property
    def seen(self) -> int:
        """The revision of these entries."""
        return self._seen

    def opens_at(self, arrival: Arrival) -> float:
        """Returns from when on (monotonic) a party may open a full barrier: the last to arrive at once, others later."""
        return 0.0 if arrival.path == self._last else self._opens or 0.0

    def _new_picture(self) -> SharedPicture:
        return SharedPicture(self._engine, self._address, (escape(self._root), f"{escape(self._root)}/**"))

    def _note(self, picture: SharedPicture) -> Iterable[str | None]:
        touched = picture.touched
        picture.touched = set()
        self._last = next((path for path in reversed(picture.entries) if path != self._root), None)
        if not is_full(picture.entries, self._root):
            self._opens = None
        elif self._opens is None:
            self._opens = time.monotonic() + _GRACE * (1 + random.random())
        return list(self._waiting) if self._root in touched else [*touched, self._next()]

    def _next(self) -> str | None:
        return None if self._opens is None else self._last
