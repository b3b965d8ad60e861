"""The values that users get: frozen, typed, and without a connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Literal

from ccs.errors import InvalidValue

__all__ = [
    "Activity",
    "ActivityKind",
    "Adopted",
    "AgreementInfo",
    "BarrierInfo",
    "Change",
    "ClaimInfo",
    "ContextInfo",
    "DeadJob",
    "Decision",
    "Durability",
    "Entry",
    "Episode",
    "Event",
    "Fact",
    "Grant",
    "InboxInfo",
    "JobProgress",
    "Match",
    "Member",
    "MemoryEvent",
    "MessageInfo",
    "Operation",
    "Overview",
    "Procedure",
    "RunInfo",
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
class Adopted:
    """What `adopt` did. `applied` are the paths that it wrote or removed, in its one commit, at `revision`.

    `conflicts` are the paths that had changed on both sides, and that `on_conflict` decided. If there was nothing to
    write, `revision` is that of the context as it was read.
    """

    revision: int
    applied: tuple[str, ...]
    conflicts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grant:
    """What a user of the server may do: read the contexts in `read`, read and write those in `write`.

    Both hold addresses and globs of them. `url` is what the user connects to; it has the password only where the grant was
    just made. `rules` are the arguments of `ACL SETUSER`, with the password's SHA-256 alone. `saved` says that all servers
    have written their users to disk; None is not known.
    """

    user: str
    read: tuple[str, ...]
    write: tuple[str, ...]
    url: str = field(repr=False)
    rules: tuple[str, ...] = field(repr=False)
    saved: bool | None = None


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
    """A claim: its holder, its fencing token, since when it is held, and when it expires unless it is renewed.

    `slots` is how many agents may hold it at a time; each that does has a claim of its own. `waiting` are the agents in
    line for the resource, the first of them first.
    """

    resource: str
    holder: str
    token: int
    claimed_at: datetime
    expires_at: datetime
    note: Any = None
    slots: int = 1
    waiting: tuple[str, ...] = ()


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
class MessageInfo:
    """A message as anybody may look at it, without receiving it. `held_by` is the agent that is at it, or None.

    `attempts` is how often it was delivered.
    """

    id: str
    sender: str
    to: str
    type: str
    content: Any
    sent_at: datetime
    attempts: int
    revision: int
    held_by: str | None = None


@dataclass(frozen=True, slots=True)
class InboxInfo:
    """The inbox of a role: the messages that nobody has acknowledged, and its dead letters, each in order of sending."""

    role: str
    unread: tuple[MessageInfo, ...]
    dead: tuple[MessageInfo, ...]


@dataclass(frozen=True, slots=True)
class RunInfo:
    """A key of `once`. `state` is "running", "done" or "failed"; one whose runner was lost is "lost".

    `agent` wrote that at `at`. `error` says why the last attempt failed, else it is empty.
    """

    key: str
    state: str
    attempts: int
    agent: str
    at: datetime
    error: str = ""


@dataclass(frozen=True, slots=True)
class AgreementInfo:
    """An agreement: who decides, what they have voted so far, and the decision, None while there is none."""

    name: str
    parties: tuple[str, ...]
    votes: Mapping[str, bool]
    opened_at: datetime
    decision: Decision | None = None


@dataclass(frozen=True, slots=True)
class BarrierInfo:
    """A barrier: for how many `parties` it is, which agents wait at it, and whether it has opened."""

    name: str
    parties: int
    waiting: tuple[str, ...]
    open: bool


@dataclass(frozen=True, slots=True)
class Overview:
    """How the agents of a context work together, at one moment: right after the commit of `revision`.

    Of kinds that were not asked for, there is nothing. Claims are sorted by resource, members by when they joined, all
    others by name.
    """

    revision: int
    claims: tuple[ClaimInfo, ...] = ()
    members: tuple[Member, ...] = ()
    inboxes: tuple[InboxInfo, ...] = ()
    runs: tuple[RunInfo, ...] = ()
    agreements: tuple[AgreementInfo, ...] = ()
    barriers: tuple[BarrierInfo, ...] = ()
    policies: Mapping[str, str] = field(default_factory=dict)


ActivityKind = Literal[
    "claimed",
    "released",
    "lapsed",
    "waits",
    "stopped waiting",
    "joined",
    "left",
    "vanished",
    "sent",
    "received",
    "settled",
    "died",
    "began",
    "done",
    "failed",
    "voted",
    "decided",
    "arrived",
    "opened",
]


@dataclass(frozen=True, slots=True)
class Activity:
    """What a change of an entry of the system means: who did what to which resource, role, key or name.

    `id` tells apart what has the same name: two slots of a claim, two messages to a role, two presences of an agent.
    A message is settled when it is acknowledged, recalled or dead; a claim lapses, and a member vanishes, by expiry.
    """

    kind: ActivityKind
    name: str
    id: str
    agent: str
    at: datetime
    revision: int


@dataclass(frozen=True, slots=True)
class JobProgress:
    """How many jobs of a pool are waiting (also those that wait to be tried again), taken, done and dead."""

    waiting: int
    taken: int
    done: int
    dead: int


@dataclass(frozen=True, slots=True)
class DeadJob:
    """A job that was taken as often as allowed, and never done. `error` says why it failed the last time.

    `agent` is who had set it, `died_at` when it was given up. To try it again, set its path again.
    """

    path: str
    value: Any
    attempts: int
    error: str
    agent: str
    died_at: datetime


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
    """Counts of what a store has done since it was made.

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


_LONGEST_WAIT = 300.0


@dataclass(frozen=True, slots=True)
class Durability:
    """How safe a commit is before its call returns.

    `disk`: the primary has flushed it to its disk. `replicas`: so many replicas have it, in memory at least. A call waits
    at most `timeout` seconds for both, after the commit was applied; a timedelta becomes seconds. With neither, a commit
    is acknowledged as soon as it is applied. Raises `InvalidValue` for anything else.

        >>> ccs.Durability(replicas=1)
        Durability(disk=True, replicas=1, timeout=5.0)
    """

    disk: bool = True
    replicas: int = 0
    timeout: float | timedelta = 5.0

    def __post_init__(self) -> None:
        if not isinstance(self.disk, bool):
            raise InvalidValue(f"disk is {self.disk!r}: give True or False")
        if isinstance(self.replicas, bool) or not isinstance(self.replicas, int) or not 0 <= self.replicas < 1000:
            raise InvalidValue(f"replicas is {self.replicas!r}: give how many replicas are to have a commit, 0 or more")
        object.__setattr__(self, "timeout", _wait(self.timeout))

    @property
    def seconds(self) -> float:
        """The timeout in seconds."""
        return _wait(self.timeout)

    @property
    def waits(self) -> bool:
        """Whether there is anything to wait for."""
        return self.disk or self.replicas > 0


def _wait(timeout: object) -> float:
    value = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.001 <= value <= _LONGEST_WAIT:
        raise InvalidValue(
            f"timeout is {timeout!r}: give seconds or a timedelta, from 0.001 to {_LONGEST_WAIT:g} seconds"
        )
    return float(value)
