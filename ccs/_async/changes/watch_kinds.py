"""Watches that yield something else than changes: entries, events, both, or commits; and a picture of the entries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ccs._async.changes.store_watch import StoreWatch
from ccs._async.changes.watch import Watch
from ccs._async.engine import Engine
from ccs._core.changes.record_changes import changes_and_events_of, changes_of, events_of, written_by
from ccs._core.commits.journal import Record
from ccs._core.names.pattern import Matcher
from ccs._core.names.reach import Reach
from ccs._log import logger
from ccs.errors import ContextGone
from ccs.types import Change, Entry, Event

__all__ = ["CommitWatch", "Committed", "EntryWatch", "EventWatch", "Picture", "StoreTail", "Tail"]


class EntryWatch(Watch[tuple[str, Entry | None]]):
    """A watch that yields paths, each with the entry that was written, or None if it was removed."""

    @property
    def revision(self) -> int:
        """As for a watch; 0 until all present entries were handed out."""
        return super().revision or 0

    def _present(self, entry: Entry) -> tuple[str, Entry]:
        return entry.path, entry

    def _changed(self, record: Record) -> Sequence[tuple[str, Entry | None]]:
        return written_by(record, self._matcher)


class EventWatch(Watch[Event]):
    """The events of a context whose topics match; used like a `Watch`, with the same guarantees.

    When the context ends, iterating goes on and waits until it is created again; `receive` raises `ContextGone`.
    """

    async def __anext__(self) -> Event:
        while True:
            try:
                return await super().__anext__()
            except ContextGone as error:
                logger.info("%r goes on if the context is created again: %s", self, error)
                self.begin_again()

    def _changed(self, record: Record) -> Sequence[Event]:
        return events_of(record, self._address, self._matcher)


class Tail(Watch[Change | Event]):
    """A watch that yields both changes and events."""

    def _changed(self, record: Record) -> Sequence[Change | Event]:
        return changes_and_events_of(record, self._address, self._matcher)


class StoreTail(StoreWatch):
    """A watch across contexts that yields both changes and events."""

    def _changes_of(self, record: Record, address: str, matcher: Matcher) -> Sequence[Change | Event]:
        return changes_and_events_of(record, address, matcher)


class Committed(NamedTuple):
    """The part of a commit that matches: the entries after it (None if removed) and, if asked for, the changes."""

    revision: int
    written: list[tuple[str, Entry | None]]
    changes: list[Change]


class CommitWatch(Watch[Committed]):
    """A watch that yields each commit in which something matches; `present` has the entries from before.

    With `on_progress`, it calls `on_progress(revision)` when it has seen commits and has nothing to yield. With
    `with_changes` it also decodes the values of the changes.
    """

    def __init__(
        self,
        engine: Engine,
        address: str,
        patterns: tuple[str, ...],
        on_progress: Callable[[int], None] | None = None,
        with_changes: bool = False,
        reach: Reach | None = None,
    ) -> None:
        super().__init__(engine, address, patterns, initial=True, reach=reach)
        self._on_progress = on_progress
        self._with_changes = with_changes
        self._mailbox.eager = on_progress is not None

    @property
    def revision(self) -> int:
        """As for a watch; 0 until all present entries were handed out."""
        return super().revision or 0

    def present(self) -> list[Entry]:
        """Returns the entries that existed when the watch was entered."""
        entries: list[Any] = [self._hand_out() for _ in range(len(self._queue))]
        return entries

    def _advance(self) -> None:
        super()._advance()
        if self._on_progress and not self._queue:
            self._on_progress(self._read.revision)

    def _present(self, entry: Entry) -> Entry:
        return entry

    def _changed(self, record: Record) -> Sequence[Committed]:
        written = written_by(record, self._matcher)
        changes = changes_of(record, self._address, self._matcher) if self._with_changes else []
        return [Committed(record.revision, written, changes)] if written else []


class Picture(EntryWatch):
    """The entries that match, by path, kept up to date, for a caller that waits for a condition on them.

    Waiting costs the server nothing.
    """

    def __init__(self, engine: Engine, address: str, patterns: tuple[str, ...]) -> None:
        super().__init__(engine, address, patterns, initial=True)
        self.entries: dict[str, Entry] = {}

    async def start(self) -> None:
        """Goes live, with the present entries."""
        await super().start()
        self._draw()

    async def changed(self, deadline: float | None) -> None:
        """Waits until something has changed. Raises `TimeoutError` at the `deadline` (monotonic seconds).

        Raises `ContextFinished` or `ContextGone` once nothing can change.
        """
        path, entry = await self._receive(deadline)
        self._put(path, entry)
        self._draw()

    def _draw(self) -> None:
        while self._queue:
            self._put(*self._hand_out())

    def _put(self, path: str, entry: Entry | None) -> None:
        # Removed first, so that the entries are in the order in which they were written.
        self.entries.pop(path, None)
        if entry is not None:
            self.entries[path] = entry
