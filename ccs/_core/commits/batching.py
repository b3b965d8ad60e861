"""Group commit, decided: which of the waiting commits are sent together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from ccs._core.commits.commit import Commit
from ccs._core.retry import Patience
from ccs.types import Durability

__all__ = ["Group", "Pending", "Waiting", "group", "one_durability"]

# The most commits and bytes of a group.
_MOST = 512
_MOST_BYTES = 1024 * 1024

A = TypeVar("A")
W = TypeVar("W", bound="Pending")


class Pending(Protocol):
    """A commit that waits to be sent."""

    @property
    def commit(self) -> Commit:
        """The commit."""

    @property
    def since(self) -> float:
        """Since when it waits, in monotonic seconds."""

    @property
    def durability(self) -> Durability | None:
        """How safe it has to be before it is answered; None: applied is enough."""


@dataclass(slots=True)
class Waiting(Generic[A]):
    """A commit that waits since `since` (monotonic seconds), and the object that takes its answer.

    With `durability`, it is answered once it is as safe as that.
    """

    commit: Commit
    since: float
    answer: A
    durability: Durability | None = None


_not_yet = partial(Patience, 0.0)


@dataclass(slots=True)
class Group(Generic[W]):
    """Commits that are sent together, under the number that makes a retry harmless.

    With `behind`, they are sent while the group of that number has no answer yet. `begun` is when they were first sent,
    on whatever clock their sender uses. `patience` is the sender's, and so is `wait`, which some of them have to end before
    they are answered.
    """

    number: int
    members: Sequence[W]
    behind: int | None = None
    begun: Any = None
    patience: Patience = field(default_factory=_not_yet)
    wait: Any = None

    @property
    def commits(self) -> list[Commit]:
        """The commits."""
        return [member.commit for member in self.members]


def group(waiting: Sequence[W], most: int = _MOST) -> Sequence[W]:
    """Returns the next group, from the head of the queue. Number and bytes are bounded, so that no other waits long."""
    if len(waiting) == 1:
        return waiting[:]
    first = waiting[: min(most, _MOST)]
    size = 0
    for index, pending in enumerate(first):
        size += pending.commit.weight
        if size > _MOST_BYTES and index:
            return first[:index]
    return first


def one_durability(waiting: Sequence[W]) -> tuple[Sequence[W], Durability | None]:
    """Returns the head of the queue that one batch can hold, and how safe it has to be before the last is answered.

    Commits that only have to be applied travel with a durable one before them, as their answers come first. If they are
    first, they go by themselves: nothing is to keep them waiting.
    """
    asked = waiting[0].durability
    for index, pending in enumerate(waiting):
        if pending.durability != asked and (asked is None or pending.durability is not None):
            return waiting[:index], asked
    return waiting, asked
