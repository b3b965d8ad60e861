# Generated from ccs/_async/recipes/message_lease.py by scripts/twin. Do not edit.
"""The lease of a received message: how long it lasts, who renews it, and who gives it back."""

from __future__ import annotations

import time
import weakref
from typing import Any

from ccs._core.commits.operations import Guard, renew_op
from ccs._core.recipes.lease import Lease
from ccs._core.times import millis
from ccs._sync.context_handle import Handle

__all__ = ["MessageLease"]


class MessageLease:
    """The entry at `path` of `revision`, which keeps a message from other receivers for `ttl` seconds.

    The inbox with the token `owner` gives it back when it is left. With `renew` it is renewed as long as this object lives,
    and given back soon after. Without, it is renewed only if it must be held in parts, because its agent is present for
    less than `ttl` seconds at a time.
    """

    def __init__(self, handle: Handle, path: str, revision: int, owner: object, ttl: float, renew: bool) -> None:
        self._handle = handle
        self._path = path
        self._revision = revision
        self._owner = owner
        self._ttl = ttl
        self._renew = renew
        self._lease: Lease | None = None
        self._forgotten: weakref.finalize[Any, MessageLease] | None = None

    def __repr__(self) -> str:
        return f"<MessageLease {self._path} of {self._ttl:g} s{', renewed' if self._renew else ''}>"

    def begin(self, sent: float, term: float) -> None:
        """Notes that it was taken, or prolonged, for `term` seconds by a commit that was sent at `sent` (monotonic)."""
        self._stop()
        until = float("inf") if self._renew else sent + self._ttl
        holding = self._handle.holding(self._path, self._revision, until, self._owner)
        if self._renew:
            self._forgotten = weakref.finalize(self, self._handle.holdings.note_forgotten, holding)
            self._forgotten.atexit = False
        if self._renew or term < self._ttl:
            self._lease = Lease(self._path, self._revision, term, sent + term, until)
            self._handle.hold(self._lease)
        self._handle.expect(millis(term))

    def prolong(self, ttl: float, held: Guard) -> bool:
        """Moves its end to `ttl` seconds from now. Returns whether it had not ended; raises `Conflict` if the guard fails."""
        if self._renew:
            ttl = max(ttl, self._ttl)
        term = self._handle.term(ttl)
        sent = time.monotonic()
        applied = self._handle.commit([renew_op(self._path, millis(term))], [held])
        if applied.result != (1,):
            return False
        self._ttl = ttl
        self.begin(sent, term)
        return True

    def end(self) -> None:
        """Leaves the lease to itself: the message was settled, or is not to be given back."""
        self._stop()
        self._handle.holdings.remove(self._handle.address, self._path, self._revision)

    def _stop(self) -> None:
        if self._forgotten:
            self._forgotten.detach()
        if self._lease:
            self._handle.let_go(self._lease)
