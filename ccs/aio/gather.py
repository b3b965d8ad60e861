"""Group commit, asyncio: one batch at a time per context; what is asked for meanwhile goes into the next one.

That makes fifty agents of one process fast, and keeps their acknowledged commits in the order in which they were
made. The blocking twin of this file is written by hand too: there the threads take turns at sending.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable

from ccs._core.commit import Applied, Commit
from ccs._core.grouping import Group, Waiting, copy_of, group
from ccs.errors import CCSError, StoreClosed, Unavailable

__all__ = ["Gatherer"]

Answer = Applied | CCSError
Send = Callable[[list[Commit], int, float], Awaitable[list[Answer]]]


class Gatherer:
    """The commits of one context, on their way to the server."""

    def __init__(self, send: Send, numbers: Callable[[], int], retry_for: float) -> None:
        self._send, self._numbers, self._retry_for = send, numbers, retry_for
        self._waiting: deque[Waiting[asyncio.Future[Applied]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self.last_revision = 0

    def __repr__(self) -> str:
        return f"<Gatherer of {len(self._waiting)} commits, acknowledged up to {self.last_revision}>"

    async def commit(self, commit: Commit) -> Applied:
        """What became of the commit, once the server has said so; its errors are raised."""
        answer: asyncio.Future[Applied] = asyncio.get_running_loop().create_future()
        self._waiting.append(Waiting(commit, time.monotonic(), answer))
        if self._task is None:
            self._task = asyncio.create_task(self._flush(), name="ccs commit")
        return await answer

    async def aclose(self) -> None:
        """Ends what is still on its way; its callers are told so."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _flush(self) -> None:
        try:
            while self._waiting:
                await self._send_next()
        finally:
            self._task = None
            while self._waiting:
                _hand_out(self._waiting.popleft().answer, StoreClosed("the store was closed; nothing was written"))

    async def _send_next(self) -> None:
        sending = self._next()
        if not sending.members:
            return
        try:
            answers = await self._send(sending.commits, sending.number, sending.since)
        except CCSError as error:
            self._settle(sending, [copy_of(error) for _ in sending.members])
            self._fail_overdue(error)
        except BaseException:
            closed = "the store was closed; the write may have been applied"
            self._settle(sending, [StoreClosed(closed) for _ in sending.members])
            raise
        else:
            self._settle(sending, answers)

    def _next(self) -> Group[asyncio.Future[Applied]]:
        taken = group(self._waiting, self._numbers())
        return Group(taken.number, [waiting for waiting in taken.members if not waiting.answer.cancelled()])

    def _settle(self, sending: Group[asyncio.Future[Applied]], answers: list[Answer]) -> None:
        for waiting, answer in zip(sending.members, answers, strict=True):
            if isinstance(answer, Applied) and answer.revision > self.last_revision:
                self.last_revision = answer.revision
            _hand_out(waiting.answer, answer)

    def _fail_overdue(self, error: CCSError) -> None:
        # Who has waited as long, but was never sent, knows that nothing of it was applied.
        overdue = time.monotonic() - self._retry_for
        while isinstance(error, Unavailable) and self._waiting and self._waiting[0].since <= overdue:
            _hand_out(self._waiting.popleft().answer, Unavailable(error.address, reason=error.reason))


def _hand_out(future: asyncio.Future[Applied], answer: Answer) -> None:
    if future.done():
        return
    if isinstance(answer, Applied):
        future.set_result(answer)
    else:
        future.set_exception(answer)
