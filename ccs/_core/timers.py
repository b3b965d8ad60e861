"""What is to be done when: at most one appointment a key, the earliest wins."""

from __future__ import annotations

import heapq
from collections.abc import Hashable
from typing import Generic, TypeVar

__all__ = ["Agenda"]

K = TypeVar("K", bound=Hashable)


class Agenda(Generic[K]):
    """Appointments by key, on anybody's clock."""

    def __init__(self) -> None:
        self._when: dict[K, float] = {}
        self._heap: list[tuple[float, int, K]] = []
        self._count = 0

    def __len__(self) -> int:
        return len(self._when)

    def __repr__(self) -> str:
        return f"<Agenda of {len(self)}, next at {self.next()}>"

    def plan(self, key: K, when: float) -> bool:
        """Makes an appointment unless there is an earlier one; whether it is the earliest of all now."""
        if when >= self._when.get(key, float("inf")):
            return False
        self._when[key] = when
        self._count += 1
        heapq.heappush(self._heap, (when, self._count, key))
        return self._heap[0][2] == key

    def covers(self, key: K, when: float) -> bool:
        """Whether there is an appointment of the key no later than that. Any thread may ask."""
        return self._when.get(key, float("inf")) <= when

    def cancel(self, key: K) -> None:
        """Forgets the appointment of a key, if it has one."""
        self._when.pop(key, None)

    def next(self) -> float | None:
        """When the earliest appointment is, or None."""
        while self._heap and self._when.get(self._heap[0][2]) != self._heap[0][0]:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None

    def due(self, now: float) -> list[K]:
        """The keys whose time has come; their appointments are over."""
        found = []
        while (when := self.next()) is not None and when <= now:
            key = heapq.heappop(self._heap)[2]
            del self._when[key]
            found.append(key)
        return found
