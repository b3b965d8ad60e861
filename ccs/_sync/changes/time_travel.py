# Generated from ccs/_async/changes/time_travel.py by scripts/twin. Do not edit.
"""Time travel: a context as it stood, and what has changed since, as far back as the journal goes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from ccs._core.changes.time_travel import Moment, alive_at, net_changes, undo, without_due
from ccs._core.commits.calls import entries_call, info_call
from ccs._core.commits.entry import to_entry
from ccs._core.commits.journal import Record
from ccs._core.names.pattern import Matcher
from ccs._sync.changes.journal_backwards import newest_first
from ccs._sync.handle import Place
from ccs.errors import ContextGone, HistoryCompacted, InvalidValue
from ccs.types import Change, Snapshot

__all__ = ["diff", "snapshot_at"]


def snapshot_at(place: Place, when: int | datetime, matcher: Matcher) -> Snapshot:
    """The entries that matched after the commit of a revision, or at a moment."""
    moment = Moment.of(when)
    found = place.opening.call(entries_call(place.keys, matcher.selectors, matcher.matches, due=True))
    _check_past(place, moment, found.revision)
    entries = found.entries
    stands = found.revision
    now = found.now * 1000
    at = now
    for record in _backwards(place, found.revision):
        at = min(now, moment.stood(record))
        if moment.covers(record):
            break
        undo(entries, record, matcher)
        stands = record.previous
    else:
        at = _check_reached(moment, stands, at, place.address)
    alive = alive_at(entries, at) if stands else {}
    return Snapshot({path: to_entry(path, alive[path]) for path in sorted(alive)}, stands)


def diff(place: Place, since: int | datetime, until: int | datetime | None, matcher: Matcher) -> list[Change]:
    """The net changes of a stretch of history."""
    start, end = Moment.of(since), None if until is None else Moment.of(until)
    newest = place.opening.call(info_call(place.keys, place.address)).revision
    _check_past(place, start, newest)
    records, stands, began = [], newest, 0
    for record in _backwards(place, newest):
        began = start.stood(record)
        if start.covers(record):
            break
        records.append(record)
        stands = record.previous
    else:
        began = _check_reached(start, stands, began, place.address)
    records.reverse()
    counted = (without_due(each, began) for each in records if end is None or end.covers(each))
    return net_changes(counted, place.address, matcher)


def _backwards(place: Place, newest: int) -> Iterator[Record]:
    """The records up to a revision, the newest first, each the one before the last."""
    expected = newest
    for record in newest_first(place, None, newest):
        if record.revision != expected:
            return
        yield record
        expected = record.previous


def _check_past(place: Place, moment: Moment, newest: int) -> None:
    if moment.revision and not newest:
        raise ContextGone(place.address)
    if moment.revision and moment.revision > newest:
        raise InvalidValue(f"revision {moment.revision} lies ahead of {place.address}, which is at {newest}")


def _check_reached(moment: Moment, stands: int, oldest: int, address: str) -> int:
    """The journal has ended, `stands` before its oldest record: when that was, as far as is known, if it is far enough back."""
    if stands and not moment.is_reached_by(stands):
        raise HistoryCompacted(moment.revision or 0, stands, address)
    # Revisions are times in microseconds, unless the clock was behind.
    return min(stands, oldest)
