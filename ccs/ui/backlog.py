"""What a page gets piece by piece beside what is live: the entries that are there, then what happened before."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Any

import ccs
from ccs.aio import Context
from ccs.types import Change
from ccs.ui.rows import SHOWN, log_line, mark_of, millis, row_of_entry
from ccs.ui.update import Update

__all__ = ["Backlog"]

# Entries that a page gets at most, and at a time.
_MOST_ROWS = 200_000
_ROWS = 1_000
# Changes of the past that it gets at most, at a time, and with their texts.
_MOST_PAST = 10_000
_PAST = 500
_LOG = 200

Piece = tuple[str, dict[str, Any]]


class Backlog:
    """The pieces of a picture that take time to read, the next one read ahead.

    `until` is the revision after which everything is told live. `wake` is called when a piece has come.
    """

    def __init__(self, context: Context, until: int, wake: Callable[[], None]) -> None:
        self._context = context
        self._until = until
        self._wake = wake
        self._pieces: deque[Piece] = deque()
        self._taken = asyncio.Event()
        self._ended = False
        # All entries that were there have been taken out.
        self.loaded = False

    @property
    def waits(self) -> bool:
        """Whether there is a piece to be taken."""
        return bool(self._pieces)

    @property
    def over(self) -> bool:
        """Whether all pieces have been taken."""
        return self._ended and not self._pieces

    def take(self) -> Piece | None:
        """Returns the next piece, None if it has not come yet."""
        if not self._pieces:
            return None
        piece = self._pieces.popleft()
        self.loaded = self.loaded or piece[0] == "loaded"
        self._taken.set()
        return piece

    async def run(self, info: ccs.ContextInfo, why: str) -> None:
        """Reads all pieces, as they are taken."""
        begin = {"why": why, "entries": info.entries, "created": millis(info.created_at)}
        await self._offer("begin", {"address": self._context.address, **begin})
        await self._load()
        await self._look_back()
        self._ended = True

    async def _offer(self, name: str, data: dict[str, Any]) -> None:
        while self._pieces:
            self._taken.clear()
            await self._taken.wait()
        self._pieces.append((name, data))
        self._wake()

    async def _load(self) -> None:
        """Offers the entries. What changes meanwhile is told between them: of the two, the page keeps what is newer."""
        rows: list[list[Any]] = []
        count = 0
        async for entry in self._context.scan(page=_ROWS):
            rows.append(row_of_entry(entry))
            count += 1
            if len(rows) >= _ROWS:
                await self._offer("rows", {"rows": rows})
                rows = []
            if count >= _MOST_ROWS:
                break
        await self._offer("rows", {"rows": rows})
        await self._offer("loaded", {"cut": count >= _MOST_ROWS, "most": _MOST_ROWS})

    async def _look_back(self) -> None:
        """Offers what happened before, the newest first, until it is enough or all that there is."""
        until = self._until
        logged = _LOG
        count = 0
        whole = False
        while count < _MOST_PAST and not whole:
            try:
                page = await self._context.history(*SHOWN, events=True, until=until, limit=_PAST, newest_first=True)
            except ccs.CCSError:
                break  # the timeline begins later than it could
            whole = len(page) < _PAST
            kept = page if whole else _without_last_commit(page)
            count += len(page)
            await self._offer("past", {**_past(kept, logged), "whole": whole, "done": False})
            logged = max(0, logged - len(kept))
            until = kept[-1].revision - 1 if kept else 0
        await self._offer("past", {**_past([], 0), "whole": whole, "done": True})


def _without_last_commit(page: list[Any]) -> list[Any]:
    """Returns a page without the commit at its end, of which there may be more; all of it, if it is a single commit."""
    kept = [item for item in page if item.revision != page[-1].revision]
    return kept or page


def _past(page: list[Any], logged: int) -> dict[str, Any]:
    update = Update()
    for item in reversed(page):
        update.add(item)
    users = [item for item in page if not (isinstance(item, Change) and item.path.startswith("@"))]
    marks = [mark for item in reversed(page) if isinstance(item, Change) and (mark := mark_of(item))]
    ticks = update.message()["ticks"]
    return {"ticks": ticks, "marks": marks, "log": [log_line(item) for item in reversed(users[:logged])]}
