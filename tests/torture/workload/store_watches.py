"""What watches several contexts at once: those that stay, each noted as a watch of its own, and those that come and go."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

import ccs
from tests.torture.diary import Diary, now
from tests.torture.workload.agent import EXPECTED, outcome_of
from tests.torture.workload.moves import delivery_of, maybe
from tests.torture.workload.paths import CONTEXTS, WATCHED

__all__ = ["StoreWatcher", "watch_lives"]

Cursors = dict[str, int]

# A lost connection is noticed after three seconds, and what was missed is told then.
_QUIET, _LONGEST = 7.0, 20.0
"""After how many seconds without a change nothing more is to come, and for how many to wait for that."""


class StoreWatcher:
    """Watches some contexts or all; half of the watches go on where the last one was closed."""

    def __init__(self, store: Any, diary: Diary, dice: random.Random, over: Callable[[], bool]) -> None:
        self.store, self.diary, self.dice, self._over = store, diary, dice, over
        self._count = 0
        # The parts of the present watch that still go on, a context each.
        self._parts: dict[str, str] = {}

    async def look_on(self) -> None:
        """Watches until it is over, and then to the end of what was committed."""
        paths, addresses, cursors = self._wish()
        while not self._over():
            cursors = await self._watch(paths, addresses, cursors)
            if not cursors or self.dice.random() < 0.5:
                paths, addresses, cursors = self._wish()

    def _wish(self) -> tuple[tuple[str, ...], tuple[str, ...], Cursors]:
        named = tuple(sorted(self.dice.sample(CONTEXTS, self.dice.randrange(1, 4))))
        return self.dice.choice(WATCHED), self.dice.choice((CONTEXTS, named)), {}

    async def _watch(self, paths: tuple[str, ...], addresses: tuple[str, ...], since: Cursors) -> Cursors:
        """One watch. Returns where to go on, nothing if that is not known."""
        self._count += 1
        self._parts = {address: f"all{self._count}{address}" for address in since or addresses}
        for address, name in self._parts.items():
            self.diary.open(name, address, "changes", paths, since.get(address))
        where = "/tasks/c*" if addresses == CONTEXTS else f"/tasks/{{{','.join(_ids(addresses))}}}"
        watch = await maybe(self.store.watch(*(f"{where}/{path}" for path in paths), since=since or None))
        try:
            async with watch as changes:
                begun = await maybe(changes.revision)
                for address, name in self._parts.items():
                    self.diary.entered(name, begun.get(address, 0))
                for _ in range(self.dice.randrange(20, 400)):
                    await self._receive(changes, 0.3)
                    if self._over():
                        break
                return await self._close(changes, drained=self._over() and await self._drain(changes))
        except EXPECTED as error:
            for address, name in self._parts.items():
                self.diary.end(name, outcome_of(error).rstrip("?"), since.get(address, 0))
            await asyncio.sleep(0.2)
            return {}

    async def _receive(self, changes: Any, timeout: float) -> bool:
        """Receives one change, if there is one in time. Returns whether there was."""
        try:
            change = await changes.receive(timeout=timeout)
        except TimeoutError:
            return False
        except (ccs.HistoryForked, ccs.HistoryCompacted) as error:
            self._end_part(error.address, type(error).__name__)
        except ccs.Unavailable:
            await asyncio.sleep(0.1)
        else:
            self._take(change)
        return True

    def _take(self, change: Any) -> None:
        if change.op == "missed":  # of contexts that ended: these never do
            for address in {*change.value, change.context} & self._parts.keys():
                self._end_part(address, "missed")
        elif change.op == "gone":
            self._end_part(change.context, "gone")
        elif change.context in self._parts:
            self.diary.delivered(self._parts[change.context], [delivery_of(change)])

    def _end_part(self, address: str, how: str) -> None:
        name = self._parts.pop(address, None)
        if name:
            self.diary.end(name, how, 0)

    async def _drain(self, changes: Any) -> bool:
        """Receives until all that was committed is received. Returns whether it was, in time."""
        last = {address: await self.store.context(address).revision() for address in self._parts}
        for _ in range(100):
            while await self._receive(changes, 0.1):
                pass
            cursors = await maybe(changes.revision)
            if all(cursors.get(address, 0) >= last[address] for address in self._parts):
                return True
        return False

    async def _close(self, changes: Any, drained: bool) -> Cursors:
        cursors: Cursors = await maybe(changes.revision)
        kept = {address: cursors[address] for address in self._parts if address in cursors}
        for address, name in self._parts.items():
            behind = self._over() and not drained
            self.diary.end(name, "is behind" if behind else "closed", cursors.get(address, 0))
        return kept


def _ids(addresses: tuple[str, ...]) -> list[str]:
    return [address.rpartition("/")[2] for address in addresses]


async def watch_lives(store: Any, diary: Diary, over: Callable[[], bool]) -> None:
    """Watches the contexts that come and go, until nothing more comes; notes what it was told of each."""
    while not over():
        try:
            async with await maybe(store.watch("/tasks/life-*/a")) as changes:
                told = _Told(now())
                while not over():
                    await told.receive(changes)
                deadline = time.monotonic() + _LONGEST
                while time.monotonic() < min(deadline, told.heard + _QUIET):
                    await told.receive(changes)
            diary.note("lives watched", **told.facts)
        except EXPECTED:
            await asyncio.sleep(0.2)


class _Told:
    """What a watch was told of contexts that come and go; `blind` if it missed some that it cannot name."""

    def __init__(self, entered: int) -> None:
        self.heard = time.monotonic()
        self._told: dict[str, list[int | str]] = {}
        self._missed: list[str] = []
        self.facts: dict[str, Any] = {"entered": entered, "told": self._told, "missed": self._missed, "blind": False}

    async def receive(self, changes: Any) -> None:
        """Takes one change, if there is one soon."""
        try:
            change = await changes.receive(timeout=0.2)
        except TimeoutError:
            return
        except ccs.Unavailable:
            await asyncio.sleep(0.1)
        except (ccs.HistoryForked, ccs.HistoryCompacted) as error:
            self._told.setdefault(error.address, []).append(type(error).__name__)
        else:
            self._take(change)
        self.heard = time.monotonic()

    def _take(self, change: Any) -> None:
        if change.op == "missed":
            self._missed.extend(change.value)
            self.facts["blind"] = self.facts["blind"] or not change.value
        else:
            self._told.setdefault(change.context, []).append("gone" if change.op == "gone" else change.revision)
