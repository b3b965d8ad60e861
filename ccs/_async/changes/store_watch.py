"""A watch across contexts, existing and new ones, in order within each.

The listener hands over every commit of the namespace, and the watch has a cursor for each context. If a commit does not
follow its cursor, the watch reads the journal of that context; after a reconnect or a full buffer, it reads all journals.

A context that came and went meanwhile no longer has a journal, but leaves its last revision behind for ten minutes. A
survey finds these contexts, unless it comes too late; one change with `op="missed"` reports them together.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from ccs._async.context_listing import addresses
from ccs._async.engine import Engine
from ccs._core.changes.ended_contexts import Ends
from ccs._core.changes.record_changes import changes_of
from ccs._core.changes.resuming import check_since, checked_revisions, follow
from ccs._core.changes.store_watch_backlog import Backlog
from ccs._core.commits.journal import MALFORMED, Cursor, JournalPage, Record
from ccs._core.names.pattern import Matcher, compile_addresses
from ccs._core.number_checks import integer
from ccs._core.timers import Agenda
from ccs._core.times import Duration, from_micros, from_millis, seconds
from ccs._log import logger
from ccs._not_copyable import Local
from ccs.errors import (
    CCSError,
    ContextGone,
    HistoryCompacted,
    HistoryDamaged,
    HistoryForked,
    Misuse,
    UnknownFormat,
)
from ccs.types import Change

__all__ = ["StoreWatch"]

# Records in a page of a journal.
_PAGE = 256
# Seconds after the deadline of a context at which its journal is read.
_GRACE = 0.05
# After a survey, no routine one follows for this many times its duration.
_PAUSE = 50
# Seconds for which the server certainly remembers a context that has ended.
_REMEMBERED = 540.0
# Seconds that a message may be on its way.
_ON_ITS_WAY = 0.25


class StoreWatch(Local):
    """The changes that match in all contexts, in order within each; enter it, then iterate or `receive`.

    `revision` is its cursor: a mapping of address to revision. The end of a context is a change with `op="gone"`. After
    each gap (a lost connection, a full buffer), one change with `op="missed"` reports the contexts that came and went in
    it; its `value` lists their addresses, as far as they are known.

    It raises `HistoryCompacted`, `HistoryForked` and `HistoryDamaged` once each time; `address` names the context. Then the
    watch goes on, in that context after the end that its journal had. It raises `UnknownFormat` once for each context that
    a later version of CCS has written, and goes on with all others.
    """

    def __init__(
        self,
        engine: Engine,
        patterns: tuple[str, ...],
        *,
        since: Mapping[str, int] | None = None,
        buffer: int = 1024,
        buffer_bytes: int = 8_388_608,
    ) -> None:
        self._engine = engine
        self._patterns = patterns
        self._matcher = compile_addresses(patterns)
        self._since = None if since is None else checked_revisions(since)
        most = integer("buffer", buffer, "how many changes to hold")
        self._backlog = Backlog(most, integer("buffer_bytes", buffer_bytes, "how many bytes of changes to hold"))
        self._opening = engine.opening
        self._listener = engine.opening.listener
        self._signal = self._listener.signal()
        self._cursors: dict[str, Cursor] = {}
        self._handed: dict[str, int] = {}
        self._behind: dict[str, None] = {}
        self._unknown: set[str] = set()
        self._ends = Ends(_ON_ITS_WAY)
        self._deadlines: Agenda[str] = Agenda()
        # Changes (and events), errors, and None for a commit in which nothing matches.
        self._queue: deque[tuple[Any, tuple[str, int] | None]] = deque()
        # The listener sets it, the consumer clears it.
        self._survey_due: Literal["", "routine", "lost"] = ""
        self._stopped = self._entered = False
        self._rest_until = self._heard_at = 0.0
        self._now = 0
        self._passing: CCSError | None = None

    def __repr__(self) -> str:
        state = "stopped" if self._stopped else "live" if self._entered else "not entered"
        return f"<StoreWatch of {', '.join(self._patterns)}, {len(self._cursors)} contexts, {state}>"

    @property
    def revision(self) -> dict[str, int]:
        """The revision of the last commit handed out completely, by the address of its context; resume with `since=`."""
        return dict(self._handed)

    async def __aenter__(self) -> StoreWatch:
        if self._entered:
            raise Misuse("a watch is entered once; make another one")
        self._opening.check()
        self._entered = True
        await self._opening.ready()
        await self._listener.add_observer(self)
        try:
            await self._begin()
        except BaseException:
            await self.aclose()
            raise
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def __aiter__(self) -> StoreWatch:
        return self

    async def __anext__(self) -> Change:
        change: Change | None = await self._next(None)
        if change is None:
            raise StopAsyncIteration
        return change

    async def receive(self, timeout: Duration | None = None) -> Change:
        """Waits for the next change and returns it. Raises `TimeoutError` after `timeout` seconds, `Misuse` if it is closed."""
        deadline = None if timeout is None else time.monotonic() + seconds(timeout, "timeout")
        change: Change | None = await self._next(deadline)
        if change is None:
            self._opening.check()
            raise Misuse(
                "this watch was closed, so it receives nothing more; make another one, with since= its revision"
            )
        return change

    async def aclose(self) -> None:
        """Ends the watch, and drops the changes that wait in it."""
        self.stop()
        await self._listener.remove_observer(self)

    def stop(self) -> None:
        """Ends the consumer, wherever it waits."""
        self._stopped = True
        self._signal.set()

    def offer(self, address: str, record: Record) -> None:
        """Takes the next record of any context from the listener."""
        # Between a loss and the survey, records can be dropped: the survey finds them.
        if self._survey_due == "lost" or self._matcher.paths_in(address) is None:
            return None
        self._heard_at = time.monotonic()
        if not self._backlog.put(address, record):
            return self.resync()
        self._signal.set()

    def resync(self, *, routine: bool = False) -> None:
        """Called by the listener: messages may have been lost, or it is time for a `routine` survey."""
        if routine and time.monotonic() < self._rest_until:
            return
        if not routine:
            self._survey_due = "lost"
        elif not self._survey_due:
            self._survey_due = "routine"
        self._signal.set()

    def fail(self, error: CCSError) -> None:
        """Called by the listener: no message can be delivered at present."""
        self._passing = error
        self._signal.set()

    async def _begin(self) -> None:
        self._handed = dict(self._since or {})
        wanted = (address for address in self._handed if self._matcher.paths_in(address) is not None)
        self._cursors = {address: Cursor(self._handed[address]) for address in wanted}
        if self._since is None:
            await self._stand_at_present()
        else:
            self.resync(routine=True)
        # Contexts that ended before this moment do not concern the watch.
        clock = await self._opening.commands.run(("TIME",))
        self._now = int(clock[0]) * 1_000_000 + int(clock[1])
        await self._check_since()
        self._ends.begin(self._now)
        self._heard_at = time.monotonic()

    async def _check_since(self) -> None:
        for address, revision in (self._since or {}).items():
            if revision > self._now:  # in the future, unless the clock was set back
                check_since(revision, await self._engine.look(address, revision, 0), address)

    async def _stand_at_present(self) -> None:
        async for address in addresses(self._engine):
            if self._matcher.paths_in(address) is not None:
                try:
                    page = await self._engine.look(address, 0, 0)
                except UnknownFormat as error:
                    self._report_unknown(address, error)
                else:
                    self._stand(address, Cursor(page.last), page)

    def _stand(self, address: str, cursor: Cursor, page: JournalPage) -> None:
        if not page.exists:
            return
        self._cursors[address] = cursor
        self._handed[address] = cursor.revision
        self._plan(address, page)

    def _plan(self, address: str, page: JournalPage) -> None:
        if page.deadline:
            self._deadlines.plan(address, time.monotonic() + (page.deadline - page.now) / 1000 + _GRACE)
        if page.next_expiry:
            self._listener.expect(address, (page.next_expiry - page.now) / 1000)

    async def _next(self, deadline: float | None) -> Any:
        if not self._entered:
            raise Misuse("this watch is not entered, so it receives nothing: use it in a with block")
        while not self._stopped:
            self._opening.check()
            if self._queue:
                item = self._hand_out()
                if item:
                    return item
                continue
            self._signal.clear()
            # A stop meanwhile may have set the signal before it was cleared.
            if not await self._take_in() and not self._stopped:
                await self._wait(deadline)
        return None

    def _hand_out(self) -> Any:
        item, mark = self._queue.popleft()
        if mark:
            self._handed[mark[0]] = mark[1]
        if mark and isinstance(item, CCSError):
            # The context goes on after the damage, so the error is raised once.
            self._cursors[mark[0]] = Cursor(mark[1])
            raise item
        if mark and isinstance(item, Change) and item.op == "gone":
            del self._handed[mark[0]]
        self._engine.stats.add("deliveries", int(item is not None))
        return item

    async def _wait(self, deadline: float | None) -> None:
        now = time.monotonic()
        moments = [deadline, self._deadlines.next(), self._ends.judged_at]
        if deadline is not None and deadline <= now:
            raise TimeoutError(f"nothing matched {', '.join(self._patterns)} in time")
        await self._signal.wait(min((when - now for when in moments if when is not None), default=None))

    async def _take_in(self) -> bool:
        """Reads more of history, if there is more. Returns whether the queue may hold something now."""
        now = time.monotonic()
        self._behind.update(dict.fromkeys(self._deadlines.due(now)))
        if self._behind:
            await self._read_journal(next(iter(self._behind)))
        elif self._backlog:
            self._follow(*self._backlog.take())
        elif self._survey_due:
            await self._survey()
        elif self._ends.judged_at is not None and self._ends.judged_at <= now:
            self._report_missed()
        elif self._passing:
            error = self._passing
            self._passing = None
            raise error
        else:
            return False
        return True

    async def _survey(self) -> None:
        began = time.monotonic()
        due = self._survey_due
        heard_at = self._heard_at
        try:
            self._survey_due = ""
            found = {each: None async for each in addresses(self._engine) if self._matcher.paths_in(each) is not None}
            ended = time.monotonic()
            self._behind.update({**found, **dict.fromkeys(self._cursors)})
            self._ends.survey(found, ended, too_late=due == "lost" and ended - heard_at > _REMEMBERED)
        except BaseException:
            self._survey_due = due
            raise
        self._heard_at = ended
        self._rest_until = ended + (ended - began) * _PAUSE

    def _report_missed(self) -> None:
        missed = self._ends.judge()
        if missed is not None:
            logger.warning("%r missed %s contexts that came and went", self, len(missed) or "an unknown number of")
            context = missed[0] if len(missed) == 1 else ""
            change = Change(context, "", "missed", missed, None, False, 0, 0, "", from_micros(self._now))
            self._queue.append((change, None))
        self._ends.settle()

    def _follow(self, address: str, record: Record) -> None:
        cursor = self._cursor(address)
        if record.revision <= cursor.revision:
            return
        if record.drops and record.previous == cursor.revision:
            self._end(address, record.revision, record.agent, from_micros(record.at))
        elif record.previous == cursor.revision:
            self._expand_message(address, record)
        else:
            self._behind[address] = None

    def _expand_message(self, address: str, record: Record) -> None:
        try:
            self._expand(address, record)
        except HistoryDamaged as error:
            # Any client can send a message; only the journal proves what was committed.
            logger.warning("a message cannot be read, so the journal is read: %s", error)
            self._behind[address] = None

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
        cursor = self._cursors.pop(address, None)
        if cursor is None or not cursor.revision:
            return
        self._ends.know(address, max(ended, cursor.revision))
        gone = Change(address, "", "gone", None, None, False, 0, cursor.revision, agent, at)
        self._queue.append((gone, (address, cursor.revision)))

    async def _read_journal(self, address: str) -> None:
        cursor = self._cursor(address)
        try:
            page = await self._engine.look(address, cursor.revision, _PAGE)
        except UnknownFormat as error:
            return self._report_unknown(address, error)
        self._now = page.now * 1000
        try:
            for record in follow(cursor, page, address):
                self._expand(address, record)
        except ContextGone:
            return self._end(address, page.ended, "", from_millis(page.now))
        except (HistoryCompacted, HistoryForked, HistoryDamaged) as error:
            return self._report_error(address, error, page)
        if not page.records or page.records[-1].revision == page.last:
            self._behind.pop(address, None)
            self._engine.stats.add("resumes")
        if page.exists:
            self._plan(address, page)
        else:
            self._ends.suspect(address, page.ended, time.monotonic())

    def _report_unknown(self, address: str, error: UnknownFormat) -> None:
        if address not in self._unknown:
            self._queue.append((error, (address, self._cursor(address).revision)))
        self._unknown.add(address)
        self._behind.pop(address, None)

    def _report_error(self, address: str, error: CCSError, page: JournalPage) -> None:
        logger.error("%s: history has a gap: %s", address, error)
        # After the record that cannot be read, if it is known, or else at the present end of the journal.
        unread = error.revision if isinstance(error, HistoryDamaged) else 0
        goes_on = unread if unread > self._cursor(address).revision else page.last
        self._queue.append((error, (address, goes_on)))
