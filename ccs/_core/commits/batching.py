"""Which of the commits that wait travel together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from ccs._core.commits.commit import Commit
from ccs._core.retry import Patience

__all__ = ["Group", "Pending", "Waiting", "group"]

_MOST, _MOST_BYTES = 512, 1024 * 1024

A = TypeVar("A")
W = TypeVar("W", bound="Pending")


class Pending(Protocol):
    """Who waits with a commit."""

    @property
    def commit(self) -> Commit:
        """What is asked for."""

    @property
    def since(self) -> float:
        """Since when, in monotonic seconds."""


@dataclass(slots=True)
class Waiting(Generic[A]):
    """A commit, since when it waits (monotonic seconds), and where its answer goes."""

    commit: Commit
    since: float
    answer: A


_not_yet = partial(Patience, 0.0)


@dataclass(slots=True)
class Group(Generic[W]):
    """Commits that travel together, under the number that makes sending them again harmless.

    With `behind`, they travel while the group of that number has no answer yet. `begun` is the moment at which they were
    first sent, in whatever terms their sender has. `patience` is that of whoever sends them.
    """

    number: int
    members: Sequence[W]
    behind: int | None = None
    begun: Any = None
    patience: Patience = field(default_factory=_not_yet)

    @property
    def commits(self) -> list[Commit]:
        """What travels."""
        return [waiting.commit for waiting in self.members]


def group(waiting: Sequence[W], most: int = _MOST) -> Sequence[W]:
    """The next group, from the head of the queue: bounded in number and bytes, so that nobody else waits long."""
    if len(waiting) == 1:
        return waiting[:]
    first, size = waiting[: min(most, _MOST)], 0
    for index, asking in enumerate(first):
        size += asking.commit.weight
        if size > _MOST_BYTES and index:
            return first[:index]
    return first
