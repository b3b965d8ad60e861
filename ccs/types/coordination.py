"""What agents that work together get: claims, members, decisions, jobs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

__all__ = ["ClaimInfo", "DeadJob", "Decision", "JobProgress", "Member"]


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
