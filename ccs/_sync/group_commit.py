"""Group commit, blocking: one batch at a time for each context; threads take turns at sending for all that wait.

Written by hand. A thread that finds no leader leads: it sends what waits until its own commit is answered, then makes
another waiting thread the leader. A leader that is interrupted leaves its unanswered group to the next one: sent again
under its number, it is applied at most once.

An interrupt (Ctrl-C) can come between any two instructions, and must leave no thread waiting for ever. So a commit stays
in the queue until it is answered, each step can be repeated, and a thread that leaves makes sure that another one leads.

No caller waits longer than its own patience. A leader whose patience ends leaves the group to the next one too. A caller
that gives up is told whether its commit may have been applied.

A signal handler or a finalizer may commit in the middle of a commit of its own thread. If both are to the same context,
it would wait for itself, so it is refused. If not, it may lead, but not wait for a leader: that one may be waiting for a
lock of the interrupted thread.

A batch with durable commits goes over a connection of its own. Once it was applied, its members have their answers, and the
next thread leads. One of those that asked for more then waits until the batch is durable, and wakes the others; if it is
interrupted, another one does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Lock, get_ident

from ccs._compat import calls_below, here, interrupter_refused
from ccs._core.commits.batching import Group, group, one_durability
from ccs._core.commits.commit import Applied, Commit
from ccs._core.recipes.policies import NO_POLICIES
from ccs._core.retry import Patience, Withdrawn
from ccs._protocol.faults import copy_of
from ccs._sync.batch_sender import BatchSender
from ccs.errors import CCSError, Misuse, Unavailable
from ccs.types import Durability

__all__ = ["GroupCommit"]

Answer = Applied | CCSError

# Seconds that a caller waits beyond its patience for the reason.
_LATE = 0.1

# The threads that commit to any context, and perhaps some that were interrupted as they left.
_inside: set[int] = set()


class _Caller:
    """A thread with a commit. It is woken by its answer, or because it has to lead.

    It waits for a bare lock, which is held until then: an interrupt inside an `Event` could leave it locked for ever.
    """

    __slots__ = ("answer", "asleep", "commit", "confirmation", "durability", "since")

    def __init__(self, commit: Commit, since: float, durability: Durability | None) -> None:
        self.commit = commit
        self.since = since
        self.durability = durability
        self.answer: Answer | None = None
        # With which others it waits until its commit, which was applied, is durable.
        self.confirmation: _Confirmation | None = None
        self.asleep: Lock | None = None

    def sleep(self) -> None:
        self.asleep = Lock()
        self.asleep.acquire()

    def wait(self, timeout: float) -> None:
        assert self.asleep
        self.asleep.acquire(timeout=timeout)

    def wake(self) -> None:
        if self.asleep and self.asleep.locked():
            try:  # suppress() would cost more than all else here
                self.asleep.release()
            except RuntimeError:
                pass  # another thread was faster


class _Confirmation:
    """What the durable commits of a batch that was applied wait for, together. `answers` are those of the whole batch."""

    __slots__ = ("answers", "outcome", "sending", "turn")

    def __init__(self, sending: Group[_Caller], answers: Sequence[Answer]) -> None:
        self.sending = sending
        self.answers = answers
        self.outcome: dict[_Caller, Applied | Exception] = {}
        # Held by the thread that waits for all.
        self.turn = Lock()

    def wake(self, *, only_one: bool = False) -> None:
        for caller in self.sending.members:
            if caller.confirmation is self and caller.asleep and caller.asleep.locked():
                caller.wake()
                if only_one:
                    return


# Python 3.13 does not cover the jump behind the `if` of a comprehension by the `with` around it: an interrupt there would
# leave the lock locked. So no comprehension stands inside a `with`.


def _without(callers: list[_Caller], caller: _Caller) -> list[_Caller]:
    return [each for each in callers if each is not caller]


def _unanswered(callers: list[_Caller]) -> list[_Caller]:
    return [each for each in callers if each.answer is None]


def _late(callers: list[_Caller], overdue: float) -> list[_Caller]:
    return [each for each in callers if each.since <= overdue and each.answer is None]


class GroupCommit:
    """Sends the commits of one context in groups. One for all that write there, so that there is one order."""

    def __init__(
        self, batch_sender: BatchSender, enter: Callable[[], object], numbers: Callable[[], int], retry_for: float
    ) -> None:
        self._batch_sender = batch_sender
        self._enter = enter
        self._numbers = numbers
        self._retry_for = retry_for
        # The process where it may be used, once that is known.
        self._where: object = None
        self._waiting: list[_Caller] = []
        self._unanswered: Group[_Caller] | None = None
        self._leader: _Caller | None = None
        # Whether durable commits were ever made here.
        self._durably = False
        self._lock = Lock()
        self.last_revision = 0
        self.policies = NO_POLICIES

    def __repr__(self) -> str:
        return f"<GroupCommit of {len(self._waiting)} commits, acknowledged up to {self.last_revision}>"

    def commit(self, commit: Commit, durability: Durability | None = None) -> Applied:
        """Returns what became of the commit, once the server has answered. Raises its errors.

        With `durability`, it is answered once it is as safe as that; else it is `NotDurable`.
        """
        since = time.monotonic()
        if here() != self._where:
            where = self._enter()
            self._batch_sender.ready(Patience(since + self._retry_for))
            self._where = where
        thread = get_ident()
        interrupts = thread in _inside and calls_below(self.commit, of_any=True) > 1
        if interrupts and (self._leader is not None or calls_below(self.commit) > 1):
            raise interrupter_refused()
        caller = _Caller(commit, since, durability)
        if durability is not None:
            self._durably = True
        try:
            _inside.add(thread)
            with self._lock:
                self._waiting.append(caller)
                if self._leader is None:
                    self._leader = caller
                elif self._leader is not caller:
                    caller.sleep()
            if caller.asleep:
                caller.wait(self._retry_for + _LATE)
            while caller.answer is None:
                if self._leader is caller:
                    self._send_next(caller.since + self._retry_for)
                else:
                    caller.answer = self._in_vain(caller)
        except BaseException:
            if caller.confirmation:
                caller.confirmation.wake()
            raise
        finally:
            try:
                self._leave(caller)
            except BaseException:
                self._leave(caller)
                raise
            if not interrupts:
                _inside.discard(thread)
        answer = self._confirmed(caller, caller.confirmation) if caller.confirmation else caller.answer
        if isinstance(answer, Applied):
            if answer.revision > self.last_revision:  # sent again to a server that had lost it, it may have another one
                self.last_revision = answer.revision
            return answer
        raise answer

    def close(self) -> None:
        """Makes the next commit ask whether the store is open. There is no task to end: callers send."""
        self._where = None

    def _leave(self, caller: _Caller) -> None:
        with self._lock:
            if caller.answer is None:
                self._waiting = _without(self._waiting, caller)
            if self._leader is caller:
                self._leader = self._next_leader(caller)
            if self._leader and self._leader.asleep:
                self._leader.wake()

    def _next_leader(self, leaving: _Caller) -> _Caller | None:
        # Members of the unanswered group that have not left are still in the queue. Ordinarily there is none.
        following = None
        for caller in () if self._waiting == [leaving] else self._waiting:
            if caller.answer is not None:
                caller.wake()
            elif following is None and caller is not leaving:
                following = caller
        if following is None:
            if self._unanswered and self._unanswered.wait:
                self._unanswered.wait.drop()
            self._unanswered = None
            self._waiting = []
        return following

    def _in_vain(self, caller: _Caller) -> Unavailable:
        with self._lock:
            # First out of the queue: a commit must not be sent once its caller was told that it was not.
            self._waiting = _without(self._waiting, caller)
            sending = self._unanswered
        sent = sending is not None and caller in sending.members and not sending.patience.withdraw()
        return Unavailable(self._batch_sender.server, sent, "the batch before this commit was not answered in time")

    def _send_next(self, until: float) -> None:
        sending = self._unanswered or self._gather()
        sending.patience.until = until
        try:
            answers = self._batch_sender.send(sending)
        except Misuse:
            raise  # not an answer: the interrupted call goes on
        except Withdrawn:
            # Some callers were told that their commits were never sent: the others are sent without these.
            self._unanswered = None
            return None
        except CCSError as error:
            return self._fail(sending, error)
        if sending.wait:
            self._settle_applied(sending, answers)
        else:
            self._settle(sending.members, answers)
        self._unanswered = None
        return None

    def _settle_applied(self, sending: Group[_Caller], answers: Sequence[Answer]) -> None:
        """Gives all their answers, but wakes only those that need no more, and one that waits for the rest."""
        confirmation = _Confirmation(sending, answers)
        sending.wait.begin()
        for caller, answer in zip(sending.members, answers, strict=True):
            if caller.durability and isinstance(answer, Applied):
                caller.confirmation = confirmation
        for caller, answer in zip(sending.members, answers, strict=True):
            if caller.confirmation:
                caller.answer = answer
        self._settle(
            [caller for caller in sending.members if not caller.confirmation],
            [answer for caller, answer in zip(sending.members, answers, strict=True) if not caller.confirmation],
        )
        if not any(caller.confirmation for caller in sending.members):
            sending.wait.leave()
        elif self._leader and not self._leader.confirmation:
            confirmation.wake(only_one=True)

    def _confirmed(self, caller: _Caller, confirmation: _Confirmation) -> Applied | Exception:
        """Returns the answer to a durable commit that was applied: the first thread that comes here waits for all."""
        ours = False
        try:
            if not confirmation.outcome:
                ours = confirmation.turn.acquire(timeout=confirmation.sending.wait.left() + _LATE)
            if not confirmation.outcome:
                sending = confirmation.sending
                known = confirmation.answers
                answers = self._batch_sender.durable(sending, known) if ours else self._batch_sender.not_durable(known)
                confirmation.outcome.update(zip(sending.members, answers, strict=True))
        finally:
            if ours:
                confirmation.turn.release()
            confirmation.wake()
        return confirmation.outcome[caller]

    def _fail(self, sending: Group[_Caller], error: CCSError) -> None:
        now = time.monotonic()
        overdue = now + _LATE - self._retry_for
        ended = isinstance(error, Unavailable) and sending.patience.over(now)
        failed = [each for each in sending.members if each.since <= overdue or not ended]
        self._settle(failed, [copy_of(error) for _ in failed])
        if isinstance(error, Unavailable):
            self._fail_waiting(overdue, error)
        if not sending.patience.sent or all(each.answer is not None for each in sending.members):
            # A group that was never sent is formed anew, without the callers that were told so.
            self._unanswered = None

    def _gather(self) -> Group[_Caller]:
        with self._lock:
            if len(self._waiting) > 1:
                self._waiting = _unanswered(self._waiting)
            waiting: Sequence[_Caller] = self._waiting
            asked = None
            if self._durably:
                waiting, asked = one_durability(waiting)
            sending = Group(self._numbers(), group(waiting))
            if asked:
                sending.wait = self._batch_sender.waiting(sending, asked)
            self._unanswered = sending
        return sending

    def _settle(self, members: Sequence[_Caller], answers: Sequence[Answer]) -> None:
        for caller, answer in zip(members, answers, strict=True):
            if isinstance(answer, Applied) and answer.revision > self.last_revision:
                self.last_revision = answer.revision
            caller.answer = answer
            if caller.asleep:
                caller.wake()

    def _fail_waiting(self, overdue: float, error: Unavailable) -> None:
        # A caller that has waited as long, but was never sent, knows that nothing was applied.
        with self._lock:
            late = _late(self._waiting, overdue)
        self._settle(late, [Unavailable(error.address, reason=error.reason) for _ in late])
