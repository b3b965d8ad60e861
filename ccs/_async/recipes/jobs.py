"""A pool of work: entries that match are jobs, each taken by one worker at a time, until it is done or dead."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any
from weakref import WeakSet

from ccs._async.entries import Entries
from ccs._async.recipes.claim import Claim
from ccs._async.recipes.job import Job
from ccs._async.recipes.job_board import Report, SharedBoard, Worker, write_report
from ccs._core.commits.operations import delete_op, nothing_below, version_guard
from ccs._core.names.address import check_path
from ccs._core.names.system_paths import name_of
from ccs._core.number_checks import integer
from ccs._core.recipes.claim import CLAIMS, Chance, resource_of
from ccs._core.recipes.jobs import Offer, abandoned, beginning, dead_job, job_path, pool_of, says
from ccs._core.times import Duration, seconds
from ccs._log import logger
from ccs._not_copyable import Local
from ccs.errors import CCSError, ClaimLost, Conflict, ContextFinished, ContextGone, Misuse, ValueTooLarge
from ccs.types import DeadJob, JobProgress

__all__ = ["Jobs"]

# How often to look for a moment at which nothing was done, to count.
_LOOKS = 10


class Jobs(Local):
    """The jobs of a pool: iterate, or `take` one by one, and end each with `done` or `failed`.

    Each job goes to one worker at a time, about in the order in which they were set; one that comes back is the last. A
    worker is one loop, or one caller of `take`: give each its own. Iterating waits for more jobs. It ends when the context
    is finished, or when this is closed; if the context has ended, it goes on once that is created again.

    Jobs that are neither done nor failed are given back when the block is left, and when this or the store is closed.
    """

    def __init__(
        self,
        entries: Entries,
        make: Callable[[str], Claim],
        patterns: tuple[str, ...],
        ttl: Duration,
        attempts: int,
    ) -> None:
        self._entries = entries
        self._handle = entries.handle
        self._make = make
        self._pool = pool_of(patterns)
        self._handle.require(*self._pool.patterns)
        seconds(ttl, "ttl", least=0.01)
        self._most = integer("attempts", attempts, "how often to try a job, at least once", 1)
        self._worker = Worker(secrets.token_hex(8), self._handle)
        # The board that it shares with the other workers in this store, while it listens.
        self._board: SharedBoard | None = None
        self._held: WeakSet[Job] = WeakSet()
        self._closed = self._taking = False

    def __repr__(self) -> str:
        state = "closed" if self._closed else f"{self._board.progress}" if self._board else "not listening"
        return f"<Jobs {self._pool.name!r} in {self._handle.address}, {state}>"

    @property
    def progress_path(self) -> str:
        """The path of the entry that shows the progress as a map, to be watched; it may be a second behind.

        The stores that have workers write it, also while all workers are busy.
        """
        return self._pool.progress

    async def __aenter__(self) -> Jobs:
        await self._listen()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.aclose()

    def __aiter__(self) -> Jobs:
        return self

    async def __anext__(self) -> Job:
        while True:
            try:
                return await self.take()
            except ContextGone as error:
                logger.info("%r goes on if the context is created again: %s", self, error)
            except ContextFinished:
                raise StopAsyncIteration from None
            except Misuse:
                if not self._closed:
                    raise
                raise StopAsyncIteration from None

    async def take(self, timeout: Duration | None = None) -> Job:
        """Waits for a job that nobody has, takes it in one commit, and returns it.

        Raises `TimeoutError` after `timeout` seconds; `ContextFinished` or `ContextGone` once no job can come; after
        `Unavailable`, take again.
        """
        deadline = None if timeout is None else time.monotonic() + seconds(timeout, "timeout")
        with self._alone():
            while True:
                try:
                    job = await self._next(deadline)
                except TimeoutError:
                    where = f"{self._pool.name!r} was free in {self._handle.address}"
                    raise TimeoutError(f"no job that matches {where} within {timeout} seconds") from None
                except Misuse:
                    if self._closed:  # while it waited
                        raise self._over() from None
                    raise
                if job:
                    self._held.add(job)
                    return job

    async def progress(self) -> JobProgress:
        """Returns how many jobs are waiting, taken, done and dead.

        A job is done for ever: one whose path is set again counts again. Dead ones count until their path is set again, or
        they are forgotten.
        """
        for _ in range(_LOOKS):
            before = await self._count_done()
            found = await self._entries.paths(*self._pool.given, *self._pool.claims, *self._pool.of("dead"))
            if before == await self._count_done():
                break
        matches = self._pool.matcher.matches
        claimed = {resource_of(path) for path in found if path.startswith(f"{CLAIMS}/")}
        root = job_path("dead", "x").removesuffix("/x")
        jobs = [path for path in found if not path.startswith("@")]
        died = {name_of(root, path) for path in found if path.startswith(f"{root}/")}
        dead = [path for path in died.difference(jobs) if matches(path)]
        taken = len(claimed.intersection(jobs))
        return JobProgress(len(jobs) - taken, taken, before, len(dead))

    async def _count_done(self) -> int:
        return await self._entries.get(self._pool.done) or 0

    async def result(self, path: str, default: Any = None) -> Any:
        """Returns the result with which the job of a path was done, for a day; `default` if there is none.

        To wait for it, use `wait_for` on the path `@jobs/results/<path>`.
        """
        return await self._entries.get(job_path("results", check_path(path)), default)

    async def dead(self) -> list[DeadJob]:
        """Returns the jobs that were taken `attempts` times and never done, the first to die first.

        A job is dead until its path is set again, which makes a new job, or until `forget`.
        """
        found = await self._entries.snapshot(*self._pool.of("dead"))
        again = set(await self._entries.paths(*self._pool.given))
        entries = sorted(found.values(), key=lambda entry: entry.revision)
        jobs = map(dead_job, entries)
        return [job for job in jobs if self._pool.matcher.matches(job.path) and job.path not in again]

    async def forget(self, path: str) -> bool:
        """Forgets the dead job of a path. Returns whether there was one."""
        dead = delete_op(job_path("dead", check_path(path)))
        try:
            applied = await self._handle.commit([dead], [version_guard(path, 0)])
        except Conflict:  # its path was set again
            return False
        return applied.result == (1,)

    async def aclose(self) -> None:
        """Closes it: a waiting call ends, and the jobs that it took and nobody settled are given back."""
        self._closed = True
        listened = self._board is not None
        try:
            for job in list(self._held):
                await self._give_back(job)
            if listened:
                await self._report_last()
        finally:
            await self._leave()

    async def _report_last(self) -> None:
        """Writes the progress down: if no worker is left, nobody else will."""
        try:
            progress = await self.progress()
            reported = await self._entries.entry(self._pool.progress)
            if not says(reported, progress):
                await write_report(self._handle, self._pool, Report(progress, reported.revision if reported else 0))
        except CCSError as error:
            logger.info("%r did not write its progress down: %s", self, error)

    async def _give_back(self, job: Job) -> None:
        try:
            await job.give_back()
        except ClaimLost:
            logger.info("%r had been lost when it was given back", job)
        except CCSError as error:
            logger.info("%r is free when its claim expires: %s", job, error)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        if self._taking:
            raise Misuse(f"{self!r} is waiting already: give every worker jobs() of its own")
        self._taking = True
        try:
            yield
        finally:
            self._taking = False

    async def _next(self, deadline: float | None) -> Job | None:
        board = await self._listen()
        found = await board.find(self._worker, deadline)
        if isinstance(found, Report):
            await write_report(self._handle, self._pool, found)
            return None
        try:
            if found.attempts < self._most:
                return await self._accept(board, found)
            await self._bury(found)
        except BaseException:
            board.put_back(found.job.path)
            raise
        return None

    async def _accept(self, board: SharedBoard, offer: Offer) -> Job | None:
        path = offer.job.path
        claim = self._make(path)
        taking = claim._new_taking()
        site = claim._wish.sites[0]
        # Whoever stands in line for the claim is no worker, and waits on.
        chance = Chance(site, site.path, [version_guard(site.path, 0), nothing_below(site.slots)])
        move = beginning(offer)
        try:
            await claim._obtain(taking, partial(taking.take, [chance], move.guards, move.operations))
        except Conflict:
            board.lost()
            return None
        except ClaimLost as error:  # the answer took longer than the claim lasts
            logger.warning("%r was taken too late, and is offered again: %s", path, error)
            board.put_back(path)
            return None
        board.won()
        return Job(self._handle, self._pool, offer.job, claim, offer.attempts + 1, self._most)

    async def _bury(self, offer: Offer) -> None:
        move = abandoned(offer)
        try:
            await self._handle.write(move.operations, move.guards)
        except ValueTooLarge as error:  # moving a value counts it twice, and a commit has its limit
            self._leave_dead(offer, error)
        except Conflict as conflict:
            if conflict.policy:
                self._leave_dead(offer, conflict)

    def _leave_dead(self, offer: Offer, error: CCSError) -> None:
        """Leaves a dead job where it is, set aside, so that it holds up no other."""
        logger.warning("the dead job %r stays where it is: %s", offer.job.path, error)

    async def _listen(self) -> SharedBoard:
        board = self._board or (None if self._closed else await self._open())
        if board is None or self._closed:
            await self._leave()
            raise self._over()
        return board

    def _over(self) -> Misuse:
        return Misuse(f"these jobs {self._pool.name!r} were closed; make others")

    async def _open(self) -> SharedBoard:
        board = SharedBoard.of(self._handle.engine, self._handle.address, self._pool)
        await board.open(self._worker, self._handle)
        self._board = board
        return board

    async def _leave(self) -> None:
        board = self._board
        self._board = None
        if board:
            board.dismiss(self._worker, self._over())
            await board.leave(self._worker)
