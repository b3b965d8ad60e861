"""Which of the commits that wait travel together."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Generic, NamedTuple, Protocol, TypeVar

from ccs._core.commit import Commit

__all__ = ["Ahead", "Group", "Waiting", "copy_of", "group"]

_MOST, _MOST_BYTES = 512, 1024 * 1024

A = TypeVar("A")
E = TypeVar("E", bound=BaseException)


class Waiting(NamedTuple, Generic[A]):
    """A commit, since when it waits (monotonic seconds), and where its answer goes."""

    commit: Commit
    since: float
    answer: A


class Ahead(Protocol):
    """A group that was sent before and has no answer yet."""

    number: int

    async def answered(self) -> None:
        """Waits for its answer, whatever that is."""


@dataclass(frozen=True, slots=True)
class Group(Generic[A]):
    """Commits that travel together, under the number that makes sending them again harmless."""

    number: int
    members: list[Waiting[A]]
    behind: Ahead | None = None

    @property
    def commits(self) -> list[Commit]:
        """What travels."""
        return [waiting.commit for waiting in self.members]

    @property
    def since(self) -> float:
        """Since when the first of them waits."""
        return self.members[0].since


def group(waiting: deque[Waiting[A]], number: int, most: int = _MOST) -> Group[A]:
    """Takes the next group off the queue, in order: bounded in number and bytes, so that nobody else waits long."""
    members: list[Waiting[A]] = []
    size = 0
    while waiting and len(members) < min(most, _MOST) and (not members or size + waiting[0].commit.size <= _MOST_BYTES):
        size += waiting[0].commit.size
        members.append(waiting.popleft())
    return Group(number, members)


def copy_of(error: E) -> E:
    """The same error for another caller, who may raise it at the same time."""
    twin = error.__class__.__new__(error.__class__, *error.args)
    twin.args = error.args
    twin.__dict__.update(error.__dict__)
    twin.__cause__ = error.__cause__
    return twin
