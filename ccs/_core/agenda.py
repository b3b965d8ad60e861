"""An agenda: what to do when. A key has at most one appointment, the earliest."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Agenda"]

K = TypeVar("K", bound=Hashable)


class Agenda(Generic[K]):
    """Due times by key. Times are on whatever clock the caller uses."""

    def __init__(self) -> None:
        self._when: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._when)

    def __repr__(self) -> str:
        return f"<Agenda of {len(self)}, next at {self.next()}>"

    def plan(self, key: K, when: float) -> bool:
        """Makes an appointment, unless the key has an earlier one. Returns whether it is now the earliest of all."""
        if when >= self._when.get(key, float("inf")):
            return False
        self._when[key] = when
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, key))
        return self._heap[0][2] == key

    def covers(self, key: K, when: float) -> bool:
        """Returns whether the key has an appointment at `when` or earlier. Any thread may call this."""
        return self._when.get(key, float("inf")) <= when

    def cancel(self, key: K) -> None:
        """Removes the appointment of a key, if it has one."""
        self._when.pop(key, None)

    def next(self) -> float | None:
        """Returns the time of the earliest appointment, or None."""
        while self._heap and self._when.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[K]:
        """Removes all appointments up to `now`. Returns their keys."""
        found = []
        while self._is_due(now):
            key = heapq.heappop(self._heap)[2]
            del self._when[key]
            found.append(key)
        return found

    def _is_due(self, now: float) -> bool:
        when = self.next()
        return when is not None and when <= now
