# Generated from ccs/_async/changes/history.py by scripts/twin. Do not edit.
"""The changes that the journal still holds, in both directions."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from ccs._core.changes.record_changes import changes_and_events_of, changes_of
from ccs._core.changes.resuming import check_resume, check_since, checked_cursor, follow
from ccs._core.changes.time_travel import Moment
from ccs._core.commits.journal import MALFORMED, Cursor, JournalPage, Record
from ccs._core.names.pattern import Matcher
from ccs._core.number_checks import integer
from ccs._sync.changes.journal_backwards import newest_first
from ccs._sync.changes.moments import revision_at
from ccs._sync.context_handle import Handle
from ccs.errors import HistoryCompacted, HistoryDamaged

__all__ = ["History"]

_PAGE = 500


class History:
    """One query of the history of a context."""

    def __init__(
        self,
        handle: Handle,
        matcher: Matcher,
        since: int | datetime | None,
        until: int | datetime | None,
        limit: int | None,
        events: bool = False,
    ) -> None:
        if limit is not None:
            integer("limit", limit, "a number that is not negative, or None")
        self._handle = handle
        self._matcher = matcher
        self._begin = None if since is None else checked_cursor(since)
        self._since: int | None = None
        self._until = None if until is None else Moment.of(until, "until")
        self._limit = limit
        self._told = changes_and_events_of if events else changes_of
        self._changes: list[Any] = []

    def forwards(self) -> list[Any]:
        """Returns the changes, the oldest first."""
        self._since = self._resolved()
        while True:
            try:
                return self._forwards()
            except HistoryCompacted:
                # Trimmed between two pages: a caller without `since` gets what the journal holds now, without a gap.
                if self._since is not None:
                    raise
                self._changes = []

    def backwards(self) -> list[Any]:
        """Returns the changes, the newest first."""
        self._since = self._resolved()
        for record in newest_first(self._handle, self._since, self._until and self._until.revision):
            if self._is_too_late(record):
                continue
            self._add(record, backwards=True)
            if self._full:
                break
        if self._since is not None:
            # The journal still holds `since` after the last read, so nothing was trimmed before it was read.
            page = self._look(self._since, 0)
            check_since(self._since, page, self._handle.address)
            check_resume(Cursor(self._since), page, self._handle.address)
        return self._changes[: self._limit]

    def _resolved(self) -> int | None:
        """Returns the revision after which the changes begin, None for all that the journal holds."""
        if not isinstance(self._begin, datetime):
            return self._begin
        self._handle.opening.ready()
        return revision_at(self._handle.engine, self._handle.address, self._begin)

    def _forwards(self) -> list[Any]:
        page = self._look(self._since or 0, 0)
        check_since(self._since or 0, page, self._handle.address)
        cursor = Cursor(page.oldest if self._since is None else self._since)
        while not self._full:
            page = self._look(cursor.revision, _PAGE)
            for record in follow(cursor, page, self._handle.address):
                if self._is_too_late(record):
                    return self._changes[: self._limit]
                self._add(record)
                cursor = record.cursor
            if not page.records or cursor.revision >= page.last:
                break
        return self._changes[: self._limit]

    def _is_too_late(self, record: Record) -> bool:
        return self._until is not None and not self._until.covers(record)

    @property
    def _full(self) -> bool:
        return self._limit is not None and len(self._changes) >= self._limit

    def _add(self, record: Record, backwards: bool = False) -> None:
        try:
            changes: list[Any] = self._told(record, self._handle.address, self._matcher)
        except MALFORMED as error:
            raise HistoryDamaged(self._handle.address, record.revision) from error
        self._changes.extend(reversed(changes) if backwards else changes)

    def _look(self, cursor: int, count: int) -> JournalPage:
        self._handle.opening.ready()
        return self._handle.engine.look(self._handle.address, cursor, count)
