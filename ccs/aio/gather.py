"""Group commit, asyncio: what is asked for while a batch is on its way goes into the next one.

That makes fifty agents of one process fast, and keeps their acknowledged commits in the order in which they were
made. Two batches of a context may be on their way: one that the server works on, and one behind it, so that neither
side waits for the other. The second is applied only if the first was; where anything goes wrong with the first, the
second waits for what becomes of it. The blocking twin of this file is written by hand too: there the threads take
turns at sending.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ccs._compat import AsyncGate
from ccs._core.commit import Applied, Commit
from ccs._core.grouping import Group, Waiting, copy_of, group
from ccs.errors import CCSError, StoreClosed, Unavailable

__all__ = ["Gatherer"]

Answer = Applied | CCSError
Send = Callable[[Group[Any]], Awaitable[list[Answer]]]

_WINDOW = 2


class _Flight:
    """A group on its way, as the one behind it sees it."""

    def __init__(self, number: int) -> None:
        self.number = number
        self.landed = AsyncGate()

    async def answered(self) -> None:
        """Waits for its answer, whatever that is."""
        await self.landed.wait(None)


class Gatherer:
    """The commits of one context, on their way to the server."""

    def __init__(self, send: Send, numbers: Callable[[], int], retry_for: float) -> None:
        self._send, self._numbers, self._retry_for = send, numbers, retry_for
        self._waiting: deque[Waiting[asyncio.Future[Applied]]] = deque()
        self._tasks: list[asyncio.Task[None]] = []
        self._newest: _Flight | None = None
        self._before: _Flight | None = None
        self._flying, self._parity = 0, 0
        self.last_revision = 0

    def __repr__(self) -> str:
        return f"<Gatherer of {len(self._waiting)} commits, acknowledged up to {self.last_revision}>"

    async def commit(self, commit: Commit) -> Applied:
        """What became of the commit, once the server has said so; its errors are raised."""
        answer: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
        self._waiting.append(Waiting(commit, time.monotonic(), answer))
        if len(self._tasks) < _WINDOW:
            self._tasks.append(asyncio.create_task(self._flush(), name="ccs commit"))
        return await answer

    async def aclose(self) -> None:
        """Ends what is still on its way; its callers are told so."""
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _flush(self) -> None:
        me = asyncio.current_task()
        try:
            while self._waiting:
                if self._before and not self._before.landed.is_open:
                    # Sent again, it must still find its answer, which a third one would take the place of.
                    await self._before.answered()
                else:
                    await self._send_next()
        except asyncio.CancelledError:
            while self._waiting:
                _hand_out(self._waiting.popleft().answer, StoreClosed("the store was closed; nothing was written"))
            raise
        finally:
            self._tasks = [task for task in self._tasks if task is not me]

    async def _send_next(self) -> None:
        sending = self._next()
        if not sending.members:
            return
        flight = _Flight(sending.number)
        self._before, self._newest = self._newest, flight
        self._flying += len(sending.members)
        try:
            self._settle(sending, await self._send(sending))
        except CCSError as error:
            self._settle(sending, [copy_of(error) for _ in sending.members])
            self._fail_overdue(error)
        except asyncio.CancelledError:
            closed = "the store was closed; the write may have been applied"
            self._settle(sending, [StoreClosed(closed) for _ in sending.members])
            raise
        except Exception as error:  # noqa: BLE001  # not swallowed: who waits for the answer gets it
            self._settle(sending, [copy_of(error) for _ in sending.members])
        finally:
            self._flying -= len(sending.members)
            flight.landed.open()

    def _next(self) -> Group[asyncio.Future[Applied]]:
        # Half of what there is: so two groups of about one size take turns.
        most = (len(self._waiting) + self._flying + 1) // 2
        taken = group(self._waiting, self._numbers(), most)
        members = [waiting for waiting in taken.members if not waiting.answer.cancelled()]
        # Parities alternate among the groups that are sent: a group that is not must not take one.
        self._parity = 1 - self._parity if members else self._parity
        behind = self._newest if self._newest and not self._newest.landed.is_open else None
        return Group(taken.number + self._parity, members, behind)

    def _settle(self, sending: Group[asyncio.Future[Applied]], answers: Sequence[Applied | Exception]) -> None:
        for waiting, answer in zip(sending.members, answers, strict=True):
            if isinstance(answer, Applied) and answer.revision > self.last_revision:
                self.last_revision = answer.revision
            _hand_out(waiting.answer, answer)

    def _fail_overdue(self, error: CCSError) -> None:
        # Who has waited as long, but was never sent, knows that nothing of it was applied.
        overdue = time.monotonic() - self._retry_for
        while isinstance(error, Unavailable) and self._waiting and self._waiting[0].since <= overdue:
            _hand_out(self._waiting.popleft().answer, Unavailable(error.address, reason=error.reason))


def _hand_out(future: asyncio.Future[Applied], answer: Applied | Exception) -> None:
    if future.done():
        return
    if isinstance(answer, Applied):
        future.set_result(answer)
    else:
        future.set_exception(answer)
