"""A barrier: no caller passes before all parties have arrived, and an arrival either counts or is taken back."""

from __future__ import annotations

import secrets
import time

from ccs._async.entries import Entries
from ccs._async.optimistic import Race
from ccs._async.recipes.crowd import Waiter
from ccs._async.recipes.gathering import Gathering
from ccs._compat import async_shielded
from ccs._core.names.pattern import escape
from ccs._core.recipes.barrier import Arrival, arrival_at, check_parties, count_with, is_open, next_action, withdrawal
from ccs._core.recipes.guarded_commit import GuardedCommit
from ccs._core.recipes.lease import Lease
from ccs._core.times import Duration, seconds
from ccs._log import logger
from ccs.errors import CCSError, Conflict
from ccs.types import Entry

__all__ = ["Barrier"]


class Barrier:
    """One arrival at a barrier; see `Context.barrier`."""

    def __init__(self, entries: Entries, name: str, parties: int, timeout: Duration, ttl: Duration) -> None:
        self._entries = entries
        self._handle = entries.handle
        self._timeout = seconds(timeout, "timeout")
        term = self._handle.term(seconds(ttl, "ttl", least=0.1))
        self._arrival: Arrival = arrival_at(name, secrets.token_hex(8), parties, term)
        self._handle.require(escape(self._arrival.root), f"{escape(self._arrival.root)}/**")
        self._lease: Lease | None = None
        self._came = 1
        # The revision that the last look was based on.
        self._decided = 0

    async def wait(self) -> None:
        """Waits until the barrier is open. If it raises, the arrival has been taken back."""
        try:
            await self._pass(time.monotonic() + self._timeout)
        except TimeoutError:
            if await async_shielded(self._withdraw):
                raise TimeoutError(self._missed()) from None
        except BaseException as error:
            await self._give_up(error)
            raise
        finally:
            self._let_go()
            self._handle.forget(self._arrival.path)

    async def _pass(self, deadline: float) -> None:
        gathering = Gathering.of(self._handle.engine, self._handle.address, self._arrival.root)
        waiter = Waiter(self._arrival.path)
        try:
            gathering.join(waiter)
            while steps := await gathering.wait(waiter, lambda: self._look(gathering, waiter), deadline):
                await self._take(steps[0], waiter)
        finally:
            await gathering.leave(waiter)

    async def _take(self, step: GuardedCommit, waiter: Waiter) -> None:
        try:
            applied = await self._handle.commit(step.operations, step.guards)
        except Conflict:
            waiter.after = self._decided + 1  # the picture will show the commit that was faster
        else:
            self._handle.expect(step.ttl)
            waiter.after = applied.revision

    def _look(self, gathering: Gathering, waiter: Waiter) -> list[GuardedCommit] | None:
        """Returns the step to commit next, none if the barrier is open; None: wait."""
        # First, as another thread may be changing the entries.
        self._decided = gathering.seen
        entries = gathering.entries
        barrier = entries.get(self._arrival.root)
        check_parties(self._arrival, barrier)
        if is_open(barrier):
            return []
        self._came = count_with(self._arrival, entries)
        entry = entries.get(self._arrival.path)
        if entry is None:
            # Before the commit: if the store is closed meanwhile, it gives the arrival back all the same.
            self._handle.holding(self._arrival.path, None)
        else:
            self._renew(entry)
            if self._came < self._arrival.parties:
                return None
            opens_at = gathering.opens_at(self._arrival)
            if time.monotonic() < opens_at:
                waiter.until = opens_at
                return None
        step = next_action(self._arrival, dict(entries))
        return [step] if step else None

    def _renew(self, entry: Entry) -> None:
        """Renews the present arrival: a second one, if the process stood still until the first had expired."""
        if self._lease is None or self._lease.revision != entry.revision:
            self._let_go()
            # `until` is unused here; the picture decides.
            self._lease = Lease(entry.path, entry.revision, self._arrival.term, until=0.0)
            self._handle.hold(self._lease)

    def _let_go(self) -> None:
        lease = self._lease
        self._lease = None
        if lease:
            self._handle.let_go(lease)

    async def _withdraw(self) -> bool:
        """Takes the arrival back. Returns False if that is too late, because the barrier is open."""
        self._let_go()
        race = Race("withdrawal from a barrier")
        while True:
            barrier = await self._entries.entry(self._arrival.root)
            if is_open(barrier):
                return False
            step = withdrawal(self._arrival, barrier)
            try:
                await self._handle.commit(step.operations, step.guards)
                return True
            except Conflict as conflict:
                await race.lose(conflict)

    async def _give_up(self, error: BaseException) -> None:
        try:
            await async_shielded(self._withdraw)
        except CCSError as problem:
            name = self._arrival.name
            logger.info("an arrival at %r stays until its lease expires: %s (after %r)", name, problem, error)

    def _missed(self) -> str:
        arrived = f"{self._came} of {self._arrival.parties} had arrived"
        return f"{arrived} at the barrier {self._arrival.name!r} after {self._timeout:g} s; wait for it again"
