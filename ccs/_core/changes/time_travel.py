"""Time travel within a journal, as arithmetic on its records: past entries, and net changes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import NamedTuple

from ccs._core.changes.record_changes import changes_of
from ccs._core.commits.entry import RawEntry, parse_entry
from ccs._core.commits.journal import Record, RecordOperation
from ccs._core.names.pattern import Matcher
from ccs._core.number_checks import integer
from ccs._core.times import to_micros
from ccs.types import Change

__all__ = ["Moment", "alive_at", "net_changes", "undo", "without_due"]

_EXPIRED = b"x"
_WRITING = frozenset((b"s", b"d", _EXPIRED))


class Moment(NamedTuple):
    """A point in the past: right after the commit of a revision, or a time in server microseconds."""

    revision: int | None
    at: int

    @classmethod
    def of(cls, when: int | datetime, name: str = "the revision") -> Moment:
        """Returns the moment that a caller means. Raises `InvalidValue` unless it is a revision or an aware datetime."""
        if isinstance(when, datetime):
            return cls(None, to_micros(when))
        revision = integer(name, when, "a revision, 0 for the beginning, or an aware datetime")
        return cls(revision, 0)

    def covers(self, record: Record) -> bool:
        """Returns whether the commit had happened by then."""
        return record.at <= self.at if self.revision is None else record.revision <= self.revision

    def stood(self, record: Record) -> int:
        """Returns the time of this moment in server microseconds; of a revision, that of `record`, which committed it."""
        return self.at if self.revision is None else record.at

    def is_reached_by(self, revision: int) -> bool:
        """Returns whether the commit of `revision` had happened by then, which a time alone cannot tell."""
        return self.revision is not None and revision <= self.revision


def undo(entries: dict[str, RawEntry], record: Record, matcher: Matcher) -> None:
    """Undoes a commit: changes the entries to what they were before it."""
    for operation in reversed(record.operations):
        if operation.kind not in _WRITING or not matcher.matches(operation.path):
            continue
        if operation.before:
            entries[operation.path] = parse_entry(operation.before)
        else:
            entries.pop(operation.path, None)


def alive_at(entries: Mapping[str, RawEntry], at: int) -> dict[str, RawEntry]:
    """Returns the entries whose deadline had not passed at `at`, in server microseconds."""
    return {path: entry for path, entry in entries.items() if not entry.due(at // 1000)}


def without_due(record: Record, at: int) -> Record:
    """Returns the commit without the expiries of entries that were due at `at` already, in server microseconds."""
    kept = tuple(operation for operation in record.operations if not _had_expired(operation, at))
    return record if len(kept) == len(record.operations) else replace(record, operations=kept)


def _had_expired(operation: RecordOperation, at: int) -> bool:
    return operation.kind == _EXPIRED and parse_entry(operation.before).due(at // 1000)


def net_changes(records: Iterable[Record], address: str, matcher: Matcher) -> list[Change]:
    """Returns the net changes of some commits: at most one a path, in the order of the last change of each.

    A path that has the same value as before, or again none, has not changed.
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
    """Returns whether the value before the first change is also the value after the last."""
    if first.created or last.op != "set":
        return first.created and last.op != "set"
    return type(first.previous) is type(last.value) and bool(first.previous == last.value)
