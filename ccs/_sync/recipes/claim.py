# Generated from ccs/_async/recipes/claim.py by scripts/twin. Do not edit.
"""Claims: exclusive, expiring holds with fencing tokens, given to waiting callers in the order in which they came.

A caller without a ticket claims in one commit, provided no claim or ticket exists. A caller with a ticket claims once the
claim is gone and no older ticket exists, in one commit that removes its ticket. Claims and tickets are leases, so those of
a process that dies expire. To wait, all callers of a store share one picture of the claim and its tickets, which costs the
server nothing.

All that an acquisition writes carries its own random id. So if it is cancelled, or a reply is lost, its entries can be
found and removed.
"""

from __future__ import annotations

import secrets
import time
import weakref
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from ccs._compat import Worker
from ccs._core.codec import encode
from ccs._core.commits.operations import (
    Guard,
    Operation,
    delete_op,
    nothing_below,
    renew_op,
    revision_guard,
    set_op,
    version_guard,
)
from ccs._core.commits.script_calls import paths_call
from ccs._core.number_checks import listed
from ccs._core.recipes.claim import CLAIMS, Site, free_of, info_of, site_of
from ccs._core.recipes.lease import Lease
from ccs._core.times import Duration, millis, seconds
from ccs._log import logger
from ccs._not_copyable import Local
from ccs._sync.context_handle import Fence, Handle
from ccs._sync.entries import Entries
from ccs._sync.reads import matcher_of
from ccs._sync.recipes.claim_queue import Turns
from ccs.errors import AlreadyClaimed, CCSError, ClaimLost, Conflict, ContextFinished, Misuse, Unavailable
from ccs.types import ClaimInfo

if TYPE_CHECKING:
    from ccs._sync.context import Context

__all__ = ["Claim", "break_claim", "claim_any", "claims_of"]

# Seconds of the shortest ttl of a claim, and of the longest ttl of a ticket.
_SHORTEST = 0.01
_TICKET = 10.0
# Seconds for withdrawing an acquisition, and for that after the server has not answered in the caller's time.
_PATIENCE = 1.0
_AT_LAST = 0.2


