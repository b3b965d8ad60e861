"""The line of waiters for one claim in one store, which share one picture of the claim and its tickets.

One waiter, the leader, receives the changes, and wakes only the waiters that they concern: the first in line, and those
whose ticket has gone. The others sleep, so a waiter costs the same in a long line as in a short one. A leader that leaves,
for whatever reason, wakes another waiter to lead.
"""

from __future__ import annotations

import time
from contextlib import suppress
from typing import Self

from ccs._async.changes.watch_kinds import Picture
from ccs._async.engine import Engine
from ccs._compat import AsyncGate, Lock, async_sleep
from ccs._core.recipes.claim import Site, first_of
from ccs._core.recipes.lease import Lease
from ccs._log import logger
from ccs.errors import (
    ContextFinished,
    ContextGone,
    HistoryCompacted,
    HistoryDamaged,
    HistoryForked,
    Unavailable,
)
from ccs.types import Entry

__all__ = ["Turns"]

# Seconds before the next try after an outage: a server that refuses at once would do so again.
_REST = 0.5


class _Waiter:
    """A ticket in the line, and the gate that its waiter sleeps at; a picture older than `after` does not count."""

    __slots__ = ("after", "cleared", "gate", "ticket")

    def __init__(self, ticket: Lease, after: int) -> None:
        self.ticket = ticket.path
        self.after = max(ticket.revision, after)
        self.gate = AsyncGate()
        # Whether its line has gone with the context.
        self.cleared = False


class _Line(Picture):
    """A picture of a claim and its tickets that notes which of these have gone."""

    def __init__(self, engine: Engine, address: str, site: Site) -> None:
        super().__init__(engine, address, site.patterns)
        self.gone: list[str] = []

    def _put(self, path: str, entry: Entry | None) -> None:
        super()._put(path, entry)
        if entry is None:
            self.gone.append(path)


class Turns:
    """The line for one claim, as far as one store waits in it; enter it for each ticket."""

    def __init__(self, engine: Engine, address: str, site: Site) -> None:
        self._engine = engine
        self._address = address
        self._site = site
        self._lock = Lock()
        self._waiters: dict[str, _Waiter] = {}
        self._leader: _Waiter | None = None
        self._picture: _Line | None = None
        # What the picture shows: its revision, and the ticket that is first in line if the claim is free.
        self._seen = 0
        self._first: str | None = None

    def __repr__(self) -> str:
        return f"<Turns of {len(self._waiters)} for {self._site.resource!r} in {self._address}, seen {self._seen}>"

    @classmethod
    def of(cls, engine: Engine, address: str, site: Site) -> Self:
        """Returns the line that all waiters for this claim in this store share."""
        return engine.common(("turns", address, site.path), lambda: cls(engine, address, site))

    async def comes_up(self, ticket: Lease, after: int, deadline: float) -> bool:
        """Waits until it is the ticket's turn after a revision. Returns False if the ticket has expired.

        Raises `TimeoutError` at the deadline (monotonic seconds).
        """
        waiter = _Waiter(ticket, after)
        try:
            self._waiters[waiter.ticket] = waiter
            return await self._wait(waiter, deadline)
        finally:
            try:
                await self._leave(waiter)
            except BaseException:
                await self._leave(waiter)  # the others must not wait for a leader that has gone
                raise

    async def _wait(self, waiter: _Waiter, deadline: float) -> bool:
        while True:
            turn = self._turn_of(waiter)
            if turn is not None:
                return turn
            if self._leads(waiter):
                await self._look(deadline)
            else:
                await self._sleep(waiter, deadline)

    def _turn_of(self, waiter: _Waiter) -> bool | None:
        # A new gate first, so that a change after this look opens it.
        waiter.gate = AsyncGate()
        if waiter.cleared:
            return False
        picture = self._picture
        if picture is None or self._seen < waiter.after:
            return None
        if waiter.ticket not in picture.entries:
            return False
        return True if self._first == waiter.ticket else None

    def _leads(self, waiter: _Waiter) -> bool:
        with self._lock:
            self._leader = self._leader or waiter
            return self._leader is waiter

    async def _sleep(self, waiter: _Waiter, deadline: float) -> None:
        if not await waiter.gate.wait(max(0.0, deadline - time.monotonic())):
            raise TimeoutError(f"the turn for {self._site.resource!r} in {self._address} did not come in time")

    async def _look(self, deadline: float) -> None:
        try:
            if self._picture is None:
                await self._draw()
            else:
                await self._refresh(self._picture, deadline)
        except ContextGone as error:
            logger.info("all waiters for %r in %s line up again: %s", self._site.resource, self._address, error)
            await self._drop()
            self._clear()
        except (HistoryCompacted, HistoryDamaged, HistoryForked) as error:
            logger.info("reading %r in %s again: %s", self._site.resource, self._address, error)
            await self._drop()
        except Unavailable as error:
            await self._drop()
            if time.monotonic() >= deadline:
                raise
            logger.info("reading %r in %s again after an outage: %s", self._site.resource, self._address, error)
            await async_sleep(_REST)

    async def _draw(self) -> None:
        before = list(self._waiters.values())
        picture = _Line(self._engine, self._address, self._site)
        await picture.__aenter__()
        self._picture = picture
        self._note(picture)
        for waiter in before:
            # The picture was drawn after that revision and does not show it: the server has lost it, and the ticket.
            waiter.cleared = waiter.cleared or self._seen < waiter.after
        # It is not known which tickets have gone meanwhile, so each waiter looks for itself.
        for waiter in list(self._waiters.values()):
            waiter.gate.open()

    async def _refresh(self, picture: _Line, deadline: float) -> None:
        await picture.changed(deadline)
        with suppress(TimeoutError, ContextFinished, ContextGone):  # the next look raises the end again
            while True:
                await picture.changed(0.0)
        self._note(picture)
        gone = picture.gone
        picture.gone = []
        for path in (*gone, self._first):
            self._wake(path)

    def _note(self, picture: _Line) -> None:
        self._first = first_of(picture.entries, self._site)
        # Last: a waiter that reads this revision finds the first ticket that belongs to it.
        self._seen = picture.revision

    def _wake(self, path: str | None) -> None:
        waiter = None if path is None else self._waiters.get(path)
        if waiter:
            waiter.gate.open()

    def _clear(self) -> None:
        for waiter in list(self._waiters.values()):
            waiter.cleared = True
            waiter.gate.open()

    async def _drop(self) -> None:
        picture = self._picture
        self._picture = None
        if picture:
            await picture.aclose()

    async def _leave(self, waiter: _Waiter) -> None:
        picture: _Line | None = None
        with self._lock:
            self._waiters.pop(waiter.ticket, None)
            if self._leader is waiter:
                self._leader = None
                following = self._waiters.get(self._first or "") or next(iter(self._waiters.values()), None)
                if following:
                    following.gate.open()
            if not self._waiters:
                picture = self._picture
                self._picture = None
        if picture:
            await picture.aclose()
