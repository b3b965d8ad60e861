# Generated from ccs/_async/changes/watch_kinds.py by scripts/twin. Do not edit.
"""What else a watch can yield than changes: entries, events, both, commits, or a picture of what stands there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from ccs._core.commits.journal import Record, changes_and_events_of, changes_of, events_of, written_by
from ccs._log import logger
from ccs._sync.changes.watch import Watch
from ccs._sync.engine import Engine
from ccs.errors import ContextGone
from ccs.types import Change, Entry, Event

__all__ = ["CommitWatch", "Committed", "EntryWatch", "EventWatch", "Picture", "Tail"]


class EntryWatch(Watch):
    """A watch that yields paths, each with the entry as it was written, or None when it has gone."""

    def _present(self, entry: Entry) -> tuple[str, Entry]:
        return entry.path, entry

    def _changed(self, record: Record) -> Sequence[tuple[str, Entry | None]]:
        return written_by(record, self._matcher)


class EventWatch(Watch):
    """The events of a context whose topics match; used as a `Watch`, whose promises it keeps.

    Iterating goes on when the context has gone and comes into being again; `receive` raises `ContextGone`, as of a watch.
    """

    def __next__(self) -> Any:
        while True:
            try:
                return super().__next__()
            except ContextGone as error:
                logger.info("%r goes on with what comes into being again: %s", self, error)
                self.begin_anew()

    def _changed(self, record: Record) -> Sequence[Event]:
        return events_of(record, self._address, self._matcher)


class Tail(Watch):
    """A watch that yields changes and events alike: everything that is told."""

    def _changed(self, record: Record) -> Sequence[Change | Event]:
        return changes_and_events_of(record, self._address, self._matcher)


class Committed(NamedTuple):
    """What of a commit matches: the entries after it, None where one was removed, and, if asked for, the changes."""

    revision: int
    written: list[tuple[str, Entry | None]]
    changes: list[Change]


class CommitWatch(Watch):
    """A watch that yields commits, whole, if anything in them matches; what was there before is `present`.

    `on_progress(revision)` tells how far it has come when there is nothing to yield. Only `with_changes` are values
    decoded for these too.
    """

    def __init__(
        self,
        engine: Engine,
        address: str,
        patterns: tuple[str, ...],
        on_progress: Callable[[int], None],
        with_changes: bool,
    ) -> None:
        super().__init__(engine, address, patterns, initial=True)
        self._on_progress, self._with_changes = on_progress, with_changes
        self._mailbox.eager = True

    def present(self) -> list[Entry]:
        """The entries that were there when it was entered."""
        return [self._hand_out() for _ in range(len(self._queue))]

    def _advance(self) -> None:
        super()._advance()
        if not self._queue:
            self._on_progress(self._read.revision)

    def _present(self, entry: Entry) -> Entry:
        return entry

    def _changed(self, record: Record) -> Sequence[Committed]:
        written = written_by(record, self._matcher)
        changes = changes_of(record, self._address, self._matcher) if self._with_changes else []
        return [Committed(record.revision, written, changes)] if written else []


class Picture(EntryWatch):
    """What stands at the paths that match, kept up to date: for who waits until it says something.

    Waiting costs the server nothing: what changes is told.
    """

    def __init__(self, engine: Engine, address: str, patterns: tuple[str, ...]) -> None:
        super().__init__(engine, address, patterns, initial=True)
        self.entries: dict[str, Entry] = {}

    def start(self) -> None:
        """Goes live, with what is there."""
        super().start()
        self._draw()

    def changed(self, deadline: float | None) -> None:
        """Waits until something has changed; `TimeoutError` at the `deadline` (monotonic seconds).

        `ContextFinished` and `ContextGone` where nothing can change any more.
        """
        path, entry = self._receive(deadline)
        self._put(path, entry)
        self._draw()

    def _draw(self) -> None:
        while self._queue:
            self._put(*self._hand_out())

    def _put(self, path: str, entry: Entry | None) -> None:
        # Even if it is there already: they stand in the order in which they were written.
        self.entries.pop(path, None)
        if entry is not None:
            self.entries[path] = entry