class Claim(Local):
    """An exclusive hold on a resource, for `ttl` seconds at a time, renewed in the background while it is held.

    Use it in a with block, or `acquire` and `release` it, from any task or thread; it can be used again afterwards. The
    hold belongs to this object: another claim of the same agent waits like any other.

    Leaving the block releases it, and so does closing the store. If the claim was lost, leaving raises `ClaimLost`, unless
    another exception leaves the block: then the loss is logged. If the object is garbage collected while it holds, the
    background releases it within a second, with a `ResourceWarning`.
    """

    def __init__(
        self,
        entries: Entries,
        fenced: Callable[[Fence], Any],
        resource: str,
        *,
        ttl: Duration = 30.0,
        wait: Duration = 0.0,
        note: Any = None,
    ) -> None:
        self._entries = entries
        self._handle = entries.handle
        self._fenced = fenced
        self._site = site_of(resource)
        self._ttl = seconds(ttl, "ttl", least=_SHORTEST)
        self._wait = seconds(wait, "wait")
        self._note = note
        self._lease: Lease | None = None
        self._attempt = ""
        self._released = self._acquiring = self._adopted = False
        self._forgotten: weakref.finalize[Any, Claim] | None = None

    def __repr__(self) -> str:
        token = f" with token {self._lease.revision}" if self._lease else ""
        return f"<Claim on {self.resource!r} in {self._handle.address} by {self._handle.agent!r}, {self.state}{token}>"

    @property
    def resource(self) -> str:
        """The name of the resource."""
        return self._site.resource

    @property
    def state(self) -> str:
        """`new`, `waiting` to be acquired, `held`, `lost` or `released`."""
        if self._lease is not None and not self._released:
            if self._handle.opening.inherited:  # a forked child does not renew it, and the parent still holds it
                return "lost"
            if self._lease.over:
                return "released"
            return "held" if self._lease.held(time.monotonic()) else "lost"
        return "waiting" if self._acquiring else "released" if self._released else "new"

    @property
    def held(self) -> bool:
        """Whether it is held, as far as this process can know: it turns False before the claim expires on the server.

        It may be lost right after: to guard writes use `context`, and for other systems the `token`.
        """
        return self.state == "held"

    @property
    def lost(self) -> bool:
        """Whether it was acquired and has expired, or was taken away, before it was released."""
        return self.state == "lost"

    @property
    def token(self) -> int:
        """The fencing token to give to other systems: a later hold on the resource has a larger one.

        It is the revision of the commit that acquired the claim, and stays the same after the release. Raises `Misuse` if
        the claim was never acquired.
        """
        return self._last_hold().revision

    @property
    def context(self) -> Context:
        """The same context, whose writes raise `ClaimLost` if the claim is no longer held; the commit itself checks it.

        It keeps the claim object alive.
        """
        guard = revision_guard(self._site.path, self._last_hold().revision)
        fenced: Context = self._fenced(Fence(self.resource, guard, self))
        return fenced

    def __enter__(self) -> Claim:
        if self._adopted:
            self._adopted = False
            return self
        return self.acquire()

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._released or self.state == "released":
            return
        try:
            self.release()
        except ContextFinished:
            logger.debug("%r ended with its context", self)
        except CCSError as failure:
            if kind is None:
                raise
            logger.warning("%r was not released: %s", self, failure)

    def acquire(self, timeout: Duration | None = None) -> Claim:
        """Takes the claim, waiting in line for up to `timeout` seconds (None: the claim's own `wait`). Returns itself.

        Raises `AlreadyClaimed` if it does not get the claim by then. Waiting callers are served in the order in which they
        came. After `Unavailable(maybe_applied=True)` the resource may stay claimed until the ttl has passed.
        """
        wait = self._wait if timeout is None else seconds(timeout, "timeout")
        self._obtain(partial(self._take_in_time, time.monotonic() + wait) if wait else self._take_at_once)
        return self

    def release(self) -> None:
        """Gives the claim back. Raises `ClaimLost`, and changes nothing, if it is no longer held."""
        lease = self._last_hold()
        if self._released:
            raise ClaimLost(self.resource)
        try:
            self._released = True
            self._adopted = False
            self._let_go(lease)
            self._commit([delete_op(lease.path)], [revision_guard(lease.path, lease.revision)])
        except Conflict as conflict:
            raise ClaimLost(self.resource) from conflict
        except Misuse:
            # Refused before anything was sent, so it is still held.
            self._released = False
            self._keep(lease)
            raise
        except CCSError:
            raise
        except BaseException:
            self._let_go(lease)
            self._withdraw(self._attempt)
            raise

    def seize(self) -> bool:
        """Takes the claim if it is free, for a with block that is entered later. Returns whether it did. Internal."""
        try:
            self._obtain(self._take)
        except Conflict:
            return False
        self._adopted = True
        return True

    def _keep(self, lease: Lease) -> None:
        self._handle.hold(lease)
        self._own(lease)

    def _own(self, lease: Lease) -> None:
        """Makes this object the owner of the hold: if it is garbage collected, the background gives the hold back."""
        self._disown()
        holding = self._handle.holding(lease.path, lease.revision)
        self._forgotten = weakref.finalize(self, self._handle.holdings.note_forgotten, holding)
        self._forgotten.atexit = False

    def _disown(self) -> None:
        if self._forgotten:
            self._forgotten.detach()

    def _let_go(self, lease: Lease) -> None:
        self._disown()
        self._handle.let_go(lease)

    def _last_hold(self) -> Lease:
        if self._lease is None:
            raise Misuse(f"{self!r} was not acquired yet: use it in a with block, or acquire() it first")
        return self._lease

    def _obtain(self, take: Callable[[str], Lease]) -> None:
        if self.held or self._acquiring:
            raise Misuse(f"{self!r} is in use: release it first, or make another claim on the resource")
        attempt = secrets.token_hex(8)
        try:
            self._acquiring = True
            self._give_up()
            lease = take(attempt)
            # In this order: an interrupt in between withdraws the attempt, and the claim is not held.
            self._own(lease)
            self._lease = lease
            self._attempt = attempt
            self._released = False
        except (AlreadyClaimed, Conflict, Misuse):
            raise
        except Unavailable:
            self._withdraw(attempt, _AT_LAST)
            raise
        except BaseException:
            self._withdraw(attempt)
            raise
        finally:
            self._acquiring = False

    def _give_up(self) -> None:
        # A hold that seems lost may still exist on the server, where it would keep this claim waiting.
        if self._lease and not self._released:
            with suppress(ClaimLost):
                self.release()

    def _take_at_once(self, attempt: str) -> Lease:
        while True:
            try:
                return self._take(attempt)
            except Conflict as conflict:
                refusal = self._refusal()
                if refusal.holder or conflict.path != self._site.path:
                    raise refusal from None

    def _take_in_time(self, deadline: float, attempt: str) -> Lease:
        with suppress(Conflict):
            return self._take(attempt)
        try:
            return self._take_in_turn(deadline, attempt)
        except TimeoutError:
            self._withdraw(attempt)
            raise self._refusal() from None
        except Misuse:
            self._withdraw(attempt)  # from the line
            raise

    def _take_in_turn(self, deadline: float, attempt: str) -> Lease:
        turns = Turns.of(self._handle.engine, self._handle.address, self._site)
        while True:
            ticket = self._line_up(attempt)
            after = 0
            try:
                while turns.comes_up(ticket, after, deadline):
                    try:
                        return self._take(attempt, ticket)
                    except Conflict as conflict:
                        if conflict.path == ticket.path:
                            break  # the ticket has expired
                        after = conflict.revision  # the picture was out of date: look again
            finally:
                self._handle.let_go(ticket)

    def _take(self, attempt: str, ticket: Lease | None = None) -> Lease:
        free = version_guard(self._site.path, 0)
        first = nothing_below(self._site.queue)
        also = []
        if ticket is not None:
            first = revision_guard(ticket.path, ticket.revision)
            also = [delete_op(ticket.path)]
        value = {"holder": self._handle.agent, "note": self._note, "id": attempt}
        lease = self._lend(self._site.path, value, self._term(), [free, first], also)
        if not lease.held(time.monotonic()):
            self._confirm(lease)
        return lease

    def _confirm(self, lease: Lease) -> None:
        """Renews a claim whose reply came so late that it may have expired; raises `ClaimLost` if it has."""
        sent = time.monotonic()
        try:
            self._commit([renew_op(lease.path, millis(lease.ttl))], [revision_guard(lease.path, lease.revision)])
        except Conflict as conflict:
            self._handle.let_go(lease)
            raise ClaimLost(self.resource) from conflict
        lease.renewed(sent, lease.ttl)

    def _line_up(self, attempt: str) -> Lease:
        path = self._site.ticket(attempt)
        # Noted before it exists, so that a store that is closed meanwhile gives it back too.
        self._handle.holding(path, None)
        return self._lend(path, {"holder": self._handle.agent}, self._term(_TICKET), [])

    def _lend(self, path: str, value: Any, ttl: float, guards: list[Guard], also: Sequence[Operation] = ()) -> Lease:
        """Writes an entry that expires after `ttl` seconds, and renews it from now on. Returns its lease."""
        raw = encode(value, self._handle.engine.max_value_bytes)
        sent = time.monotonic()
        applied = self._handle.commit([set_op(path, raw, millis(ttl)), *also], guards)
        lease = Lease(path, applied.revision, ttl, sent + ttl)
        self._handle.hold(lease)
        return lease

    def _term(self, most: float = float("inf")) -> float:
        """Returns the seconds of one lease: the ttl, bounded by the presence of the agent, and at most `most`."""
        return min(self._handle.term(self._ttl), most)

    def _refusal(self) -> AlreadyClaimed:
        entry = self._entries.entry(self._site.path)
        holder = entry.agent if entry else None
        until = entry.expires_at if entry else None
        return AlreadyClaimed(self.resource, holder, until)

    def _withdraw(self, attempt: str, patience: float = _PATIENCE) -> None:
        # A worker, since a caller that was cancelled should not wait long, and may be cancelled again.
        Worker("ccs claim", partial(self._take_back, attempt)).finish(patience)

    def _take_back(self, attempt: str) -> None:
        try:
            # Once this commit is applied, an earlier one that was still on its way is refused.
            ticket = self._site.ticket(attempt)
            self._commit([delete_op(ticket)], [])
            self._handle.holdings.remove(self._handle.address, ticket, 0)
            entry = self._entries.entry(self._site.path)
            if entry and entry.value["id"] == attempt:
                self._commit([delete_op(entry.path)], [revision_guard(entry.path, entry.revision)])
        except CCSError as error:
            logger.info("what is left of %r expires by itself: %s", self, error)

    def _commit(self, operations: list[Operation], guards: list[Guard]) -> None:
        self._handle.commit(operations, guards)


