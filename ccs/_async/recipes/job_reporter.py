"""Writes the progress of a pool down while all its workers in a store are busy, as long as there is something to report.

It takes no part in the pool: it looks at the board when a report is due, and ends once there is none.
"""

from __future__ import annotations

import time
import weakref
from typing import TYPE_CHECKING

from ccs._async.last_call import LastCall
from ccs._async.opening import Opening
from ccs._async.recipes.crowd import Waiter
from ccs._compat import AsyncGate
from ccs._log import logger
from ccs.errors import CCSError

if TYPE_CHECKING:
    from ccs._async.recipes.job_board import SharedBoard

__all__ = ["Reporter"]


class Reporter:
    """A task, or a thread, that reports at the time `due` (monotonic), and again while the board is behind.

    A board that is garbage collected meanwhile ends it. So does a close of the store, which waits for it.
    """

    def __init__(self, board: SharedBoard, opening: Opening, due: float) -> None:
        self._board = weakref.ref(board)
        self._waiter = Waiter("reporter")
        self._over = AsyncGate()
        self._due = due
        self._call = LastCall(opening.last_calls, "ccs jobs", self._run, self._over)

    def __repr__(self) -> str:
        return f"<Reporter of {self._board()!r}>"

    async def finished(self, timeout: float) -> None:
        """Ends it, and waits for that for at most `timeout` seconds."""
        await self._call.finished(timeout)

    async def _run(self) -> None:
        try:
            await self._keep_up()
        except CCSError as error:
            logger.info("%r ends, until something else happens: %s", self, error)
            self._end()
        else:
            if board := self._end():
                board.note_busy()  # something may have come at the last moment

    async def _keep_up(self) -> None:
        due: float | None = self._due
        while due is not None and not await self._over.wait(max(0.0, due - time.monotonic())):
            board = self._board()
            due = await board.catch_up(self._waiter) if board else None
            del board

    def _end(self) -> SharedBoard | None:
        board = self._board()
        if board:
            board.reporter_ended()
        return board
