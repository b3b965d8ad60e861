"""The lines of waiters for claims in one store: who is first in a line wakes, and those whose ticket has gone."""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import Self

from ccs._async.engine import Engine
from ccs._async.recipes.crowd import Crowd, SharedPicture, Waiter
from ccs._core.recipes.claim import Chance, Lines, Site, Wish
from ccs._log import logger
from ccs.errors import ContextGone
from ccs.types import Entry

__all__ = ["Turns"]


class LineView(SharedPicture):
    """Keeps the lines for some resources up to date."""

    def __init__(self, engine: Engine, address: str, sites: tuple[Site, ...]) -> None:
        super().__init__(engine, address, tuple(pattern for site in sites for pattern in site.patterns))
        self.lines = Lines(sites)

    def _put(self, path: str, entry: Entry | None) -> None:
        self.lines.put(path, entry)
        if entry is None:
            self.touched.add(path)


class Turns(Crowd[LineView]):
    """The lines for some resources, as far as one store waits in them for the same ones."""

    def __init__(self, engine: Engine, address: str, sites: tuple[Site, ...]) -> None:
        names = ", ".join(repr(site.resource) for site in sites)
        super().__init__(engine, address, f"the claim on {names}")
        self._sites = sites
        # The attempts whose turn it is in one of the lines.
        self._first: list[str] = []

    @classmethod
    def of(cls, engine: Engine, address: str, sites: tuple[Site, ...]) -> Self:
        """Returns the lines that all waiters for the same resources in this store share."""
        key = ("turns", address, *(site.path for site in sites))
        return engine.common(key, lambda: cls(engine, address, sites))

    async def comes_up(self, attempt: str, wish: Wish, after: int, deadline: float) -> list[Chance]:
        """Waits until it is the turn of an attempt after a revision. Returns what to take; nothing if a ticket has expired.

        Raises `TimeoutError` at the deadline (monotonic seconds).
        """
        waiter = Waiter(attempt, after)
        try:
            self.join(waiter)
            return await self.wait(waiter, lambda: self._turn_of(attempt, wish), deadline)
        except ContextGone as error:
            logger.info("a waiter for %s in %s lines up again: %s", self._name, self._address, error)
            return []
        finally:
            await self.leave(waiter)

    def _turn_of(self, attempt: str, wish: Wish) -> list[Chance] | None:
        if self._picture is None:
            return None
        lines = self._picture.lines
        if not all(lines.waits(site, attempt) for site in self._sites):
            return []
        return wish.choose(lines, attempt, random.random())

    def _new_picture(self) -> LineView:
        return LineView(self._engine, self._address, self._sites)

    def _note(self, picture: LineView) -> Iterable[str | None]:
        lines = picture.lines
        turns = (lines.next_in(site) for site in self._sites)
        self._first = [attempt for attempt in turns if attempt]
        touched = picture.touched
        picture.touched = set()
        return [*(path.rpartition("/")[2] for path in touched), *self._first]

    def _next(self) -> str | None:
        return next((attempt for attempt in self._first if attempt in self._waiting), None)
