# Generated from ccs/_async/recipes/job.py by scripts/twin. Do not edit.
"""A job that a worker has taken: it ends with a result, or fails and is tried again."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ccs._compat import shielded
from ccs._core.codec import encode
from ccs._core.commits.operations import delete_op, revision_guard
from ccs._core.recipes.guarded_commit import GuardedCommit
from ccs._core.recipes.jobs import Pool, burying, dropping, failing, finishing, text_of
from ccs._core.times import Duration, millis, seconds
from ccs._not_copyable import Local
from ccs._sync.context_handle import Handle
from ccs._sync.recipes.claim import Claim
from ccs.errors import CCSError, ClaimLost, Conflict, Misuse
from ccs.types import Entry

if TYPE_CHECKING:
    from ccs._sync.context import Context

__all__ = ["Job"]

Move = Callable[[bool], GuardedCommit]
"""The commit that ends an attempt, given whether the job was replaced meanwhile."""


class Job(Local):
    """A job that this worker has taken, under a claim that is renewed until it is `done` or has `failed`.

    `path` and `value` are those of its entry, and `attempts` counts how often it was taken, this time included. If this
    object is garbage collected before, the background gives the job back within a second, with a `ResourceWarning`.
    """

    def __init__(self, handle: Handle, pool: Pool, entry: Entry, claim: Claim, attempts: int, most: int) -> None:
        self._handle = handle
        self._pool = pool
        self._entry = entry
        self._most = most
        self._settled = False
        self.claim = claim
        self.path = entry.path
        # A copy: the other workers of this store share the entry.
        self.value: Any = copy.deepcopy(entry.value)
        self.attempts = attempts

    def __repr__(self) -> str:
        state = "settled" if self._settled else self.claim.state
        return f"<Job {self.path!r} in {self._handle.address}, attempt {self.attempts} of {self._most}, {state}>"

    @property
    def context(self) -> Context:
        """The same context, whose writes raise `ClaimLost` if another worker may have taken the job; see `Claim.context`."""
        return self.claim.context

    def done(self, result: Any = None) -> None:
        """Ends the job: in one commit its entry is removed, and its result written, to be kept for a day.

        Raises `ClaimLost`, and changes nothing, if the claim was lost, as another worker may have taken the job since; and
        `Misuse` if it is settled already. A result that cannot be stored raises `EncodingError` or `ValueTooLarge`; then the
        job is still held. If its path was set again meanwhile, that is a new job, which is left alone.
        """
        self._check()
        raw = encode(result, self._handle.engine.max_value_bytes)
        shielded(self._settle, lambda replaced: finishing(self._entry, self._pool, raw, replaced=replaced))

    def failed(self, error: BaseException | str, retry_in: Duration = 0) -> None:
        """Gives the job back: it is tried again, at once or after `retry_in` seconds. Raises as `done` does.

        `error` is an exception, or a text; 1,000 characters of it are kept. After its last attempt the job is dead: its
        entry moves to the `dead` ones of its pool. If its path was set again meanwhile, that is a new job, which is left
        alone, and this one is gone.
        """
        self._check()
        text = text_of(error)
        wait = millis(retry_in, "retry_in") if seconds(retry_in, "retry_in") else 0

        def move(replaced: bool) -> GuardedCommit:
            if replaced:
                return dropping(self._entry)
            if self.attempts >= self._most:
                return burying(self._entry, self.attempts, text)
            return failing(self._entry, self.attempts, text, wait)

        shielded(self._settle, move)
        self._handle.expect(wait or None)

    def give_back(self) -> None:
        """Ends the attempt without an outcome: other workers can take the job at once. Does nothing if it is settled."""
        if self.claim.state == "held":
            self.claim.release()

    def _check(self) -> None:
        if self._settled:
            raise Misuse(f"{self!r} was settled before: once is enough")

    def _settle(self, move: Move) -> None:
        self._check()
        lease = self.claim._last_hold()
        if self.claim._released or self.claim._is_past():
            raise self._lost()
        # First, so that a renewal that is on its way is not taken for a loss.
        self.claim._end_hold(lease)
        try:
            self._commit(move)
        except Conflict as conflict:
            if conflict.path != lease.path:  # a policy forbids it
                self.claim._hold_again(lease)
                raise
            self.claim._lose()
            raise self._lost() from conflict
        except CCSError:
            self.claim._hold_again(lease)
            raise
        self._settled = True
        self.claim._end()

    def _commit(self, move: Move) -> None:
        lease = self.claim._last_hold()
        held = revision_guard(lease.path, lease.revision)
        for replaced in (False, True):
            operations, guards, _ = move(replaced)
            try:
                self._handle.write([delete_op(lease.path), *operations], [held, *guards])
                return
            except Conflict as conflict:
                if replaced or conflict.path != self.path or conflict.policy:
                    raise

    def _lost(self) -> ClaimLost:
        text = f"the claim on the job {self.path!r} is no longer held, and another worker may have it: leave it"
        return ClaimLost(self.path, text)
