"""All contexts at a glance: which there are, and how many commits a second each gets. Shared by all pages of a view."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

import ccs
from ccs.aio import Store, StoreWatch
from ccs.types import Change, ContextInfo
from ccs.ui.rows import context_line

__all__ = ["Glance"]

_MOST = 2_000
# Seconds between two listings at least, and as a multiple of what the last one took.
_REST = 2.0
_SHARE = 20.0
# Seconds over which commits are counted; after so many changes in them, it counts only now and then.
_WINDOW = 1.0
_MANY = 300
_PAUSE = 4.0
_LOWEST = 0.05
# Changes after which others have a turn.
_FAIR = 200


class Glance:
    """The list of contexts, kept up to date while any page looks at it."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._wakes: set[Callable[[], None]] = set()
        self._tasks: list[asyncio.Task[None]] = []
        self._rates: dict[str, float] = {}
        self._infos: list[ContextInfo] = []
        self._changed = asyncio.Event()
        self.version = 0
        self.refused = ""

    def enter(self, wake: Callable[[], None]) -> None:
        """Begins to look, for a page that is to be woken when something has changed."""
        self._wakes.add(wake)
        if not self._tasks:
            self._tasks = [asyncio.create_task(each) for each in (self._list(), self._count())]

    async def leave(self, wake: Callable[[], None]) -> None:
        """Ends that; with the last page, nothing is read any more."""
        self._wakes.discard(wake)
        if self._wakes:
            return
        tasks = self._tasks
        self._tasks = []
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def lines(self) -> dict[str, Any]:
        """Returns the list for a page: the contexts that changed last, and how many more there are."""
        latest = sorted(self._infos, key=lambda info: info.revision, reverse=True)[:_MOST]
        lines = [context_line(info, self._rates.get(info.address, 0.0)) for info in latest]
        return {"contexts": lines, "more": len(self._infos) - len(lines), "refused": self.refused}

    def _tell(self) -> None:
        self.version += 1
        for wake in self._wakes:
            wake()

    async def _list(self) -> None:
        while True:
            began = time.monotonic()
            try:
                self._infos = await self._store.contexts()
                self.refused = ""
            except ccs.CCSError as error:
                self.refused = str(error)
            self._tell()
            await asyncio.sleep(min(_REST, _SHARE * (time.monotonic() - began)))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(max(_REST, _SHARE * (time.monotonic() - began))):
                    await self._changed.wait()
            self._changed.clear()

    async def _count(self) -> None:
        """Counts commits, and notices contexts that come and go. Where there are many commits, it counts samples."""
        while True:
            try:
                async with self._store.watch("/**") as changes:
                    while await self._sample(changes) < _MANY:
                        pass
            except ccs.Forbidden:
                return  # the list says so
            except ccs.CCSError:
                pass
            await asyncio.sleep(_PAUSE)

    async def _sample(self, changes: StoreWatch) -> int:
        """Counts for a while. Returns how many changes there were."""
        known = {info.address for info in self._infos}
        commits: set[tuple[str, int]] = set()
        heard = 0
        began = time.monotonic()
        while (left := began + _WINDOW - time.monotonic()) > 0:
            change = await self._next(changes, left)
            if change is None:
                continue
            heard += 1
            commits.add((change.context, change.revision))
            if change.op in ("gone", "missed") or change.context not in known:
                known.add(change.context)
                self._changed.set()
            if heard % _FAIR == 0:
                await asyncio.sleep(0)
        self._note(Counter(address for address, _ in commits), time.monotonic() - began)
        return heard

    async def _next(self, changes: StoreWatch, timeout: float) -> Change | None:
        try:
            return await changes.receive(timeout)
        except TimeoutError:
            return None
        except (ccs.HistoryCompacted, ccs.HistoryDamaged, ccs.HistoryForked):
            return None  # raised once; the count of one context has a gap

    def _note(self, counts: Counter[str], seconds: float) -> None:
        """Moves the rates towards what was counted, so that they do not flicker."""
        rates = {}
        for address in {*counts, *self._rates}:
            rate = 0.5 * self._rates.get(address, 0.0) + 0.5 * counts[address] / seconds
            if rate >= _LOWEST:
                rates[address] = rate
        if rates != self._rates:
            self._rates = rates
            self._tell()
