"""A watch: every matching change of one context after a cursor, in order, each once.

It has two cursors: `_read` is how far it has read history, `_handed` how far it has handed changes out. It takes records
from the mailbox as long as the mailbox continues `_read` without a gap. If there is a gap, or a record cannot be read, it
reads the journal. Pages of the journal and the mailbox overlap, and the revision identifies a record that comes twice.
Every record follows `_read`: `Mailbox.continues` checks that for the mailbox, `follow` for the journal.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from ccs._async.changes.moments import revision_at
from ccs._async.engine import Engine
from ccs._core.changes.record_changes import changes_of, cursors_of, initial_change, outcome_in
from ccs._core.changes.resuming import check_resume, check_since, checked_cursor, follow
from ccs._core.changes.watch_mailbox import Mailbox
from ccs._core.commits.entry import to_entry
from ccs._core.commits.journal import MALFORMED, Cursor, JournalPage, Record
from ccs._core.commits.script_calls import entries_call
from ccs._core.names.pattern import compile_patterns
from ccs._core.names.reach import Reach
from ccs._core.number_checks import integer
from ccs._core.retry import Patience
from ccs._core.times import Duration, seconds
from ccs._log import logger
from ccs._not_copyable import Local
from ccs.errors import (
    CCSError,
    ContextFinished,
    ContextGone,
    HistoryCompacted,
    HistoryDamaged,
    HistoryForked,
    InvalidValue,
    Misuse,
)
from ccs.types import Change, Entry

if TYPE_CHECKING:
    import typing_extensions

    # A `Watch` without a parameter is one of changes. (At run time, defaults come with Python 3.13.)
    Item = typing_extensions.TypeVar("Item", default=Change)
else:
    Item = TypeVar("Item")

__all__ = ["Watch"]

_PAGE = 256

_ENDS = (ContextGone, HistoryCompacted, HistoryDamaged, HistoryForked)


class Watch(Local, Generic[Item]):
    """The changes of a context that match some patterns; enter it, then iterate or `receive`.

    It goes live when it is entered: every commit acknowledged from then on is delivered, once and in order. It ends when
    the context is finished. `ContextGone`, `HistoryCompacted`, `HistoryForked` and `HistoryDamaged` end it with an error;
    after `Unavailable`, receive again. It has one consumer at a time.
    """

    def __init__(
        self,
        engine: Engine,
        address: str,
        patterns: tuple[str, ...],
        *,
        since: int | datetime | None = None,
        initial: bool = False,
        buffer: int = 1024,
        buffer_bytes: int = 8_388_608,
        reach: Reach | None = None,
    ) -> None:
        if initial and since is not None:
            raise InvalidValue("initial=True starts from the present: since cannot be given with it")
        self._engine = engine
        self._address = address
        self._patterns = patterns
        self._matcher = compile_patterns(patterns).narrowed(reach.shows if reach else None)
        self._since = None if since is None else checked_cursor(since)
        # Whether present entries are still to be handed out.
        self._initial = self._presents = initial
        self._opening = engine.opening
        self._dispatcher = engine.opening.dispatcher
        self._signal = self._dispatcher.signal()
        most = integer("buffer", buffer, "how many changes to hold")
        most_bytes = integer("buffer_bytes", buffer_bytes, "how many bytes of changes to hold")
        self._mailbox = Mailbox(self._matcher, max(1, most), max(1, most_bytes), self._signal.set)
        self._queue: deque[tuple[Item, Cursor | None]] = deque()
        self._read = self._handed = Cursor(since if isinstance(since, int) else 0)
        self._catching_up = self._entered = self._stopped = self._finished = False
        # A watch that is to end when it is idle reads the journal once more before it ends.
        self._ends_idle = self._looks_once_more = False
        # The first revision of the context that is watched, and of the earlier one at the same address.
        self._first = self._first_before = 0
        self._outcome: Any = None
        self._failure: CCSError | None = None

    def __repr__(self) -> str:
        state = "stopped" if self._stopped else "live" if self._entered else "not entered"
        return f"<Watch of {', '.join(self._patterns)} in {self._address} at {self.revision}, {state}>"

    @property
    def revision(self) -> int | None:
        """The revision of the last commit that was handed out completely, or that does not match; resume with `since=`.

        With `initial=True` it is None before all present entries were handed out, or without any the first commit was made.
        """
        revision = (self._handed if self._queue else self._passed()).revision
        return None if self._presents or (self._initial and not revision) else revision

    async def __aenter__(self) -> Self:
        if self._entered:
            raise Misuse("a watch is entered once; make another one")
        self._opening.check()
        self._entered = True
        # The store first: this opens one that was not entered.
        await self._opening.ready()
        await self.start()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Item:
        change = await self._next(None)
        if change is None:
            raise StopAsyncIteration
        return change

    async def receive(self, timeout: Duration | None = None) -> Item:
        """Waits for the next change and returns it. Raises `TimeoutError` after `timeout` seconds.

        Raises `ContextFinished` after the last change, and `Misuse` if the watch is not entered, or was closed; iterating
        a closed watch just ends.
        """
        deadline = None if timeout is None else time.monotonic() + seconds(timeout, "timeout")
        return await self._receive(deadline)

    async def _receive(self, deadline: float | None) -> Item:
        change = await self._next(deadline)
        if change is not None:
            return change
        if self._finished:
            raise ContextFinished(self._address, self._outcome)
        self._opening.check()
        raise Misuse("this watch was closed, so it receives nothing more; make another one, with since= its revision")

    async def aclose(self) -> None:
        """Ends the watch, and drops the changes that wait in it."""
        self.stop()
        await self._dispatcher.leave(self._address, self._mailbox)

    def stop(self) -> None:
        """Ends the consumer, wherever it waits. Any task or callback may call it."""
        self._stopped = True
        self._signal.set()

    def end_when_idle(self) -> None:
        """Ends the consumer once it has received all that was committed by now. Internal."""
        self._looks_once_more = True
        self._ends_idle = True
        self._signal.set()

    async def undelivered(self, patience: Patience) -> int:
        """Returns how many changes were committed and not handed out, as far as the server answers in time. Internal."""
        unread = sum(map(self._count_in, self._mailbox.records))
        if self._catching_up or self._mailbox.behind or not self._mailbox.continues(self._read):
            with suppress(CCSError):
                unread = await self._count_in_journal(patience)
        return len(self._queue) + unread

    async def _count_in_journal(self, patience: Patience) -> int:
        unread = 0
        cursor = self._read
        while True:
            page = await self._engine.look(self._address, cursor.revision, _PAGE, patience)
            for record in follow(cursor, page, self._address):
                unread += self._count_in(record)
                cursor = record.cursor
            if not page.records or cursor.revision == page.last or patience.over(time.monotonic()):
                return unread

    def _count_in(self, record: Record) -> int:
        """Returns how many changes of a record are still to be read."""
        if record.revision <= self._read.revision:
            return 0
        with suppress(*MALFORMED):
            return len(self._changed(record))
        return 0

    def begin_again(self) -> None:
        """After `ContextGone`: goes on from the beginning of the next context at this address. Internal."""
        self._first_before = self._first
        self._first = 0
        self._presents = False
        self._read = self._handed = Cursor(0)
        self._finished = False
        self._catch_up()
        # Last: if this is interrupted, the failure stays, and it begins again.
        self._failure = None

    async def start(self) -> None:
        """Goes live. Internal: users enter the watch."""
        self._entered = True
        patience = self._opening.commands.patience()
        await self._dispatcher.join(self._address, self._mailbox)
        try:
            await self._begin(patience)
        except BaseException:
            await self.aclose()
            raise

    async def _begin(self, patience: Patience) -> None:
        if self._initial:
            await self._take_snapshot(patience)
        if isinstance(self._since, datetime):
            revision = await revision_at(self._engine, self._address, self._since, patience)
            self._read = self._handed = Cursor(revision)
        page = await self._engine.look(self._address, self._read.revision, 0, patience)
        if self._since is None and not self._initial:
            self._read = self._handed = Cursor(page.last)
        else:
            check_since(self._read.revision, page, self._address)
            check_resume(self._read, page, self._address)
        self._first = page.first
        if self._read.revision != page.last or self._since is not None:
            self._catch_up()
        self._finished = page.finished > 0 and page.last == self._read.revision
        self._outcome = outcome_in(page.outcome)
        self._dispatcher.anchor(self._address, page)

    async def _take_snapshot(self, patience: Patience) -> None:
        keys = self._engine.keys(self._address)
        call = entries_call(keys, self._matcher.selectors, self._matcher.matches)
        found = await self._opening.commands.call(call, patience)
        entries = sorted(found.entries.items(), key=lambda item: (item[1].revision, item[0]))
        self._read = Cursor(found.revision)
        changes = [self._present(to_entry(path, raw)) for path, raw in entries]
        self._queue.extend(zip(changes, cursors_of(changes, self._read), strict=True))
        self._presents = bool(entries)
        if not entries:
            self._handed = self._read

    async def _next(self, deadline: float | None) -> Item | None:
        if not self._entered:
            raise Misuse("this watch is not entered, so it receives nothing: use it in a with block")
        while True:
            if self._stopped:
                return None
            self._opening.check()
            if self._queue:
                return self._hand_out()
            if self._failure:
                raise self._failure
            if self._finished:
                return None
            self._signal.clear()
            # A stop meanwhile may have set the signal before it was cleared.
            if not await self._take_in() and not self._stopped:
                if self._ends_idle and not self._look_once_more():
                    return None
                await self._wait(deadline)

    def _hand_out(self) -> Item:
        change, cursor = self._queue.popleft()
        if cursor:
            self._handed = cursor
            self._presents = False
        self._engine.stats.add("deliveries")
        return change

    async def _wait(self, deadline: float | None) -> None:
        left = None if deadline is None else deadline - time.monotonic()
        if left is not None and left <= 0:
            raise TimeoutError(f"nothing matched {', '.join(self._patterns)} in {self._address} in time")
        await self._signal.wait(left)

    def _look_once_more(self) -> bool:
        if not self._looks_once_more:
            return False
        self._looks_once_more = False
        self._catch_up()
        self._signal.set()
        return True

    async def _take_in(self) -> bool:
        """Reads more of history, if there is more. Returns whether the queue may hold something now."""
        record = self._mailbox.first
        if self._catching_up:
            await self._read_journal()
        elif not self._mailbox.joins(self._read):
            self._catch_up()
        elif record:
            self._take(record)
        elif self._mailbox.behind:
            self._advance()
            self._catch_up()
        elif self._mailbox.failure:
            error = self._mailbox.failure
            self._mailbox.failure = None
            raise error
        else:
            self._advance()
            return False
        return True

    def _passed(self) -> Cursor:
        # `seen` also counts commits that do not match. It is read before `empty`. Nothing is changed here: in the blocking
        # colour, another thread may call this while a record is being taken out of the mailbox.
        seen = self._mailbox.seen
        goes_on = self._mailbox.continues(self._read) and not self._catching_up
        passed_over = goes_on and self._mailbox.empty and seen.revision > self._read.revision
        return seen if passed_over else self._read

    def _advance(self) -> None:
        self._read = self._passed()
        if not self._queue:
            self._handed = self._read

    def _catch_up(self) -> None:
        """Goes on with the journal, while the mailbox collects new records from its beginning."""
        # In this order, so that after an interrupt in between too much is read, and nothing is missed.
        self._catching_up = True
        self._mailbox.begin()

    async def _read_journal(self) -> None:
        page = await self._engine.look(self._address, self._read.revision, _PAGE)
        try:
            for record in follow(self._read, page, self._address, self._first):
                self._expand(record)
        except _ENDS as error:
            return self._fail(error)
        if not page.records or page.records[-1].revision == page.last:
            self._caught_up(page)

    def _caught_up(self, page: JournalPage) -> None:
        self._catching_up = False
        self._finished = self._finished or page.finished > 0
        self._outcome = outcome_in(page.outcome)
        self._engine.stats.add("resumes")
        self._dispatcher.anchor(self._address, page)

    def _take(self, record: Record) -> None:
        if record.previous == 0 and record.revision == self._first_before:
            # A late message of the earlier context at this address, which was delivered already.
            return self._catch_up()
        try:
            self._expand(record)
        except HistoryDamaged as error:
            # Any client can send a message; only the journal proves what was committed.
            logger.warning("%s: a message cannot be read, so the journal is read: %s", self._address, error)
            return self._catch_up()
        except ContextGone as error:
            self._fail(error)
        self._mailbox.take()
        return None

    def _fail(self, error: CCSError) -> None:
        """Ends the watch with an error, once all that was read is handed out."""
        if isinstance(error, HistoryForked | HistoryDamaged):
            logger.error("%s: %s", type(error).__name__, error)
        self._failure = error

    def _expand(self, record: Record) -> None:
        # `_handed` too: reading may have been interrupted after the queue was filled and before `_read` was set.
        if record.revision <= max(self._read.revision, self._handed.revision):
            return
        if record.drops or (record.previous == 0 and self._read.revision):
            raise ContextGone(self._address)
        try:
            changes = self._changed(record)
            outcome = outcome_in(record.operations[0].after) if record.finishes else self._outcome
        except MALFORMED as error:
            raise HistoryDamaged(self._address, record.revision) from error
        self._finished = record.finishes
        self._outcome = outcome
        self._first = self._first if record.previous else record.revision
        # In one call: an interrupt leaves all changes of the commit in the queue, or none.
        self._queue.extend(zip(changes, cursors_of(changes, record.cursor), strict=True))
        self._read = record.cursor
        if not self._queue:
            self._handed = self._read

    def _present(self, entry: Entry) -> Any:
        return initial_change(entry, self._address)

    def _changed(self, record: Record) -> Sequence[Any]:
        return changes_of(record, self._address, self._matcher)
