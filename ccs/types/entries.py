"""What stands at a path, and what changes there: entries, changes, events, snapshots."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

__all__ = ["Change", "Entry", "Event", "Operation", "Snapshot"]

Operation = Literal["set", "delete", "expire", "gone", "missed"]


@dataclass(frozen=True, slots=True)
class Entry:
    """The value at a path, and who wrote it when. `version` counts the writes of the path, `revision` is the context's.

    Times are aware datetimes in UTC, by the server's clock. `expires_at` is None if the entry does not expire.
    """

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
    """One change of one path, as watches and history deliver it.

    `previous` is the value before, None if there was none; then `created` is true. `version` is that of the entry after the
    change; for a removal, that of the removed entry.

    Two operations come only from `store.watch`, with an empty `path`. `gone`: the context has ended. `missed`: commits
    were not received before their contexts ended, the last ones or all; `value` lists the addresses of these contexts as far
    as they are known, and `context` is the address if there is just one, else "".
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


@dataclass(frozen=True, slots=True)
class Event:
    """Something that was published in a context, in order with its commits. It leaves no entry."""

    topic: str
    data: Any
    agent: str
    at: datetime
    revision: int
    context: str


@dataclass(frozen=True, slots=True, repr=False)
class Snapshot(Mapping[str, Entry]):
    """The matching entries of a context at one moment, right after the commit of `revision`. A mapping by path."""

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
