"""The values that cross the boundary: frozen, typed, and free of any connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

__all__ = ["Change", "ContextInfo", "Entry", "Operation", "Snapshot", "StoreStats"]

Operation = Literal["set", "delete", "expire", "gone"]


@dataclass(frozen=True, slots=True)
class Entry:
    """The value at a path, with its provenance. `version` counts writes of the path, `revision` is the context's."""

    path: str
    value: Any
    version: int
    revision: int
    agent: str
    created_at: datetime
    updated_at: datetime
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Change:
    """One change of one path, as watches and history deliver it. `previous` is the value before, `created` says there was none.

    `version` is that of the entry after the change; for a removal, that of the entry that was removed.
    """

    context: str
    path: str
    op: Operation
    value: Any
    previous: Any
    created: bool
    version: int
    revision: int
    agent: str
    at: datetime


@dataclass(frozen=True, slots=True, repr=False)
class Snapshot(Mapping[str, Entry]):
    """The entries of a context that matched, all of one moment: the one after `revision`."""

    entries: Mapping[str, Entry]
    revision: int

    def __getitem__(self, path: str) -> Entry:
        return self.entries[path]

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __repr__(self) -> str:
        return f"<Snapshot of {len(self.entries)} entries at revision {self.revision}>"


@dataclass(frozen=True, slots=True)
class ContextInfo:
    """What is known of a context; `revision` 0 and no times where it does not exist. `ttl` is its idle ttl."""

    address: str
    revision: int = 0
    entries: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    ttl: timedelta | None = None
    finished: bool = False
    outcome: Any = None


@dataclass(frozen=True, slots=True)
class StoreStats:
    """What a store has done since it was made, in counts; the same events as the `ccs` logger reports.

    `bytes` are those of the commands sent and of the commits heard.
    """

    commits: int = 0
    batches: int = 0
    retries: int = 0
    reconnects: int = 0
    resumes: int = 0
    gaps_filled: int = 0
    deliveries: int = 0
    callback_errors: int = 0
    bytes: int = 0
