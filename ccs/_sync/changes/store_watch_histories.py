# Generated from ccs/_async/changes/store_watch_histories.py by scripts/twin. Do not edit.
"""What a watch of the whole store knows of history: a cursor for each context, the journals that it has to read, the ends.

What arrives is in order within a context, or else its journal is read, of one context after the other. In a Cluster, a
server that does not answer holds up only what it has.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any

from ccs._core.agenda import Agenda
from ccs._core.changes.ended_contexts import Ends
from ccs._core.changes.journals_to_read import JournalsToRead
from ccs._core.changes.record_changes import changes_of
from ccs._core.changes.resuming import follow
from ccs._core.changes.silent_servers import SilentServers
from ccs._core.changes.store_watch_backlog import Backlog
from ccs._core.commits.journal import MALFORMED, Cursor, JournalPage, Record
from ccs._core.names.pattern import Matcher, compile_addresses
from ccs._core.nodes.slots import slot_of
from ccs._core.retry import Patience
from ccs._core.times import from_micros, from_millis
from ccs._log import logger
from ccs._sync.changes.store_watch_arrivals import Arrivals
from ccs._sync.engine import Engine
from ccs.errors import (
    CCSError,
    ContextGone,
    HistoryCompacted,
    HistoryDamaged,
    HistoryForked,
    Unavailable,
    UnknownFormat,
)
from ccs.types import Change

__all__ = ["Histories", "patience_of"]

# Records in a page of a journal.
_PAGE = 256
# Seconds after the deadline of a context at which its journal is read.
_GRACE = 0.05
# Seconds that a message may be on its way.
_ON_ITS_WAY = 0.25


class Histories(Arrivals):
    """The histories of the contexts in which something may match, as far as a watch has received them."""

    def __init__(self, engine: Engine, patterns: tuple[str, ...], backlog: Backlog) -> None:
        super().__init__(engine.opening, compile_addresses(patterns), backlog)
        self._engine = engine
        self._cursors: dict[str, Cursor] = {}
        self._handed: dict[str, int] = {}
        self._silent = SilentServers()
        self._behind = JournalsToRead(self._server_of, self._silent)
        self._unknown: set[str] = set()
        self._ends = Ends(_ON_ITS_WAY)
        self._deadlines: Agenda[str] = Agenda()
        # The contexts that have ended, and until when their last commits are waited for.
        self._awaited: dict[str, float] = {}
        # Changes (and events), errors, and None for a commit in which nothing matches.
        self._queue: deque[tuple[Any, tuple[str, int] | None]] = deque()
        self._now = 0

    def _server_of(self, address: str) -> object:
        """Returns the server of a context in a Cluster; None for the only server."""
        topology = self._opening.commands.topology
        return None if topology.only else topology.layout.owner(slot_of(self._engine.keys(address).meta))

    def _plan(self, address: str, page: JournalPage) -> None:
        if page.deadline:
            self._deadlines.plan(address, time.monotonic() + (page.deadline - page.now) / 1000 + _GRACE)
        if page.next_expiry:
            self._dispatcher.expect(address, (page.next_expiry - page.now) / 1000)

    def _report_missed(self) -> None:
        missed = self._ends.judge()
        if missed is not None:
            logger.warning(
                "%r missed commits of %s contexts that have ended", self, len(missed) or "an unknown number of"
            )
            context = missed[0] if len(missed) == 1 else ""
            change = Change(context, "", "missed", missed, None, False, 0, 0, "", from_micros(self._now))
            self._queue.append((change, None))
        self._ends.settle()

    def _follow(self, address: str, record: Record) -> None:
        cursor = self._cursor(address)
        # In a Cluster, the first record of a context may come late, with the notice: after its end.
        if record.revision <= max(cursor.revision, self._ends.delivered(address)):
            return
        if record.drops and record.previous == cursor.revision:
            self._dispatcher.unfollow(self, address)
            self._end(address, record.revision, record.agent, from_micros(record.at))
        elif not record.previous and cursor.revision:
            # It ended unheard, and has come into being anew.
            self._ends.unheard(address, cursor.revision, record.revision, time.monotonic())
            self._end(address, cursor.revision, "", from_micros(record.at))
            self._expand_message(address, record)
            self._behind.add((address,))
        elif record.previous == cursor.revision:
            self._expand_message(address, record)
        else:
            self._behind.add((address,))

    def _expand_message(self, address: str, record: Record) -> None:
        try:
            self._expand(address, record)
        except HistoryDamaged as error:
            # Any client can send a message; only the journal proves what was committed.
            logger.warning("a message cannot be read, so the journal is read: %s", error)
            self._behind.add((address,))

    def _expand(self, address: str, record: Record) -> None:
        matcher = self._matcher.paths_in(address)
        try:
            changes = self._changes_of(record, address, matcher) if matcher else ()
        except MALFORMED as error:
            raise HistoryDamaged(address, record.revision) from error
        if record.deadline:
            left = record.deadline / 1000 - record.at / 1_000_000
            self._deadlines.plan(address, time.monotonic() + left + _GRACE)
        marks = [None] * (len(changes) - 1) + [(address, record.revision)]
        # In one call: an interrupt leaves all changes of the commit in the queue, or none.
        self._queue.extend(zip(changes or [None], marks, strict=True))
        self._cursors[address] = record.cursor
        self._ends.received(address, record.revision)

    def _cursor(self, address: str) -> Cursor:
        # `_handed` too: reading may have been interrupted after the queue was filled and before the cursor was set.
        cursor = self._cursors.get(address, Cursor(0))
        handed = self._handed.get(address, 0)
        return cursor if cursor.revision >= handed else Cursor(handed)

    def _changes_of(self, record: Record, address: str, matcher: Matcher) -> Sequence[Any]:
        return changes_of(record, address, matcher)

    def _end(self, address: str, ended: int, agent: str, at: datetime) -> None:
        self._awaited.pop(address, None)
        cursor = self._cursors.pop(address, None)
        if cursor is None or not cursor.revision:
            return
        self._ends.know(address, max(ended, cursor.revision), cursor.revision)
        gone = Change(address, "", "gone", None, None, False, 0, cursor.revision, agent, at)
        self._queue.append((gone, (address, cursor.revision)))

    def _read_in_turn(self, address: str) -> None:
        """Reads on in the journal of a context. If its server does not answer, others come first."""
        if not self._asked(self._server_of(address), partial(self._read_journal, address)):
            self._behind.put_off(address)

    def _asked(self, server: object, ask: Callable[[float | None], object]) -> bool:
        """Asks a server (None: the only one). Returns whether it has answered; if not, it is asked again later.

        Raises `Unavailable` if it has not for so long that patience is over.
        """
        asked_at = time.monotonic()
        try:
            ask(None if server is None else self._silent.seconds(server, asked_at))
        except Unavailable:
            now = time.monotonic()
            patience = self._opening.commands.patience().left(now)
            if server is not None and self._silent.silent(server, asked_at, now) < patience:
                return False
            self._silent.answered(server)
            raise
        self._silent.answered(server)
        return True

    def _read_journal(self, address: str, seconds: float | None) -> None:
        cursor = self._cursor(address)
        # First, so that no commit is missed between the page and the messages.
        self._dispatcher.follow(self, (address,), seconds)
        try:
            page = self._engine.look(address, cursor.revision, _PAGE, patience_of(seconds))
        except UnknownFormat as error:
            return self._report_unknown(address, error)
        self._now = page.now * 1000
        self._ends.explain(address, page.ended, page.before_end)
        try:
            for record in follow(cursor, page, address):
                self._expand(address, record)
        except ContextGone:
            return self._end_behind(address, cursor, page)
        except (HistoryCompacted, HistoryForked, HistoryDamaged) as error:
            return self._report_error(address, error, page)
        if not page.records or page.records[-1].revision == page.last:
            self._behind.discard(address)
            self._engine.stats.add("resumes")
        if page.exists:
            self._plan(address, page)
        else:
            self._dispatcher.unfollow(self, address)
        if page.before_end or not page.exists or not cursor.revision:
            # This life, or an earlier one.
            self._ends.suspect(address, page.before_end or page.ended, time.monotonic())

    def _end_behind(self, address: str, cursor: Cursor, page: JournalPage) -> None:
        """Takes the end of a context that the journal shows. What it had committed before may still be on its way."""
        now = time.monotonic()
        self._ends.suspect(address, page.before_end, now, since=cursor.revision)
        if page.before_end > cursor.revision and now < self._awaited.setdefault(address, now + _ON_ITS_WAY):
            self._behind.discard(address)
            self._deadlines.plan(address, self._awaited[address])
            return None
        if not page.exists:
            self._dispatcher.unfollow(self, address)
        return self._end(address, cursor.revision if page.before_end else page.ended, "", from_millis(page.now))

    def _report_unknown(self, address: str, error: UnknownFormat) -> None:
        if address not in self._unknown:
            self._queue.append((error, (address, self._cursor(address).revision)))
        self._unknown.add(address)
        self._behind.discard(address)

    def _report_error(self, address: str, error: CCSError, page: JournalPage) -> None:
        logger.error("%s: history has a gap: %s", address, error)
        # After the record that cannot be read, if it is known, or else at the present end of the journal.
        unread = error.revision if isinstance(error, HistoryDamaged) else 0
        goes_on = unread if unread > self._cursor(address).revision else page.last
        self._queue.append((error, (address, goes_on)))


def patience_of(seconds: float | None) -> Patience | None:
    """Returns the patience for so many seconds; None for as long as usual."""
    return None if seconds is None else Patience(time.monotonic() + seconds)
