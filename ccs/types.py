"""The values that users get: frozen, typed, and without a connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

__all__ = [
    "Change",
    "ClaimInfo",
    "ContextInfo",
    "Decision",
    "Entry",
    "Episode",
    "Event",
    "Fact",
    "Match",
    "Member",
    "MemoryEvent",
    "Operation",
    "Procedure",
    "Snapshot",
    "StoreStats",
]

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

    Two operations come only from `store.watch`, with an empty `path`. `gone`: the context has ended. `missed`: contexts
    came and went while the watch could not receive; `value` lists their addresses as far as they are known, and
    `context` is the address if there is just one, else "".
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


@dataclass(frozen=True, slots=True)
class MemoryEvent:
    """A change of a key in one scope of memory. `scope_id` is the id of the workflow, session or actor."""

    key: str
    data: Any
    previous_data: Any
    scope: str
    scope_id: str
    timestamp: datetime
    agent: str
    action: Operation
    revision: int


@dataclass(frozen=True, slots=True)
class ClaimInfo:
    """A claim: its holder, its fencing token, since when it is held, and when it expires unless it is renewed."""

    resource: str
    holder: str
    token: int
    claimed_at: datetime
    expires_at: datetime
    note: Any = None


@dataclass(frozen=True, slots=True)
class Member:
    """A member of a context. One agent may be several members, with different `id`s.

    `seen_at` is when its presence was last renewed, by the server's clock. The entry of its presence is `@members/<id>`.
    """

    agent: str
    role: str | None
    joined_at: datetime
    seen_at: datetime
    meta: Any
    id: str


@dataclass(frozen=True, slots=True)
class Decision:
    """The decision of an agreement, the same for all parties. It is true if they `committed`.

    `votes` are those of the parties that had voted by then. `reason` says in words what decided.
    """

    name: str
    committed: bool
    votes: Mapping[str, bool]
    decided_at: datetime
    reason: str

    def __bool__(self) -> bool:
        return self.committed


@dataclass(frozen=True, slots=True)
class Fact:
    """A fact in semantic memory. `superseded_by` is the id of the fact that replaced it, if one did."""

    id: str
    content: str
    metadata: dict[str, Any]
    agent: str
    stored_at: datetime
    expires_at: datetime | None = None
    superseded_by: str | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """A result of a search by similarity. `score` is the cosine between the query and the memory, at most 1.

    For an episode, `content` is its description, and `at` when it happened.
    """

    id: str
    content: str
    score: float
    metadata: dict[str, Any]
    agent: str
    stored_at: datetime
    at: datetime | None = None


@dataclass(frozen=True, slots=True)
class Episode:
    """Something that happened, at the time `at`. `score` is its similarity to the query of a search, else None."""

    id: str
    description: str
    at: datetime
    agent: str
    metadata: dict[str, Any]
    score: float | None = None


@dataclass(frozen=True, slots=True)
class Procedure:
    """How something is done: its steps, and the confidence in them, from 0 to 1. `agent` learned it.

    `score` is the similarity to the query of a search, else None. `successes` and `failures` count its reinforcements.
    """

    id: str
    name: str
    steps: list[Any]
    confidence: float
    agent: str
    score: float | None = None
    successes: int = 0
    failures: int = 0


@dataclass(frozen=True, slots=True)
class ContextInfo:
    """The state of a context. One that does not exist has `revision` 0 and no times. `ttl` is its idle ttl."""

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
    """Counts of what a store has done since it was made: the events that the logger `ccs` reports, and more.

    `bytes` are those of commands sent and commits received. `undelivered` are the changes and events that waited for a
    callback when the store was closed.
    """

    commits: int = 0
    batches: int = 0
    retries: int = 0
    reconnects: int = 0
    resumes: int = 0
    gaps_filled: int = 0
    deliveries: int = 0
    callback_errors: int = 0
    undelivered: int = 0
    bytes: int = 0
