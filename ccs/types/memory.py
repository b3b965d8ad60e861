"""What memories hold, and what a search in them finds."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from ccs.types.entries import Operation

__all__ = ["Episode", "Fact", "Match", "MemoryEvent", "MemoryStats", "Procedure"]


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
    """A result of a search. `score` is the cosine between the query and the memory, at most 1, or as the search defines it.

    For an episode, `content` is its description, and `at` when it happened. `context` is the address of its context.
    """

    id: str
    content: str
    score: float
    metadata: dict[str, Any]
    agent: str
    stored_at: datetime
    at: datetime | None = None
    context: str = field(default="", compare=False)


@dataclass(frozen=True, slots=True)
class MemoryStats:
    """What the facts of a context cost a process that searches them.

    `facts` counts all, `superseded` those that no search finds. `bytes` are those of the vectors, with room for more, of
    texts and metadata as they are stored, and of the index of words, once a search has needed it; Python's objects come on
    top. `dimension` is how many numbers a vector has, 0 while no search has loaded them.
    """

    facts: int
    superseded: int
    bytes: int
    dimension: int
    loaded_at: datetime


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
