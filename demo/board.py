"""What the demo shows and checks, derived from nothing but the changes that its watch delivered."""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ccs.types import Change
from demo.entries import Card, place_in
from demo.names import cut

__all__ = ["Audit", "Board", "Worker", "progress"]

MARK_EVERY = 1_000
LATEST = 8
RATE_OVER = 200


@dataclass(slots=True)
class Audit:
    """An account of a feed: how many changes of how many commits, whose, in which order."""

    changes: int = 0
    commits: int = 0
    expired: int = 0
    revision: int = 0
    agents: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)
    marks: list[int] = field(default_factory=list)
    _paths: set[str] = field(default_factory=set)
    _digest: Any = field(default_factory=hashlib.blake2b)

    def add(self, change: Change) -> None:
        """Account for the next change of the feed."""
        self._follow(change)
        self.changes += 1
        self.expired += change.op == "expire"
        if change.op != "expire":
            self.agents[change.agent] += 1
        told = (change.revision, change.path, change.op, change.version, change.created, change.agent)
        self._digest.update(f"{told}\n".encode())

    def _follow(self, change: Change) -> None:
        if change.revision != self.revision:
            self._next_commit(change)
        if change.path in self._paths:
            self.faults.append(f"{change.path} came twice in revision {change.revision}")
        self._paths.add(change.path)

    def _next_commit(self, change: Change) -> None:
        if change.revision < self.revision:
            self.faults.append(f"revision {change.revision} came after {self.revision}")
        self.commits += 1
        if self.commits % MARK_EVERY == 0:
            self.marks.append(change.revision)
        self.revision = change.revision
        self._paths.clear()

    @property
    def digest(self) -> str:
        """The same for two feeds only if they had the same changes in the same order."""
        return str(self._digest.hexdigest())


@dataclass(slots=True)
class Worker:
    """What is seen of an agent: its card, the file that it holds, the findings that it committed."""

    name: str
    card: Card
    place: str | None = None
    files: int = 0
    killed: bool = False

    @property
    def state(self) -> str:
        """In a word or two."""
        return "killed" if self.killed else "done" if self.card.done else "at work"


@dataclass(slots=True)
class Board:
    """The survey as the watch tells it."""

    listed: int | None = None
    found: int = 0
    unparsed: int = 0
    reported: bool = False
    totals: dict[str, int] = field(default_factory=dict)
    complex: list[dict[str, Any]] = field(default_factory=list)
    workers: dict[str, Worker] = field(default_factory=dict)
    finished_by: dict[str, str] = field(default_factory=dict)
    lapsed_of: dict[str, list[str]] = field(default_factory=dict)
    latest: deque[Change] = field(default_factory=lambda: deque(maxlen=LATEST))
    news: list[str] = field(default_factory=list)
    audit: Audit = field(default_factory=Audit)
    _times: deque[datetime] = field(default_factory=lambda: deque(maxlen=RATE_OVER))

    @property
    def done(self) -> int:
        """How many files have findings."""
        return len(self.finished_by)

    @property
    def rate(self) -> float:
        """Files a second, over the last ones."""
        seconds = (self._times[-1] - self._times[0]).total_seconds() if self._times else 0.0
        return (len(self._times) - 1) / seconds if seconds else 0.0

    def apply(self, change: Change) -> None:
        """Take the next change in."""
        self.audit.add(change)
        self.latest.append(change)
        room = change.path.partition("/")[0]
        if room == "@claims":
            self._apply_claim(change)
        elif room == "@jobs":
            self._apply_findings(change)
        elif room == "files":
            self.found += change.op == "set"
        elif room == "agents":
            self._apply_card(change)
        else:
            self._apply_survey(change)

    def note_killed(self, agent: str, place: str) -> None:
        """The demo itself has killed an agent: the one thing here that no change tells."""
        self.workers[agent].killed = True
        self.news.append(f"{agent} was killed with -9 while it held {cut(place, 60)}")

    def _apply_survey(self, change: Change) -> None:
        match change.path:
            case "survey/listed":
                self.listed = change.value
                self.news.append(f"the surveyor has listed {change.value:,} files")
            case "report/totals":
                self.totals = change.value
            case "report/complex":
                self.complex = change.value
            case "status":
                self.reported = change.value == "reported"

    def _apply_card(self, change: Change) -> None:
        name = change.path.removeprefix("agents/")
        card = Card.model_validate(change.value)
        worker = self.workers.setdefault(name, Worker(name, card))
        worker.card = card

    def _apply_claim(self, change: Change) -> None:
        place = place_in(change.path)
        holder = (change.value if change.op == "set" else change.previous)["holder"]
        self.workers[holder].place = place if change.op == "set" else None
        if change.op == "expire":
            self.lapsed_of.setdefault(place, []).append(holder)
            self.news.append(f"the claim of {holder} on {cut(place, 60)} has lapsed")

    def _apply_findings(self, change: Change) -> None:
        place = place_in(change.path)
        if place in self.finished_by or not change.created:
            self.audit.faults.append(f"{place} was counted twice")
        self.finished_by[place] = change.agent
        self.workers[change.agent].files += 1
        self._times.append(change.at)
        if change.value["error"] is not None:
            self.unparsed += 1
        if place in self.lapsed_of:
            self.news.append(f"{change.agent} took {cut(place, 60)} over and has finished it")


def progress(board: Board) -> str:
    """How far the survey is, in a line."""
    if board.listed is None and not board.found:
        return "looking for the first file"
    total = f"{board.found:,} files found so far" if board.listed is None else f"{board.listed:,} files"
    return f"{board.done:,} of {total}, {board.rate:,.0f} a second, {board.audit.changes:,} changes seen"
