"""A watch across contexts: those there are and those that come, each in its own order.

The listener hands over every commit of the namespace; continuity is judged here, by a cursor for each context. Where
one does not follow, and for everything after a reconnect or a full buffer, the journals are read.

A context that came and went meanwhile has no journal any more, but leaves its last revision behind for ten minutes. So a
survey finds all of those, unless it comes too late; they are told together, as one change with `op="missed"`.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Literal

from ccs._async.contexts import addresses
from ccs._async.engine import Engine
from ccs._core.changes.ended_contexts import Ends
from ccs._core.checks import integer
from ccs._core.commits.journal import (
    MALFORMED,
    Cursor,
    JournalPage,
    Record,
    changes_and_events_of,
    changes_of,
    check_since,
    follow,
)
from ccs._core.names.address import canonical
from ccs._core.names.pattern import Matcher, compile_addresses
from ccs._core.shown import shown
from ccs._core.timers import Agenda
from ccs._core.times import Duration, from_micros, from_millis, seconds
from ccs._local import Local
from ccs._log import logger
from ccs.errors import (
    CCSError,
    ContextGone,
    HistoryCompacted,
    HistoryDamaged,
    HistoryForked,
    InvalidValue,
    Misuse,
)
from ccs.types import Change

__all__ = ["StoreTail", "StoreWatch"]

# Records of a page; seconds after a deadline; a survey may take one part in so many of the time.
_PAGE, _GRACE, _SHARE = 256, 0.05, 50
# Seconds: for how long what has gone is surely remembered; how long a message may be on its way.
_REMEMBERED, _ON_ITS_WAY = 540.0, 0.25

Mark = tuple[str, int]


class StoreWatch(Local):
    """The changes that match, of all contexts: ordered within each. Enter it, then iterate or `receive`.

    `revision` is its cursor, a mapping of address to revision. The end of a context is a change with `op="gone"`. Contexts
    that came and went while it could not listen (a lost connection, a full buffer) are told once for each such gap, as a
    change with `op="missed"` whose `value` lists their addresses as far as they are known.

    `HistoryCompacted`, `HistoryForked` and `HistoryDamaged` are raised once each and name a context in `address`: the watch
    goes on, in that context from where its journal ended then.
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
        self._engine, self._patterns = engine, patterns
        self._matcher, self._since = compile_addresses(patterns), None if since is None else _checked(since)
        self._limit = max(1, integer("buffer", buffer, "how many changes to hold"))
        self._limit_bytes = max(1, integer("buffer_bytes", buffer_bytes, "how many bytes of changes to hold"))
        self._records: deque[tuple[str, Record]] = deque()
        self._put = self._taken = 0
        self._listener, self._signal = engine.listener, engine.listener.signal()
        self._cursors: dict[str, Cursor] = {}
        self._handed: dict[str, int] = {}
        self._behind: dict[str, None] = {}
        self._ends = Ends(_ON_ITS_WAY)
        self._deadlines: Agenda[str] = Agenda()
        # Changes, for a tail events too, and errors; None for a commit in which nothing matches.
        self._queue: deque[tuple[Any, Mark | None]] = deque()
        # One word: the listener sets it, the consumer takes it back.
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
        """The last commit wholly handed out, by the address of its context: resume with `since=`."""
        return dict(self._handed)

    async def __aenter__(self) -> StoreWatch:
        if self._entered:
            raise Misuse("a watch is entered once; make another one")
        self._check()
        self._entered = True
        await self._engine.ready()
        await self._listener.overhear(self)
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
        """The next change; `TimeoutError` after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + seconds(timeout, "timeout")
        change: Change | None = await self._next(deadline)
        if change is None:
            self._check()
            raise Misuse(
                "this watch was closed, so nothing more comes of it; make another one, with since= its revision"
            )
        return change

    async def aclose(self) -> None:
        """Ends the watch; what is waiting in it is dropped."""
        self.stop()
        await self._listener.ignore(self)

    def stop(self) -> None:
        """Lets the consumer end, wherever it waits."""
        self._stopped = True
        self._signal.set()

    def overhear(self, address: str, record: Record) -> None:
        """For the listener: the next message of any context."""
        # What comes between a loss and the survey is found by that.
        if self._survey_due == "lost" or self._matcher.paths_in(address) is None:
            return None
        self._heard_at = time.monotonic()
        held = self._put - self._taken
        if len(self._records) >= self._limit or (held and held + record.size > self._limit_bytes):
            return self.resync()
        self._put += record.size
        self._records.append((address, record))
        self._signal.set()

    def resync(self, *, routine: bool = False) -> None:
        """For the listener: messages may have been missed; or it is only time to look again."""
        if routine and time.monotonic() < self._rest_until:
            return
        if not routine:
            self._survey_due = "lost"
        elif not self._survey_due:
            self._survey_due = "routine"
        self._signal.set()

    def fail(self, error: CCSError) -> None:
        """For the listener: nothing can be delivered at present."""
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
        # What ended before this moment was over before the watch began.
        clock = await self._engine.connection.run(("TIME",), early=True)
        self._now = int(clock[0]) * 1_000_000 + int(clock[1])
        await self._check_since()
        self._ends.begin(self._now)
        self._heard_at = time.monotonic()

    async def _check_since(self) -> None:
        for address, revision in (self._since or {}).items():
            if revision > self._now:  # or else the clock was set back
                check_since(revision, await self._engine.look(address, revision, 0), address)

    async def _stand_at_present(self) -> None:
        async for address in addresses(self._engine):
            if self._matcher.paths_in(address) is not None:
                page = await self._engine.look(address, 0, 0)
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

    def _check(self) -> None:
        self._engine.check(self._listener)

    async def _next(self, deadline: float | None) -> Any:
        if not self._entered:
            raise Misuse("this watch is not entered, so it hears nothing: use it in a with block")
        while not self._stopped:
            self._check()
            if self._queue:
                if told := self._hand_out():
                    return told
                continue
            self._signal.clear()
            # Stopped meanwhile: the flag may have been taken back.
            if not await self._take_in() and not self._stopped:
                await self._wait(deadline)
        return None

    def _hand_out(self) -> Any:
        told, mark = self._queue.popleft()
        if mark:
            self._handed[mark[0]] = mark[1]
        if mark and isinstance(told, CCSError):
            # It is not met again: its context goes on behind it.
            self._cursors[mark[0]] = Cursor(mark[1])
            raise told
        if mark and isinstance(told, Change) and told.op == "gone":
            del self._handed[mark[0]]
        self._engine.stats.add("deliveries", int(told is not None))
        return told

    async def _wait(self, deadline: float | None) -> None:
        now, moments = time.monotonic(), [deadline, self._deadlines.next(), self._ends.judged_at]
        if deadline is not None and deadline <= now:
            raise TimeoutError(f"nothing matched {', '.join(self._patterns)} in time")
        await self._signal.wait(min((when - now for when in moments if when is not None), default=None))

    async def _take_in(self) -> bool:
        """Takes in more of history, if there is more. Returns whether it is worth looking at the queue again."""
        now = time.monotonic()
        self._behind.update(dict.fromkeys(self._deadlines.due(now)))
        if self._behind:
            await self._read_journal(next(iter(self._behind)))
        elif self._records:
            self._follow(*self._take())
        elif self._survey_due:
            await self._survey()
        elif self._ends.judged_at is not None and self._ends.judged_at <= now:
            self._tell_missed()
        elif error := self._passing:
            self._passing = None
            raise error
        else:
            return False
        return True

    def _take(self) -> tuple[str, Record]:
        address, record = self._records.popleft()
        self._taken += record.size
        return address, record

    async def _survey(self) -> None:
        began = time.monotonic()
        due, heard_at = self._survey_due, self._heard_at
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
        self._rest_until = ended + (ended - began) * _SHARE

    def _tell_missed(self) -> None:
        missed = self._ends.judge()
        if missed is not None:
            logger.warning("%r missed %s contexts that came and went", self, len(missed) or "an unknown number of")
            context = missed[0] if len(missed) == 1 else ""
            told = Change(context, "", "missed", missed, None, False, 0, 0, "", from_micros(self._now))
            self._queue.append((told, None))
        self._ends.settle()

    def _follow(self, address: str, record: Record) -> None:
        cursor = self._cursor(address)
        if record.revision <= cursor.revision:
            return
        if record.drops and record.previous == cursor.revision:
            self._end(address, record.revision, record.agent, from_micros(record.at))
        elif record.previous == cursor.revision:
            self._expand_heard(address, record)
        else:
            self._behind[address] = None

    def _expand_heard(self, address: str, record: Record) -> None:
        try:
            self._expand(address, record)
        except HistoryDamaged as error:
            # Anybody can send a message: the journal says what was committed.
            logger.warning("what was heard cannot be read, so the journal is: %s", error)
            self._behind[address] = None

    def _expand(self, address: str, record: Record) -> None:
        matcher = self._matcher.paths_in(address)
        try:
            changes = self._told_by(record, address, matcher) if matcher else ()
        except MALFORMED as error:
            raise HistoryDamaged(address, record.revision) from error
        if record.deadline:
            left = record.deadline / 1000 - record.at / 1_000_000
            self._deadlines.plan(address, time.monotonic() + left + _GRACE)
        marks = [None] * (len(changes) - 1) + [(address, record.revision)]
        # All at once: an interrupt leaves the whole commit there, or nothing of it.
        self._queue.extend(zip(changes or [None], marks, strict=True))
        self._cursors[address] = record.cursor
        self._ends.received(address, record.revision)

    def _cursor(self, address: str) -> Cursor:
        # What was handed out was taken in, though who did that may have been interrupted before it was noted.
        cursor, handed = self._cursors.get(address, Cursor(0)), self._handed.get(address, 0)
        return cursor if cursor.revision >= handed else Cursor(handed)

    def _told_by(self, record: Record, address: str, matcher: Matcher) -> Sequence[Any]:
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
        page = await self._engine.look(address, cursor.revision, _PAGE)
        self._now = page.now * 1000
        try:
            for record in follow(cursor, page, address):
                self._expand(address, record)
        except ContextGone:
            return self._end(address, page.ended, "", from_millis(page.now))
        except (HistoryCompacted, HistoryForked, HistoryDamaged) as error:
            return self._tell_error(address, error, page)
        if not page.records or page.records[-1].revision == page.last:
            self._behind.pop(address, None)
            self._engine.stats.add("resumes")
        if page.exists:
            self._plan(address, page)
        else:
            self._ends.suspect(address, page.ended, time.monotonic())

    def _tell_error(self, address: str, error: CCSError, page: JournalPage) -> None:
        logger.error("%s: history has a gap: %s", address, error)
        # Behind what cannot be read, if that is known, else where the journal ends now.
        unread = error.revision if isinstance(error, HistoryDamaged) else 0
        goes_on = unread if unread > self._cursor(address).revision else page.last
        self._queue.append((error, (address, goes_on)))


class StoreTail(StoreWatch):
    """A watch that yields changes and events alike: everything that is told."""

    def _told_by(self, record: Record, address: str, matcher: Matcher) -> Sequence[Any]:
        return changes_and_events_of(record, address, matcher)


def _checked(since: Mapping[str, int]) -> dict[str, int]:
    if not isinstance(since, Mapping):
        raise InvalidValue(f"since is {shown(since)}: give a mapping of address to revision, as `revision` tells it")
    return {
        canonical(address): integer(f"since of {address!r}", revision, "a revision, or 0 for everything")
        for address, revision in since.items()
    }
