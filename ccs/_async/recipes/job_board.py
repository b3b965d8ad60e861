"""The workers of one pool in one store: they share one board of jobs, and each job is offered to one of them.

The leader takes the first job, and the next worker leads. The progress is written down by a worker that waits; while all
are busy, by a reporter in the background.
"""

from __future__ import annotations

import random
import time
import weakref
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from typing import NamedTuple, Self

from ccs._async.context_handle import Handle
from ccs._async.engine import Engine
from ccs._async.recipes.crowd import Waiter
from ccs._async.recipes.job_reporter import Reporter
from ccs._async.recipes.standing_crowd import StandingCrowd, View
from ccs._core.codec import encode
from ccs._core.commits.operations import revision_guard, set_op
from ccs._core.recipes.jobs import Board, Offer, Pool
from ccs.errors import Conflict
from ccs.types import JobProgress

__all__ = ["Report", "SharedBoard", "Worker", "write_report"]

# Seconds between a change and its report, and a random part as much again, so that of many stores one is the first.
_REPORT = 0.3
# Seconds for a reporter to end.
_FAREWELL = 1.0
_WIDEST = 16


class Report(NamedTuple):
    """The progress to write down, and the revision of the entry that says something else, 0 if there is none."""

    progress: JobProgress
    revision: int


async def write_report(handle: Handle, pool: Pool, report: Report) -> None:
    """Writes the progress of a pool down, unless that has changed since."""
    written = set_op(pool.progress, encode(asdict(report.progress)))
    with suppress(Conflict):  # another worker was faster
        await handle.commit([written], [revision_guard(pool.progress, report.revision)])


class Worker(Waiter):
    """A worker as a member of the crowd, with the handle by which it writes."""

    __slots__ = ("handle",)

    def __init__(self, key: str, handle: Handle) -> None:
        super().__init__(key)
        self.handle = handle


class SharedBoard(StandingCrowd):
    """All workers of a pool in one store."""

    def __init__(self, engine: Engine, address: str, pool: Pool) -> None:
        super().__init__(engine, address, f"the jobs {pool.name!r}", pool.patterns)
        self._pool = pool
        self._opening = engine.opening
        self._board = Board(pool)
        self._shown = self._board
        # Among so many of the oldest jobs to choose, so that several stores seldom reach for the same.
        self._spread = 1
        # The revision of the progress that is out of date, and when to write it (monotonic).
        self._due: tuple[int, float] | None = None
        self._reporter: Reporter | None = None

    @classmethod
    def of(cls, engine: Engine, address: str, pool: Pool) -> Self:
        """Returns the board that all workers of this pool in this store share."""
        return engine.common(("jobs", address, pool.name), lambda: cls(engine, address, pool))

    @property
    def progress(self) -> JobProgress:
        """How far the pool has come, as seen here."""
        return self._board.progress

    async def find(self, worker: Waiter, deadline: float | None) -> Offer | Report:
        """Waits for a job for this worker, which no other one of this store gets until it changes or is put back."""
        try:
            found = await self.wait(worker, partial(self._find, worker), deadline)
        finally:
            self.note_busy()
        return found[0]

    async def open(self, member: Waiter, handle: Handle) -> None:
        """Adds a worker. When this returns, it is shown all that was committed, or was due, before."""
        await super().open(member, handle)
        self.note_busy()

    async def leave(self, waiter: Waiter) -> None:
        """Removes a worker; with the last one, the reporter ends."""
        await super().leave(waiter)
        reporter = self._reporter
        if reporter and not self._members:
            await reporter.finished(_FAREWELL)

    def _find(self, worker: Waiter) -> tuple[Offer | Report] | None:
        with self._lock:
            found = self._report(worker) or self._board.pick(random.randrange(self._spread))
        return None if found is None else (found,)

    # Reports.

    def _report(self, waiter: Waiter) -> Report | None:
        if self._board.is_reported:
            self._due = None
            return None
        due = self._when_due()
        if time.monotonic() < due:
            waiter.until = due
            return None
        self._due = None
        return Report(self._board.progress, self._reported)

    @property
    def _reported(self) -> int:
        return self._board.reported.revision if self._board.reported else 0

    def _when_due(self) -> float:
        if self._due is None or self._due[0] != self._reported:
            self._due = self._reported, time.monotonic() + _REPORT * (1 + random.random())
        return self._due[1]

    def note_busy(self) -> None:
        """Has a reporter begin, if something is to be reported and no worker waits that does it. Any thread may call this."""
        if not self._waiting:
            with self._lock:
                if self._reporter is None and self._is_behind() and not self._opening.closed:
                    self._reporter = Reporter(self, self._opening, self._when_due())

    def reporter_ended(self) -> None:
        """Notes that the reporter has ended."""
        self._reporter = None

    def _is_behind(self) -> bool:
        view = self._picture
        return view is not None and bool(self._members) and (view.has_mail or not self._board.is_reported)

    async def catch_up(self, reporter: Waiter) -> float | None:
        """Takes in what has arrived, and writes the progress down if that is due.

        Returns when to look again (monotonic), None if there is nothing left to report.
        """
        if self._is_behind() and not self._waiting:
            with suppress(TimeoutError):
                report = await self.wait(reporter, lambda: self._report(reporter), time.monotonic())
                workers = [each for each in self._members.values() if isinstance(each, Worker)]
                if workers:
                    await write_report(random.choice(workers).handle, self._pool, report)
        return max(self._when_due(), time.monotonic() + _REPORT) if self._is_behind() else None

    def _new_picture(self) -> View:
        view = super()._new_picture()
        view.call_on_mail(partial(_note_busy, weakref.ref(self)))
        return view

    # What became of offers.

    def won(self) -> None:
        """Notes that a job was taken here."""
        self._spread = max(1, self._spread - 1)

    def lost(self) -> None:
        """Notes that another store was faster. The job stays aside until that commit is received."""
        self._spread = min(_WIDEST, 4 * self._spread)

    def put_back(self, path: str) -> None:
        """Offers a job again: its worker could not take it, or does not know whether it did."""
        with self._lock:
            self._board.put_back(path)
        self.look_again()


def _note_busy(board: weakref.ref[SharedBoard]) -> None:
    if found := board():
        found.note_busy()
