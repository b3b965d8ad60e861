"""What an observer of agents at work gets: everything that they share at one moment, and what each change means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from ccs.types.coordination import ClaimInfo, Decision, Member

__all__ = [
    "Activity",
    "ActivityKind",
    "AgreementInfo",
    "BarrierInfo",
    "InboxInfo",
    "MessageInfo",
    "Overview",
    "RunInfo",
]


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
