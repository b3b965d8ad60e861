"""A history: what processes asked and were answered, what their watches delivered, and the journals, which are the truth.

Values are compared by their `mark`, a checksum of what the server stores. All times are microseconds of one machine's
clock, as revisions are.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any, NamedTuple

__all__ = ["Call", "Commit", "Delivery", "Held", "History", "Loss", "Note", "Step", "Watching"]


class Held(NamedTuple):
    """An entry as the journal holds it. `value` is decoded where a check needs it."""

    revision: int
    version: int
    agent: str
    mark: int
    expiry: int = 0
    value: Any = None

    @property
    def shown(self) -> list[Any]:
        """What a reader of an entry is shown."""
        return [self.revision, self.version, self.agent, self.mark]


class Step(NamedTuple):
    """What a commit did: `set`, `delete` or `expire` a path, publish an `event`, `finish` the context."""

    op: str
    path: str
    before: Held | None = None
    after: Held | None = None


class Commit(NamedTuple):
    """A record of the journal."""

    previous: int
    revision: int
    at: int
    identity: str
    agent: str
    steps: tuple[Step, ...]


@dataclass(slots=True)
class Call:
    """A call: what was asked, and what was answered, if anything was.

    `seen` and `knows` are the newest revision that its store had had acknowledged there, before and after. `outcome` is
    "ok" or the name of an error.
    """

    process: str
    number: int
    asked: int
    agent: str
    op: str
    address: str
    seen: int = 0
    args: dict[str, Any] = field(default_factory=dict)
    answered: int = 0
    outcome: str = ""
    knows: int = 0
    reply: dict[str, Any] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether it was acknowledged."""
        return self.outcome == "ok"

    @property
    def durable(self) -> bool:
        """Whether its commit was acknowledged by every replica, or, where there is none, by the disk."""
        return self.ok and bool(self.args.get("durable"))

    @property
    def revision(self) -> int:
        """The revision that it was answered, 0 if none."""
        return int(self.reply.get("revision", 0))


class Delivery(NamedTuple):
    """A change or event that a watch handed out. `mark` and `previous` are None where there was no value."""

    path: str
    op: str
    revision: int
    version: int
    mark: int | None
    previous: int | None
    created: bool
    agent: str


@dataclass(slots=True)
class Watching:
    """A watch, or what is called back. `kind` is "changes", "initial", "events", or, where it is not known at which
    revision it begins, "live" or "memory".

    `base` is the revision that it began after. `end` is "" while it goes on, "closed", or the name of an error; `cursor`
    is its revision then.
    """

    process: str
    name: str
    address: str
    kind: str
    patterns: tuple[str, ...]
    since: int | None
    asked: int
    entered: int = 0
    base: int = 0
    deliveries: list[Delivery] = field(default_factory=list)
    end: str = ""
    ended: int = 0
    cursor: int = 0


class Note(NamedTuple):
    """Something else that a process saw."""

    process: str
    at: int
    kind: str
    facts: dict[str, Any]


class Loss(NamedTuple):
    """A time in which servers failed in a way that may lose what not every replica had, in some contexts (None: in all)."""

    begin: int
    end: int
    addresses: frozenset[str] | None = None


@dataclass
class History:
    """All that is known of a run."""

    calls: list[Call] = field(default_factory=list)
    watches: list[Watching] = field(default_factory=list)
    notes: list[Note] = field(default_factory=list)
    journals: dict[str, list[Commit]] = field(default_factory=dict)
    entries: dict[str, dict[str, Held]] = field(default_factory=dict)
    losses: list[Loss] = field(default_factory=list)

    def excused(self, address: str, begin: int, end: int = 0) -> bool:
        """Whether something of that time, or of some of it, may have been lost; where a context was, is not known of all."""
        end = end or begin
        return any(
            loss.begin <= end
            and begin <= loss.end
            and (loss.addresses is None or address in loss.addresses or address not in self.journals)
            for loss in self.losses
        )

    def of(self, *ops: str) -> list[Call]:
        """The calls of these kinds, as they were asked."""
        return [call for call in self.calls if call.op in ops]

    def noted(self, kind: str) -> list[Note]:
        """The notes of a kind."""
        return [note for note in self.notes if note.kind == kind]

    def counts(self) -> Counter[str]:
        """The answered calls by kind."""
        return Counter(call.op for call in self.calls if call.outcome)
