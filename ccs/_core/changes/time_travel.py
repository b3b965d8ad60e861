"""Time travel within a journal, as arithmetic on its records: what stood where, and what changed on the whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from ccs._core.checks import integer
from ccs._core.commits.entry import RawEntry, parse_entry
from ccs._core.commits.journal import Record, changes_of
from ccs._core.names.pattern import Matcher
from ccs._core.times import to_micros
from ccs.types import Change

__all__ = ["Moment", "alive_at", "net_changes", "undo", "without_due"]

_EXPIRED = b"x"
_WRITING = frozenset((b"s", b"d", _EXPIRED))


class Moment(NamedTuple):
    """A place in the past: after the commit of a revision, or a time in server microseconds."""

    revision: int | None
    at: int

    @classmethod
    def of(cls, when: int | datetime) -> Moment:
        """What a caller means; `InvalidValue` where it is neither a revision nor an aware datetime."""
        if isinstance(when, datetime):
            return cls(None, to_micros(when))
        return cls(integer("the revision", when, "a revision, 0 for the beginning, or an aware datetime"), 0)

    def covers(self, record: Record) -> bool:
        """Whether the commit had happened by then."""
        return record.at <= self.at if self.revision is None else record.revision <= self.revision

    def stood(self, record: Record) -> int:
        """The moment itself; of a revision, when it was committed, where that is the record's. In server microseconds."""
        return self.at if self.revision is None else record.at

    def is_reached_by(self, revision: int) -> bool:
        """Whether the state after a commit of which nothing is known but its revision was that of then."""
        return self.revision is not None and revision <= self.revision


def undo(entries: dict[str, RawEntry], record: Record, matcher: Matcher) -> None:
    """Takes a commit back: the entries stand as they did before it."""
    for step in reversed(record.operations):
        if step.kind not in _WRITING or not matcher.matches(step.path):
            continue
        if step.before:
            entries[step.path] = parse_entry(step.before)
        else:
            entries.pop(step.path, None)


def alive_at(entries: Mapping[str, RawEntry], at: int) -> dict[str, RawEntry]:
    """Those of the entries whose deadline had not passed at a moment, in server microseconds."""
    return {path: entry for path, entry in entries.items() if not entry.due(at // 1000)}


def without_due(record: Record, at: int) -> Record:
    """The commit, but for the end of what was past its deadline at a moment (server microseconds) already."""
    if all(step.kind != _EXPIRED for step in record.operations):
        return record
    was_due = (step.kind == _EXPIRED and parse_entry(step.before).due(at // 1000) for step in record.operations)
    return replace(
        record, operations=tuple(step for step, was in zip(record.operations, was_due, strict=True) if not was)
    )


def net_changes(records: Iterable[Record], address: str, matcher: Matcher) -> list[Change]:
    """What a stretch of history changed on the whole: at most one change a path, in the order of the last of each.

    A path at which the same value stands as before, or again nothing, has not changed.
    """
    pairs: dict[str, tuple[Change, Change]] = {}
    for record in records:
        for change in changes_of(record, address, matcher):
            first, _ = pairs.pop(change.path, (change, change))
            pairs[change.path] = first, change
    return [_joined(first, last) for first, last in pairs.values() if not _same(first, last)]


def _joined(first: Change, last: Change) -> Change:
    return replace(last, previous=first.previous, created=first.created and last.op == "set")


def _same(first: Change, last: Change) -> bool:
    """Whether what stood before the first change stands after the last."""
    if first.created or last.op != "set":
        return first.created and last.op != "set"
    return type(first.previous) is type(last.value) and bool(first.previous == last.value)
