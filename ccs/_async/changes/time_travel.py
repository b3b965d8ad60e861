"""Time travel: the entries of a context at an earlier moment, and the net changes, as far back as the journal goes."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import datetime

from ccs._async.changes.journal_backwards import newest_first
from ccs._async.context_handle import Handle
from ccs._core.changes.time_travel import Moment, alive_at, net_changes, undo, without_due
from ccs._core.commits.entry import RawEntry, to_entry
from ccs._core.commits.journal import Record
from ccs._core.commits.script_calls import entries_call, info_call
from ccs._core.names.pattern import Matcher
from ccs.errors import ContextGone, HistoryCompacted, HistoryForked, InvalidValue
from ccs.types import Change, Snapshot

__all__ = ["diff", "entries_at", "snapshot_at"]


async def snapshot_at(handle: Handle, when: int | datetime, matcher: Matcher) -> Snapshot:
    """Returns the entries that matched right after the commit of a revision, or at a moment."""
    alive, revision = await entries_at(handle, when, matcher)
    return Snapshot({path: to_entry(path, alive[path]) for path in sorted(alive)}, revision)


async def entries_at(handle: Handle, when: int | datetime, matcher: Matcher) -> tuple[dict[str, RawEntry], int]:
    """Returns the same entries as they are stored, and the revision right after which they were alive."""
    moment = Moment.of(when)
    found = await handle.opening.call(entries_call(handle.keys, matcher.selectors, matcher.matches, due=True))
    _check_past(handle, moment, found.revision)
    revision = found.revision
    now = found.now * 1000
    at = now
    async for record in _backwards(handle, found.revision):
        at = min(now, moment.stood(record))
        if moment.covers(record):
            break
        undo(found.entries, record, matcher)
        revision = record.previous
    else:
        at = _check_reached(moment, revision, at, handle.address)
    return (alive_at(found.entries, at) if revision else {}), revision


async def diff(handle: Handle, since: int | datetime, until: int | datetime | None, matcher: Matcher) -> list[Change]:
    """Returns the net changes between two moments; `until=None` is now."""
    start = Moment.of(since)
    end = None if until is None else Moment.of(until)
    records, began = await _records_since(handle, start)
    counted = (without_due(each, began) for each in records if end is None or end.covers(each))
    return net_changes(counted, handle.address, matcher)


async def _records_since(handle: Handle, start: Moment) -> tuple[list[Record], int]:
    """Returns the records after a moment, the oldest first, and the time at which they begin, in microseconds."""
    newest = (await handle.opening.call(info_call(handle.keys, handle.address))).revision
    _check_past(handle, start, newest)
    records = []
    revision = newest
    began = 0
    async for record in _backwards(handle, newest):
        began = start.stood(record)
        if start.covers(record):
            break
        records.append(record)
        revision = record.previous
    else:
        began = _check_reached(start, revision, began, handle.address)
    records.reverse()
    return records, began


async def _backwards(handle: Handle, newest: int) -> AsyncIterator[Record]:
    """Yields the records up to a revision, the newest first. Raises `HistoryForked` if one of them was lost meanwhile."""
    expected = newest
    async for record in newest_first(handle, None, newest):
        if record.revision != expected:
            raise HistoryForked(expected, record.revision, handle.address)
        yield record
        expected = record.previous


def _check_past(handle: Handle, moment: Moment, newest: int) -> None:
    if moment.revision and not newest:
        raise ContextGone(handle.address)
    if moment.revision and moment.revision > newest:
        raise InvalidValue(f"revision {moment.revision} is ahead of {handle.address}, which is at {newest}")


def _check_reached(moment: Moment, previous: int, oldest: int, address: str) -> int:
    """Raises `HistoryCompacted` if the journal, whose oldest record follows the revision `previous`, begins too late.

    Returns the time of that revision, in microseconds, or an earlier one.
    """
    if previous and not moment.is_reached_by(previous):
        raise HistoryCompacted(moment.revision or 0, previous, address)
    # Revisions are times in microseconds, unless the clock was behind.
    return min(previous, oldest)