def break_claim(handle: Handle, resource: str) -> bool:
    """Removes the claim on a resource, whoever holds it. Returns whether there was one."""
    applied = handle.commit([delete_op(site_of(resource).path)])
    return bool(applied.result[0])


def claim_any(handle: Handle, resources: Iterable[str], claim: Callable[[str], Claim]) -> Claim | None:
    """Takes a claim on the first resource that is free. Returns it; None if no resource is free."""
    wanted = listed("resources", resources, "a list of resources, or use claim for one")
    sites = [site_of(resource) for resource in wanted]
    while free := _free(handle, sites):
        for site in free:
            candidate = claim(site.resource)
            if candidate.seize():
                return candidate
    return None


def _free(handle: Handle, sites: list[Site]) -> list[Site]:
    if not sites:
        return []
    selectors = (selector for site in sites for selector in site.selectors)
    listed = handle.opening.call(paths_call(handle.keys, selectors))
    return free_of(sites, listed.paths)


def claims_of(entries: Entries, patterns: tuple[str, ...]) -> list[ClaimInfo]:
    """Returns the claims on resources that match, sorted by resource; without a pattern, all claims."""
    matches = matcher_of(patterns).matches if patterns else lambda _: True
    infos = map(info_of, entries.snapshot(f"{CLAIMS}/**").values())
    return sorted((info for info in infos if matches(info.resource)), key=lambda info: info.resource)
