"""What looks on: watches that are closed and resumed, and mirrors. Each notes what it was given."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

from anyio import to_thread

import ccs
from tests.torture.diary import Diary
from tests.torture.history import Delivery
from tests.torture.workload.agent import EXPECTED, outcome_of
from tests.torture.workload.moves import delivery_of, event_of, found_in, maybe
from tests.torture.workload.paths import CONTEXTS, WATCHED

__all__ = ["Watcher", "mirror"]

_BATCH = 16


class Watcher:
    """Watches one thing after the other; half of the watches go on where the last one was closed."""

    def __init__(self, store: Any, diary: Diary, name: str, dice: random.Random, over: Callable[[], bool]) -> None:
        self.store, self.diary, self.name, self.dice, self._over = store, diary, name, dice, over
        self._count = 0
        self._waiting: list[Delivery] = []

    async def look_on(self) -> None:
        """Watches until it is over, and then to the end of what was committed."""
        last: tuple[str, str, tuple[str, ...], int] | None = None
        while not self._over():
            if last is None or self.dice.random() < 0.5:
                kind = self.dice.choice(("changes", "changes", "initial", "events"))
                patterns = ("e/**",) if kind == "events" else self.dice.choice(WATCHED)
                last = await self._watch(self.dice.choice(CONTEXTS), kind, patterns, None)
            else:
                address, kind, patterns, cursor = last
                last = await self._watch(address, "changes" if kind == "initial" else kind, patterns, cursor)

    async def _watch(
        self, address: str, kind: str, patterns: tuple[str, ...], since: int | None
    ) -> tuple[str, str, tuple[str, ...], int] | None:
        """One watch. Returns where to go on, None if that is not known."""
        self._count += 1
        name = f"{self.name}.{self._count}"
        task = await maybe(self.store.context(address))
        options: dict[str, Any] = {"initial": True} if kind == "initial" else {"since": since}
        make = task.events if kind == "events" else task.watch
        self.diary.open(name, address, kind, patterns, since)
        watch = await maybe(make(*patterns, **options))
        how = "closed"
        try:
            async with watch as changes:
                self.diary.entered(name, await maybe(changes.revision) if kind != "initial" else 0)
                how = await self._receive(name, task, changes, self.dice.randrange(5, 200))
                self._flush(name)
                cursor = await maybe(changes.revision) or 0  # None within what was there when it was entered
        except EXPECTED as error:
            self._flush(name)
            self.diary.end(name, outcome_of(error).rstrip("?"), since or 0)
            await asyncio.sleep(0.2)
            return None
        self.diary.end(name, how, cursor)
        return (address, kind, patterns, cursor) if how == "closed" and cursor else None

    async def _receive(self, name: str, task: Any, changes: Any, most: int) -> str:
        for _ in range(most):
            try:
                change = await changes.receive(timeout=0.3)
            except TimeoutError:
                self._flush(name)
                if self._over():
                    return await self._drain(name, task, changes)
            except (ccs.HistoryForked, ccs.HistoryCompacted, ccs.ContextGone, ccs.ContextFinished) as error:
                return type(error).__name__
            except ccs.Unavailable:
                await asyncio.sleep(0.1)
            else:
                self._take(name, change)
        return await self._drain(name, task, changes) if self._over() else "closed"

    async def _drain(self, name: str, task: Any, changes: Any) -> str:
        """Receives until all that was committed is received."""
        last = await task.revision()
        for _ in range(1000):
            try:
                while True:
                    self._take(name, await changes.receive(timeout=0.1))
            except TimeoutError:
                if await maybe(changes.revision) >= last:
                    return "closed"
            except ccs.HistoryForked:
                return "HistoryForked"
            except ccs.Unavailable:
                await asyncio.sleep(0.1)
        return "is behind"

    def _take(self, name: str, change: Any) -> None:
        self._waiting.append(event_of(change) if isinstance(change, ccs.Event) else delivery_of(change))
        if len(self._waiting) >= _BATCH:
            self._flush(name)

    def _flush(self, name: str) -> None:
        if self._waiting:
            self.diary.delivered(name, self._waiting)
            self._waiting = []


async def mirror(store: Any, diary: Diary, name: str, dice: random.Random, over: Callable[[], bool]) -> None:
    """Keeps a mirror, and notes now and then what it shows; another one after a while."""
    count = 0
    while not over():
        count += 1
        task = await maybe(store.context(dice.choice(CONTEXTS)))
        patterns = ("s/*", "t/*")
        plain = getattr(task, "blocking", None)
        view = plain.mirror(*patterns) if plain else task.mirror(*patterns)
        facts = {"address": task.address, "name": f"{name}.{count}", "patterns": patterns}
        try:
            await (to_thread.run_sync(view.__enter__) if plain else view.__aenter__())
            try:
                for _ in range(dice.randrange(5, 30)):
                    _show(view, diary, facts)
                    await asyncio.sleep(0.3)
                    if over():
                        break
                last = await task.revision()
                await (to_thread.run_sync(view.caught_up, last, 20) if plain else view.caught_up(last, 20))
                _show(view, diary, facts, caught_up=last)
            finally:
                await (to_thread.run_sync(view.close) if plain else view.aclose())
        except EXPECTED as error:
            diary.note("mirror ended", error=outcome_of(error), **facts)
            await asyncio.sleep(0.2)


def _show(view: Any, diary: Diary, facts: dict[str, Any], **more: Any) -> None:
    shown = view.snapshot()
    diary.note("mirror", revision=shown.revision, found=found_in(shown), **facts, **more)
