"""A barrier: nobody passes before enough have come, and an arrival either counts or is taken back."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping

from ccs._async.changes.watch_kinds import Picture
from ccs._async.entries import Entries
from ccs._async.recipes.waiting import looking, take
from ccs._compat import async_shielded
from ccs._core.names.pattern import escape
from ccs._core.recipes.barrier import Arrival, arrival_at, arrivals_in, check_parties, is_open, next_action, withdrawal
from ccs._core.recipes.lease import Lease
from ccs._core.times import Duration, seconds
from ccs._log import logger
from ccs.errors import CCSError, Conflict
from ccs.types import Entry

__all__ = ["Barrier"]


class Barrier:
    """One arrival at a barrier; see `Context.barrier`."""

    def __init__(self, entries: Entries, name: str, parties: int, timeout: Duration, ttl: Duration) -> None:
        self._entries, self._place = entries, entries.place
        self._timeout = seconds(timeout, "timeout")
        term = self._place.term(seconds(ttl, "ttl", least=0.1))
        self._arrival: Arrival = arrival_at(name, secrets.token_hex(8), parties, term)
        self._lease: Lease | None = None
        self._came = 1

    async def wait(self) -> None:
        """Waits until the barrier is open; otherwise the arrival is taken back."""
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

    async def _pass(self, deadline: float) -> None:
        root = escape(self._arrival.root)

        async def come(picture: Picture) -> None:
            while True:
                barrier = picture.entries.get(self._arrival.root)
                check_parties(self._arrival, barrier)
                if is_open(barrier):
                    return
                self._renew(picture.entries)
                await take(self._place, picture, next_action(self._arrival, picture.entries), deadline)

        await looking(self._place, (root, f"{root}/**"), come, deadline)

    def _renew(self, entries: Mapping[str, Entry]) -> None:
        """Renews the arrival that stands there: another one, if the process was stopped until the first had lapsed."""
        self._came = len({*arrivals_in(entries, self._arrival), self._arrival.path})
        entry = entries.get(self._arrival.path)
        if entry and (self._lease is None or self._lease.revision != entry.revision):
            self._let_go()
            # Believed by nobody: what stands in the picture is what counts.
            self._lease = Lease(entry.path, entry.revision, self._arrival.term, until=0.0)
            self._place.hold(self._lease)

    def _let_go(self) -> None:
        lease, self._lease = self._lease, None
        if lease:
            self._place.let_go(lease)

    async def _withdraw(self) -> bool:
        """Takes the arrival back; False if that is too late, since the barrier is open."""
        self._let_go()
        while not is_open(barrier := await self._entries.entry(self._arrival.root)):
            step = withdrawal(self._arrival, barrier)
            try:
                await self._place.commit(step.operations, step.guards, step.size, heeding=False)
            except Conflict:
                continue
            return True
        return False

    async def _give_up(self, error: BaseException) -> None:
        try:
            await async_shielded(self._withdraw)
        except CCSError as problem:
            logger.info(
                "an arrival at %r stays until its lease ends: %s (after %r)", self._arrival.name, problem, error
            )

    def _missed(self) -> str:
        name, parties = self._arrival.name, self._arrival.parties
        return (
            f"{self._came} of {parties} had come to the barrier {name!r} after {self._timeout:g} s; wait for it again"
        )
