"""A backlog: what waits between the dispatcher and one store watch: the records of all contexts, bounded, and doubts.

Only the dispatcher puts records, in one thread at a time, and only the consumer takes them. Each attribute has one writer,
so no lock is needed.
"""

from __future__ import annotations

from collections import deque

from ccs._core.commits.journal import Record

__all__ = ["Backlog"]


class Backlog:
    """Records with their addresses, in the order of their messages. It holds `limit` records or `limit_bytes` bytes."""

    def __init__(self, limit: int, limit_bytes: int) -> None:
        self._limit = max(1, limit)
        self._limit_bytes = max(1, limit_bytes)
        self._records: deque[tuple[str, Record]] = deque()
        self._doubted: deque[str] = deque()
        self._put_bytes = 0
        self._taken_bytes = 0

    def __repr__(self) -> str:
        return f"<Backlog of {len(self._records)} records>"

    def __len__(self) -> int:
        return len(self._records)

    def put(self, address: str, record: Record) -> bool:
        """Adds a record. Returns False if there is no room for it; a single one always has room."""
        held = self._put_bytes - self._taken_bytes
        if len(self._records) >= self._limit or (held and held + record.size > self._limit_bytes):
            return False
        self._put_bytes += record.size
        self._records.append((address, record))
        return True

    def take(self) -> tuple[str, Record]:
        """Removes and returns the oldest record and its address."""
        address, record = self._records.popleft()
        self._taken_bytes += record.size
        return address, record

    def doubt(self, address: str) -> None:
        """Notes that records of a context may be missing: its journal has to be read."""
        self._doubted.append(address)

    @property
    def doubted(self) -> tuple[str, ...]:
        """The addresses that were noted."""
        return tuple(self._doubted.copy())

    def forget_doubts(self, count: int) -> None:
        """Removes so many addresses, those that were noted first: after they were taken, so that no interrupt loses one."""
        for _ in range(count):
            self._doubted.popleft()
