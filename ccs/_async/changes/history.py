"""The changes that the journal still holds, in both directions."""

from __future__ import annotations

from typing import Any

from ccs._async.changes.journal_backwards import newest_first
from ccs._async.context_handle import Handle
from ccs._core.changes.record_changes import changes_of
from ccs._core.changes.resuming import check_resume, check_since, follow
from ccs._core.commits.journal import MALFORMED, Cursor, JournalPage, Record
from ccs._core.names.pattern import Matcher
from ccs._core.number_checks import integer
from ccs.errors import HistoryCompacted, HistoryDamaged
from ccs.types import Change

__all__ = ["History"]

_PAGE = 500


class History:
    """One query of the history of a context."""

    def __init__(
        self, handle: Handle, matcher: Matcher, since: int | None, until: int | None, limit: int | None
    ) -> None:
        for name, value in (("since", since), ("until", until), ("limit", limit)):
            if value is not None:
                integer(name, value, "a number that is not negative, or None")
        self._handle = handle
        self._matcher = matcher
        self._since = since
        self._until = until
        self._limit = limit
        self._changes: list[Change] = []

    async def forwards(self) -> list[Change]:
        """Returns the changes, the oldest first."""
        while True:
            try:
                return await self._forwards()
            except HistoryCompacted:
                # Trimmed between two pages: a caller without `since` gets what the journal holds now, without a gap.
                if self._since is not None:
                    raise
                self._changes = []

    async def backwards(self) -> list[Change]:
        """Returns the changes, the newest first."""
        async for record in newest_first(self._handle, self._since, self._until):
            self._add(record, backwards=True)
            if self._full:
                break
        if self._since is not None:
            # The journal still holds `since` after the last read, so nothing was trimmed before it was read.
            page = await self._look(self._since, 0)
            check_since(self._since, page, self._handle.address)
            check_resume(Cursor(self._since), page, self._handle.address)
        return self._changes[: self._limit]

    async def _forwards(self) -> list[Change]:
        page = await self._look(self._since or 0, 0)
        check_since(self._since or 0, page, self._handle.address)
        cursor = Cursor(page.oldest if self._since is None else self._since)
        while not self._full:
            page = await self._look(cursor.revision, _PAGE)
            for record in follow(cursor, page, self._handle.address):
                if self._until is not None and record.revision > self._until:
                    return self._changes[: self._limit]
                self._add(record)
                cursor = record.cursor
            if not page.records or cursor.revision >= page.last:
                break
        return self._changes[: self._limit]

    @property
    def _full(self) -> bool:
        return self._limit is not None and len(self._changes) >= self._limit

    def _add(self, record: Record, backwards: bool = False) -> None:
        try:
            changes: list[Any] = changes_of(record, self._handle.address, self._matcher)
        except MALFORMED as error:
            raise HistoryDamaged(self._handle.address, record.revision) from error
        self._changes.extend(reversed(changes) if backwards else changes)

    async def _look(self, cursor: int, count: int) -> JournalPage:
        await self._handle.opening.ready()
        return await self._handle.engine.look(self._handle.address, cursor, count)
