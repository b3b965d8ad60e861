"""A watch across contexts, existing and new ones, in order within each.

The dispatcher hands over every commit of the namespace, and the watch has a cursor for each context. If a commit does not
follow its cursor, the watch reads the journal of that context; after a reconnect or a full buffer, it reads all journals.

A context that came and went meanwhile no longer has a journal, but leaves its last revisions behind for ten minutes: that of
its end, and the one before, which tells whether the watch has received everything. A survey finds these contexts, unless it
comes too late; one change with `op="missed"` reports them together.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

from ccs._async.changes.store_watch_histories import Histories, patience_of
from ccs._async.context_listing import existing
from ccs._async.engine import Engine
from ccs._core.changes.resuming import check_since, checked_revisions
from ccs._core.changes.store_watch_backlog import Backlog
from ccs._core.commits.journal import Cursor, JournalPage
from ccs._core.number_checks import integer
from ccs._core.times import Duration, seconds
from ccs._not_copyable import Local
from ccs.errors import (
    CCSError,
    Misuse,
    UnknownFormat,
)
from ccs.types import Change

__all__ = ["StoreWatch"]

# After a survey, no routine one follows for this many times its duration.
_PAUSE = 50
# All servers of a Cluster, among those that do not answer.
_ALL = "all"
# Seconds for which the server certainly remembers a context that has ended.
_REMEMBERED = 540.0


class StoreWatch(Histories, Local):
    """The changes that match in all contexts, in order within each; enter it, then iterate or `receive`.

    `revision` is its cursor: a mapping of address to revision. The end of a context is a change with `op="gone"`. After
    each gap (a lost connection, a full buffer), one change with `op="missed"` reports the contexts that came and went in
    it, or whose last commits were not received before they ended; its `value` lists their addresses, as far as they are
    known. In a Cluster this also happens without a gap, to a context that lives for milliseconds only: a watch subscribes to
    its channel when it hears of its first commit.

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
        self._patterns = patterns
        self._since = None if since is None else checked_revisions(since)
        most = integer("buffer", buffer, "how many changes to hold")
        backlog = Backlog(most, integer("buffer_bytes", buffer_bytes, "how many bytes of changes to hold"))
        super().__init__(engine, patterns, backlog)
        # So many messages come before the next journal is read: they may hold what a dropped context no longer has.
        self._ahead = 0
        self._stopped = self._entered = False

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
        await self._dispatcher.add_observer(self)
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
        await self._dispatcher.remove_observer(self)

    def stop(self) -> None:
        """Ends the consumer, wherever it waits."""
        self._stopped = True
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
        self._now = await self._opening.commands.earliest_time()
        await self._check_since()
        self._ends.begin(self._now)
        self._heard_at = time.monotonic()

    async def _check_since(self) -> None:
        for address, revision in (self._since or {}).items():
            if revision > self._now:  # in the future, unless the clock was set back
                check_since(revision, await self._engine.look(address, revision, 0), address)

    async def _stand_at_present(self) -> None:
        found = await existing(self._engine, self._matcher)
        await self._dispatcher.follow(self, found)
        for address in found:
            try:
                page = await self._engine.look(address, 0, 0)
            except UnknownFormat as error:
                self._report_unknown(address, error)
            else:
                self._stand(address, page)

    def _stand(self, address: str, page: JournalPage) -> None:
        if not page.exists:
            return self._dispatcher.unfollow(self, address)
        self._cursors[address] = Cursor(page.last)
        self._handed[address] = page.last
        self._plan(address, page)

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
        moments = [deadline, self._deadlines.next(), self._silent.next_at() if self._puts_off else self._ends.judged_at]
        if deadline is not None and deadline <= now:
            raise TimeoutError(f"nothing matched {', '.join(self._patterns)} in time")
        await self._signal.wait(min((when - now for when in moments if when is not None), default=None))

    async def _take_in(self) -> bool:
        """Reads more of history, if there is more. Returns whether the queue may hold something now."""
        now = time.monotonic()
        if not self._behind:
            self._ahead = len(self._backlog)
        self._behind.add(self._deadlines.due(now))
        doubted = self._backlog.doubted
        self._behind.add(doubted)
        self._backlog.forget_doubts(len(doubted))
        address = self._behind.next(now)
        if address is not None and not (self._backlog and self._ahead):
            await self._read_in_turn(address)
            self._ahead = len(self._backlog)
        elif self._backlog:
            self._ahead = max(0, self._ahead - 1)
            self._follow(*self._backlog.take())
        elif self._survey_due and not self._silent.rests(_ALL, now):
            await self._asked(None if self._opening.commands.topology.only else _ALL, self._survey)
        elif not self._puts_off and self._ends.judged_at is not None and self._ends.judged_at <= now:
            self._report_missed()
        elif self._passing:
            error = self._passing
            self._passing = None
            raise error
        else:
            return False
        return True

    @property
    def _puts_off(self) -> bool:
        """Whether something is still to be asked of servers that are left alone."""
        return bool(self._behind or self._survey_due)

    async def _survey(self, patient_for: float | None) -> None:
        began = time.monotonic()
        due = self._survey_due
        heard_at = self._heard_at
        try:
            self._survey_due = ""
            found = dict.fromkeys(await existing(self._engine, self._matcher, patience_of(patient_for)))
            ended = time.monotonic()
            self._behind.add({**found, **dict.fromkeys(self._cursors)})
            self._ends.survey(found, ended, too_late=due != "routine" and ended - heard_at > _REMEMBERED)
        except BaseException:
            self._survey_due = due
            raise
        self._heard_at = ended
        self._rest_until = ended + (ended - began) * _PAUSE
