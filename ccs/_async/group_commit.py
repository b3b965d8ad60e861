"""Group commit, asyncio: commits that are asked for while a batch is in flight go into the next one.

That makes fifty agents of one process fast, and keeps their acknowledged commits in the order in which they were
made. Two batches of a context may be in flight: the server works on one while the other is on its way, so that neither
side waits. The second is applied only after the first; if the first fails, the second waits for its outcome.

Ordinarily no task is needed: a batch is posted from the event loop, and its reply wakes the callers. If that fails, a
task takes over, and retries until the batch is answered or patience ends. The blocking twin of this file is written by
hand too: there the threads take turns at sending.

A batch with durable commits goes over a connection of its own, and no other batch is in flight until it was applied: so
there is one order. Then the next one is sent, those of its commits that need no more are answered, and a task waits
until the others are durable.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from itertools import chain
from typing import Any

from ccs._async.batch_sender import Answers, BatchSender
from ccs._compat import AsyncGate, async_here
from ccs._core.commits.batching import Group, Waiting, group, one_durability
from ccs._core.commits.commit import Applied, Commit
from ccs._core.recipes.policies import NO_POLICIES
from ccs._core.retry import Patience, Withdrawn
from ccs._protocol.faults import copy_of
from ccs.errors import CCSError, StoreClosed, Unavailable
from ccs.types import Durability

__all__ = ["GroupCommit"]

Member = Waiting["asyncio.Future[Applied]"]

_WINDOW = 2
# Seconds that a caller waits beyond its patience for the reason.
_LATE = 0.1
_NO_ANSWER = "no answer in time"


class _Flight:
    """A group in flight, as the one behind it sees it."""

    __slots__ = ("landed", "number")

    def __init__(self, number: int) -> None:
        self.number = number
        self.landed: AsyncGate | None = None


class GroupCommit:
    """Sends the commits of one context in groups. One for all that write there, so that there is one order."""

    def __init__(
        self, batch_sender: BatchSender, enter: Callable[[], object], numbers: Callable[[], int], retry_for: float
    ) -> None:
        self._batch_sender = batch_sender
        self._enter = enter
        self._numbers = numbers
        self._retry_for = retry_for
        # The event loop where it may be used, once that is known.
        self._where: object = None
        self._waiting: list[Member] = []
        self._flying: dict[_Flight, Group[Member]] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self._newest: _Flight | None = None
        self._before: _Flight | None = None
        self._parity = 0
        self._pump_is_due = self._alone = False
        # Whether durable commits were ever made here; and whether a batch with some is in flight.
        self._durably = self._apart = False
        self._watchdog: asyncio.TimerHandle | None = None
        self.last_revision = 0
        self.policies = NO_POLICIES

    def __repr__(self) -> str:
        return f"<GroupCommit of {len(self._waiting)} commits, acknowledged up to {self.last_revision}>"

    def commit(self, commit: Commit, durability: Durability | None = None) -> Awaitable[Applied]:
        """Returns what became of the commit, once the server has answered. Raises its errors.

        With `durability`, it is answered once it is as safe as that; else it is `NotDurable`.
        """
        # Not a coroutine: that would be one more frame between the answer and the caller.
        loop = async_here()
        if loop is None or loop is not self._where:
            self._where = self._enter()
            loop = asyncio.get_running_loop()
        answer: asyncio.Future[Applied] = loop.create_future()
        if durability is not None:
            self._durably = True
        self._waiting.append(Waiting(commit, time.monotonic(), answer, durability))
        if self._watchdog is None:
            self._watchdog = loop.call_later(self._retry_for + _LATE, self._give_up)
        if self._alone and not self._flying:
            self._pump()
        elif not self._pump_is_due and len(self._flying) < _WINDOW:
            # Not at once: commits of other tasks in this turn of the loop go into the same batch.
            self._pump_is_due = True
            loop.call_soon(self._pump)
        return answer

    async def aclose(self) -> None:
        """Ends what is in flight. Its callers get `StoreClosed`."""
        self._where = None
        if self._watchdog:
            self._watchdog.cancel()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        # Cleared first: a reply that still comes must not start anything anew.
        flying = self._flying
        self._flying = {}
        waiting = self._waiting
        self._waiting = []
        for sending in flying.values():
            closed = "the store was closed; the write may have been applied"
            self._settle(sending, [StoreClosed(closed) for _ in sending.members])
        for each in waiting:
            _deliver_answer(each.answer, StoreClosed("the store was closed; nothing was written"))

    def _pump(self) -> None:
        self._pump_is_due = False
        while self._waiting and len(self._flying) < _WINDOW:
            if self._before in self._flying:
                # The server keeps two answers; a third batch would evict the one that a retry needs.
                return
            if self._flying and (self._apart or self._waiting[0].durability):
                # Over another connection, they could overtake each other.
                return
            sending, flight = self._next()
            if sending.members:
                self._launch(sending, flight)

    def _next(self) -> tuple[Group[Member], _Flight]:
        ahead = self._newest if self._newest in self._flying else None
        # Half of all: so that two groups of about one size take turns.
        on_its_way = len(self._flying[ahead].members) if ahead else 0
        waiting: Sequence[Member] = self._waiting
        most = (len(waiting) + on_its_way + 1) // 2
        asked = None
        if self._durably:
            waiting, asked = one_durability(waiting)
            most = len(waiting) if asked else most
        taken = group(waiting, most)
        self._waiting = self._waiting[len(taken) :]
        members = [waiting for waiting in taken if not waiting.answer.cancelled()]
        # A caller that was alone is likely to be alone again, and need not wait for others.
        self._alone = len(members) == 1
        # Parities alternate among the groups that are sent: an empty one must not take one.
        self._parity = 1 - self._parity if members else self._parity
        flight = _Flight(self._numbers() + self._parity)
        sending = Group(flight.number, members, ahead.number if ahead else None)
        # The patience of the last caller: the others give up by themselves.
        sending.patience.until = members[-1].since + self._retry_for if members else 0.0
        if asked:
            sending.wait = self._batch_sender.waiting(sending, asked)
        return sending, flight

    def _launch(self, sending: Group[Member], flight: _Flight) -> None:
        ahead = self._newest
        self._before = self._newest
        self._newest = flight
        self._flying[flight] = sending
        if sending.wait:
            self._apart = True
            return self._start(self._deliver_durably(sending, flight))

        def on_answers(answers: Answers | None, sent: bool) -> None:
            if answers is not None:
                self._settle(sending, answers)
                self._land(flight)
            elif flight in self._flying:
                sending.patience.sent = sent
                self._take_over(sending, flight, ahead)

        if not self._batch_sender.post(sending, on_answers):
            self._take_over(sending, flight, ahead)
        return None

    def _take_over(self, sending: Group[Member], flight: _Flight, ahead: _Flight | None) -> None:
        self._start(self._deliver(sending, flight, ahead))

    def _start(self, delivery: Coroutine[Any, Any, object]) -> None:
        task = asyncio.create_task(delivery, name="ccs commit")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _deliver_durably(self, sending: Group[Member], flight: _Flight) -> None:
        answers = await self._deliver(sending, flight, None)
        if not answers or not any(isinstance(answer, Applied) for answer in answers):
            await sending.wait.leave()
            return
        try:
            self._settle(sending, await self._batch_sender.durable(sending, answers))
        except asyncio.CancelledError:
            self._settle(sending, self._batch_sender.not_durable(answers))
            raise
        except Exception as error:  # noqa: BLE001  # not swallowed: the callers get it
            self._settle(sending, [copy_of(error) for _ in sending.members])

    async def _deliver(self, sending: Group[Member], flight: _Flight, ahead: _Flight | None) -> Answers:
        answers: Answers = []
        try:
            if ahead is not None and ahead in self._flying:
                ahead.landed = AsyncGate()
                await ahead.landed.wait(None)
            answers = await self._answers(sending)
            self._settle(sending, answers, applied_only=bool(sending.wait))
        except CCSError as error:
            self._settle(sending, [copy_of(error) for _ in sending.members])
            self._fail_overdue(error)
        except Exception as error:  # noqa: BLE001  # not swallowed: the callers get it
            self._settle(sending, [copy_of(error) for _ in sending.members])
        self._land(flight)
        return answers

    async def _answers(self, sending: Group[Member]) -> Answers:
        while True:
            try:
                return await self._batch_sender.send(sending)
            except Withdrawn:
                # Some callers were told that their commits were never sent: the others are sent without these.
                sending.members = [each for each in sending.members if not each.answer.done()]
                sending.patience = Patience(sending.patience.until)
                if not sending.members:
                    return []

    def _land(self, flight: _Flight) -> None:
        self._flying.pop(flight, None)
        self._apart = False
        if flight.landed:
            flight.landed.open()
        self._pump()

    def _settle(self, sending: Group[Member], answers: Answers, *, applied_only: bool = False) -> None:
        """Answers the callers; with `applied_only` not those whose commits were applied, but have to be durable."""
        for waiting, answer in zip(sending.members, answers, strict=True):
            if isinstance(answer, Applied):
                if answer.revision > self.last_revision:
                    self.last_revision = answer.revision
                if applied_only and waiting.durability:
                    continue
            _deliver_answer(waiting.answer, answer)

    def _fail_overdue(self, error: CCSError) -> None:
        # A caller that has waited as long, but was never sent, knows that nothing was applied.
        if not isinstance(error, Unavailable):
            return
        self._fail_waiting(time.monotonic() - self._retry_for, error.reason)

    def _give_up(self) -> None:
        """Fails the callers whose patience is over; one timer does so for all."""
        overdue = time.monotonic() - self._retry_for
        for sending in self._flying.values():
            if any(each.since <= overdue and not each.answer.done() for each in sending.members):
                self._fail_late(sending.members, overdue, not sending.patience.withdraw(), _NO_ANSWER)
        self._fail_waiting(overdue, _NO_ANSWER)
        left = [each.since for each in self._pending() if not each.answer.done()]
        self._watchdog = None
        if left:
            again = max(0.0, min(left) - overdue)
            self._watchdog = asyncio.get_running_loop().call_later(again + _LATE, self._give_up)

    def _pending(self) -> Iterator[Member]:
        return chain(self._waiting, *(sending.members for sending in self._flying.values()))

    def _fail_waiting(self, overdue: float, reason: str) -> None:
        self._fail_late(self._waiting, overdue, False, reason)
        # A commit whose caller was told that it was not sent is never sent.
        self._waiting = [each for each in self._waiting if not each.answer.done()]

    def _fail_late(self, members: Sequence[Member], overdue: float, maybe_applied: bool, reason: str) -> None:
        for each in members:
            if each.since <= overdue:
                _deliver_answer(each.answer, Unavailable(self._batch_sender.server, maybe_applied, reason))


def _deliver_answer(future: asyncio.Future[Applied], answer: Applied | Exception) -> None:
    if future.done():
        return
    if isinstance(answer, Applied):
        future.set_result(answer)
    else:
        future.set_exception(answer)
