"""What a record of the journal means to its readers: changes, events and entries."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ccs._core.codec import decode
from ccs._core.commits.entry import parse_entry, to_entry
from ccs._core.commits.journal import EVENT, OPERATIONS, Cursor, Record, RecordOperation
from ccs._core.names.pattern import Matcher
from ccs._core.times import from_micros
from ccs.types import Change, Entry, Event

__all__ = [
    "changes_and_events_of",
    "changes_of",
    "cursors_of",
    "events_of",
    "initial_change",
    "outcome_in",
    "written_by",
]


def changes_of(record: Record, address: str, matcher: Matcher) -> list[Change]:
    """Returns the matching changes of a commit, in the order of its operations. Their values are decoded anew."""
    return [
        _change(record, operation, address)
        for operation in record.operations
        if operation.kind in OPERATIONS and matcher.matches(operation.path)
    ]


def events_of(record: Record, address: str, matcher: Matcher) -> list[Event]:
    """Returns the events of a commit whose topics match, in order. Their data is decoded anew."""
    return [
        _event(record, operation, address)
        for operation in record.operations
        if operation.kind == EVENT and matcher.matches(operation.path)
    ]


def changes_and_events_of(record: Record, address: str, matcher: Matcher) -> list[Change | Event]:
    """Returns the matching changes and events of a commit, in the order of its operations."""
    found: list[Change | Event] = []
    for operation in record.operations:
        if not matcher.matches(operation.path):
            continue
        if operation.kind == EVENT:
            found.append(_event(record, operation, address))
        elif operation.kind in OPERATIONS:
            found.append(_change(record, operation, address))
    return found


def written_by(record: Record, matcher: Matcher) -> list[tuple[str, Entry | None]]:
    """Returns the matching paths that a commit wrote, each with its entry after the commit, None if it was removed."""
    return [
        (operation.path, _entry_after(operation))
        for operation in record.operations
        if operation.kind in OPERATIONS and matcher.matches(operation.path)
    ]


def _entry_after(operation: RecordOperation) -> Entry | None:
    return to_entry(operation.path, parse_entry(operation.after)) if operation.after else None


def _event(record: Record, operation: RecordOperation, address: str) -> Event:
    data = decode(operation.after)
    return Event(operation.path, data, record.agent, from_micros(record.at), record.revision, address)


def _change(record: Record, operation: RecordOperation, address: str) -> Change:
    before = parse_entry(operation.before) if operation.before else None
    after = parse_entry(operation.after) if operation.after else None
    shown = after or before
    return Change(
        context=address,
        path=operation.path,
        op=OPERATIONS[operation.kind],
        value=decode(after.value) if after else None,
        previous=decode(before.value) if before else None,
        created=after is not None and before is None,
        version=shown.version if shown else 0,
        revision=record.revision,
        agent=record.agent,
        at=from_micros(record.at),
    )


def initial_change(entry: Entry, address: str) -> Change:
    """Returns an entry that existed before the watch as the change that wrote it."""
    return Change(
        context=address,
        path=entry.path,
        op="set",
        value=entry.value,
        previous=None,
        created=entry.version == 1,
        version=entry.version,
        revision=entry.revision,
        agent=entry.agent,
        at=entry.updated_at,
    )


def cursors_of(changes: Sequence[Any], last: Cursor) -> list[Cursor | None]:
    """Returns the cursor to note with each change of a commit: only its last change completes it."""
    return [None] * (len(changes) - 1) + [last] if changes else []


def outcome_in(raw: bytes) -> Any:
    """Returns the outcome with which a context was finished; None if it was not."""
    return decode(raw) if raw else None
