"""Group commit, blocking: one batch at a time per context; threads take turns at sending for everybody who waits.

Written by hand; the asyncio twin leaves the sending to a task. The thread that finds no leader leads: it sends what
waits until its own commit is answered, then hands over to one whose commit is still waiting. A leader that is
interrupted leaves its unanswered group to the next one: sent again under its number, it is applied at most once.

An interrupt (Ctrl-C) can come between any two instructions, and must leave nobody waiting for ever. So nothing is taken
out of the queue before it is answered, each step can be done again, and whoever leaves sees to it that somebody leads.

No caller waits longer than its own patience. A leader whose patience ends leaves the group to the next one too; a caller
that waits in vain is told whether its commit may have been applied.

So can a signal handler or a finalizer that commits too. On top of a commit to the same context it would wait for its own
thread: it is refused. On top of one to another context it may lead, but not wait for a leader, who may be waiting for
what the interrupted thread holds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from threading import Lock, get_ident

from ccs._compat import calls_below, here, interrupter_refused
from ccs._core.commits.batching import Group, group
from ccs._core.commits.commit import Applied, Commit
from ccs._core.recipes.policies import NO_POLICIES
from ccs._core.retry import Patience, Withdrawn
from ccs._protocol.faults import copy_of
from ccs._sync.batches import Batches
from ccs.errors import CCSError, Misuse, Unavailable

__all__ = ["GroupCommit"]

Answer = Applied | CCSError

# Seconds that a caller waits beyond its patience, for who leads to tell it why.
_LATE = 0.1

# The threads that commit, to any context, and perhaps some whose leaving was interrupted.
_inside: set[int] = set()


class _Caller:
    """A thread with a commit: woken by its answer, or because it is its turn to lead.

    It waits for a bare lock, held until then: an interrupt inside an `Event` could leave it locked for ever.
    """

    __slots__ = ("answer", "asleep", "commit", "since")

    def __init__(self, commit: Commit, since: float) -> None:
        self.commit = commit
        self.since = since
        self.answer: Answer | None = None
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
                pass  # somebody else was faster


class GroupCommit:
    """The commits of one context, on their way to the server."""

    def __init__(
        self, batches: Batches, enter: Callable[[], object], numbers: Callable[[], int], retry_for: float
    ) -> None:
        self._batches = batches
        self._enter = enter
        self._numbers = numbers
        self._retry_for = retry_for
        # Where it may be used, once that is known.
        self._where: object = None
        self._waiting: list[_Caller] = []
        self._unanswered: Group[_Caller] | None = None
        self._leader: _Caller | None = None
        self._lock = Lock()
        self.last_revision = 0
        self.policies = NO_POLICIES

    def __repr__(self) -> str:
        return f"<GroupCommit of {len(self._waiting)} commits, acknowledged up to {self.last_revision}>"

    def commit(self, commit: Commit) -> Applied:
        """What became of the commit, once the server has said so; its errors are raised."""
        since = time.monotonic()
        if here() != self._where:
            where = self._enter()
            self._batches.ready(Patience(since + self._retry_for))
            self._where = where
        thread = get_ident()
        interrupts = thread in _inside and calls_below(self.commit, of_any=True) > 1
        if interrupts and (self._leader is not None or calls_below(self.commit) > 1):
            raise interrupter_refused()
        caller = _Caller(commit, since)
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
        finally:
            try:
                self._leave(caller)
            except BaseException:
                self._leave(caller)
                raise
            if not interrupts:
                _inside.discard(thread)
        if isinstance(caller.answer, Applied):
            return caller.answer
        raise caller.answer

    def close(self) -> None:
        """Nothing to wait for: whoever sends is a caller."""
        self._where = None

    def _leave(self, caller: _Caller) -> None:
        with self._lock:
            if caller.answer is None:
                self._waiting = [each for each in self._waiting if each is not caller]
            if self._leader is caller:
                self._leader = self._next_leader(caller)
            if self._leader and self._leader.asleep:
                self._leader.wake()

    def _next_leader(self, leaving: _Caller) -> _Caller | None:
        # Those of the unanswered group that have not left are still in the queue. Ordinarily that is nobody else.
        following = None
        for caller in () if self._waiting == [leaving] else self._waiting:
            if caller.answer is not None:
                caller.wake()
            elif following is None and caller is not leaving:
                following = caller
        if following is None:
            self._unanswered = None
            self._waiting = []
        return following

    def _in_vain(self, caller: _Caller) -> Unavailable:
        with self._lock:
            # First out of the queue: what was never sent must not be gathered once its caller was told so.
            self._waiting = [each for each in self._waiting if each is not caller]
            sending = self._unanswered
        sent = sending is not None and caller in sending.members and not sending.patience.withdraw()
        return Unavailable(self._batches.server, sent, "what was sent before this commit has got no answer in time")

    def _send_next(self, until: float) -> None:
        sending = self._unanswered or self._gather()
        sending.patience.until = until
        try:
            answers = self._batches.send(sending)
        except Misuse:
            raise  # no answer: it was raised by what interrupted us
        except Withdrawn:
            # Some of the group were told that they were never sent: the others travel without them.
            self._unanswered = None
            return None
        except CCSError as error:
            return self._fail(sending, error)
        self._settle(sending.members, answers)
        self._unanswered = None
        return None

    def _fail(self, sending: Group[_Caller], error: CCSError) -> None:
        now = time.monotonic()
        overdue = now + _LATE - self._retry_for
        ended = isinstance(error, Unavailable) and sending.patience.over(now)
        failed = [each for each in sending.members if each.since <= overdue or not ended]
        self._settle(failed, [copy_of(error) for _ in failed])
        if isinstance(error, Unavailable):
            self._fail_waiting(overdue, error)
        if not sending.patience.sent or all(each.answer is not None for each in sending.members):
            # What was never sent is gathered anew, without those who were told so.
            self._unanswered = None

    def _gather(self) -> Group[_Caller]:
        with self._lock:
            if len(self._waiting) > 1:
                self._waiting = [caller for caller in self._waiting if caller.answer is None]
            self._unanswered = sending = Group(self._numbers(), group(self._waiting))
        return sending

    def _settle(self, members: Sequence[_Caller], answers: Sequence[Answer]) -> None:
        for caller, answer in zip(members, answers, strict=True):
            if isinstance(answer, Applied) and answer.revision > self.last_revision:
                self.last_revision = answer.revision
            caller.answer = answer
            if caller.asleep:
                caller.wake()

    def _fail_waiting(self, overdue: float, error: Unavailable) -> None:
        # Who has waited as long, but was never sent, knows that nothing of it was applied.
        with self._lock:
            late = [each for each in self._waiting if each.since <= overdue and each.answer is None]
        self._settle(late, [Unavailable(error.address, reason=error.reason) for _ in late])
