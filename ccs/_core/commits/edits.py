"""Edits that a transaction makes at its end: what they do to an entry, and as which operation the server does them unseen.

The server can add to a small integer, append to a list and move a deadline without the client reading the entry first. So
such edits conflict with nobody. Other edits, and these on top of others, are computed from the entry that was read.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from ccs._core.codec import decode
from ccs._core.commits.operations import Operation, append_op, increment_op, renew_op
from ccs._core.values.edits import SMALL, added, appended, merged

__all__ = ["MISSING", "Append", "Edit", "Increment", "Merge", "Renew", "State", "edited", "renews", "unseen"]

MISSING = object()
"""The value of an entry that does not exist."""


@dataclass(frozen=True, slots=True)
class State:
    """An entry as a transaction leaves it: its value, and its ttl in milliseconds unless it keeps its deadline."""

    value: Any
    ttl: int | None = None
    keeps_deadline: bool = False

    def of(self, default: Any) -> Any:
        """Returns the value, or the default if there is no entry."""
        return default if self.value is MISSING else self.value


@dataclass(frozen=True, slots=True)
class Increment:
    """Adds to a number, or to 0."""

    by: int | float

    def apply(self, path: str, state: State) -> State:
        """Returns the entry after it. Raises `InvalidValue` if the value cannot be changed so; all edits do."""
        return replace(state, value=added(path, state.of(0), self.by))


@dataclass(frozen=True, slots=True)
class Append:
    """Appends encoded items to a list, or to a new one, of which the last `most` are kept."""

    items: Sequence[bytes]
    most: int | None

    def apply(self, path: str, state: State) -> State:
        """As for `Increment`."""
        return replace(state, value=appended(path, state.of([]), [*map(decode, self.items)], self.most))


@dataclass(frozen=True, slots=True)
class Merge:
    """Merges a patch into a map, or into an empty one."""

    patch: dict[Any, Any]

    def apply(self, path: str, state: State) -> State:
        """As for `Increment`."""
        return replace(state, value=merged(path, state.of({}), self.patch))


@dataclass(frozen=True, slots=True)
class Renew:
    """Moves a deadline, if there is an entry; None: removes it."""

    ttl: int | None

    def apply(self, path: str, state: State) -> State:
        """Returns the entry after it."""
        return state if state.value is MISSING else State(state.value, self.ttl)


Edit = Increment | Append | Merge | Renew


def edited(path: str, state: State, edits: Sequence[Edit]) -> State:
    """Returns an entry after some edits."""
    for edit in edits:
        state = edit.apply(path, state)
    return state


def renews(edits: Sequence[Edit]) -> bool:
    """Returns whether the edits only move the deadline."""
    return all(isinstance(edit, Renew) for edit in edits)


def unseen(path: str, edits: Sequence[Edit], limit: int) -> Operation | None:
    """Returns the operation that makes these edits without a read, of a value of at most `limit` bytes, or None."""
    steps = [edit.by for edit in edits if isinstance(edit, Increment)]
    appends = [edit for edit in edits if isinstance(edit, Append) and edit.most is None]
    if len(steps) == len(edits) and all(isinstance(step, int) for step in steps) and abs(sum(steps)) < SMALL:
        return increment_op(path, int(sum(steps)))
    if len(appends) == len(edits):
        items = [item for edit in appends for item in edit.items]
        return append_op(path, len(items), b"".join(items), limit)
    last = edits[-1]
    return renew_op(path, last.ttl, lasting=True) if renews(edits) and isinstance(last, Renew) else None
