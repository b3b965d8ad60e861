# Generated from ccs/_async/recipes/claim.py by scripts/twin. Do not edit.
"""Claims: exclusive, expiring holds with fencing tokens, given to those who wait in the order in which they came.

Who has no ticket takes a claim in one commit, if neither it nor a ticket is there. Who has one takes it when the claim
is gone and no older ticket is left, in one commit that removes the ticket. Claims and tickets are leases: what dies
frees its place within a term. Waiting is a picture of the claim and its tickets, one for all who wait in a store, and
costs the server nothing.

Whatever an acquisition writes carries a random id of its own. So where it is cancelled, or its answer is lost, what it
may have got is found and removed again.
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
from ccs._core.checks import listed
from ccs._core.codec import encode
from ccs._core.commits.calls import paths_call
from ccs._core.commits.commit import (
    Guard,
    Operation,
    delete_op,
    nothing_below,
    renew_op,
    revision_guard,
    set_op,
    version_guard,
)
from ccs._core.recipes.claim import CLAIMS, Site, free_of, info_of, site_of
from ccs._core.recipes.lease import Lease
from ccs._core.times import Duration, millis, seconds
from ccs._local import Local
from ccs._log import logger
from ccs._sync.entries import Entries
from ccs._sync.handle import Fence, Place
from ccs._sync.reads import matcher_of
from ccs._sync.recipes.claim_queue import Turns
from ccs.errors import AlreadyClaimed, CCSError, ClaimLost, Conflict, ContextFinished, Misuse, Unavailable
from ccs.types import ClaimInfo

if TYPE_CHECKING:
    from ccs._sync.context import Context

__all__ = ["Claim", "break_claim", "claim_any", "claims_of"]

# Seconds: the shortest ttl, the longest of a ticket, and for taking back what was not wanted; or for trying to, after the
# server has not answered for as long as the caller wanted to wait.
_SHORTEST, _TICKET, _PATIENCE, _AT_LAST = 0.01, 10.0, 1.0, 0.2


class Claim(Local):
    """An exclusive hold on a resource, for `ttl` seconds at a time, renewed in the background while it is held.

    Use it in a with block, or `acquire` and `release` it, by whatever task or thread, and again after that. The hold
    belongs to this object: another one of the same agent has to wait like everybody else.

    Leaving the block releases it. If it was lost meanwhile, that is `ClaimLost`, unless another exception passes
    through: that one is raised, and the loss is logged. Closing the store releases it, too. If the object is forgotten
    while it holds, the background releases it within a second, with a `ResourceWarning`.
    """

    def __init__(
        self,
        entries: Entries,
        fenced: Callable[[Fence], Context],
        resource: str,
        *,
        ttl: Duration = 30.0,
        wait: Duration = 0.0,
        note: Any = None,
    ) -> None:
        self._entries, self._place, self._fenced, self._site = entries, entries.place, fenced, site_of(resource)
        self._ttl, self._wait, self._note = seconds(ttl, "ttl", least=_SHORTEST), seconds(wait, "wait"), note
        self._lease: Lease | None = None
        self._attempt = ""
        self._released = self._acquiring = self._adopted = False
        self._forgotten: weakref.finalize[Any, Claim] | None = None

    def __repr__(self) -> str:
        token = f" with token {self._lease.revision}" if self._lease else ""
        return f"<Claim on {self.resource!r} in {self._place.address} by {self._place.agent!r}, {self.state}{token}>"

    @property
    def resource(self) -> str:
        """What it is on."""
        return self._site.resource

    @property
    def state(self) -> str:
        """`new`, `waiting` to be acquired, `held`, `lost` or `released`."""
        if self._lease is not None and not self._released:
            if self._place.opening.inherited:  # nobody renews it here, and the parent goes on holding it
                return "lost"
            if self._lease.over:
                return "released"
            return "held" if self._lease.held(time.monotonic()) else "lost"
        return "waiting" if self._acquiring else "released" if self._released else "new"

    @property
    def held(self) -> bool:
        """Whether it is held, as far as this process can know: it stops believing so before the server does.

        A look, and no guarantee for what is done after it: for that there is `context`, and the `token` for others.
        """
        return self.state == "held"

    @property
    def lost(self) -> bool:
        """Whether it was acquired, and lapsed without being released."""
        return self.state == "lost"

    @property
    def token(self) -> int:
        """The fencing token: of two holds on a resource, the later one has the larger. Hand it to other systems.

        It is the revision of the commit that acquired the claim, and stays after the release.
        """
        return self._last_hold().revision

    @property
    def context(self) -> Context:
        """The same context, whose writes are `ClaimLost` once the claim is not held any more: decided in the commit.

        As long as it is in use, the claim is not taken for forgotten.
        """
        return self._fenced(Fence(self.resource, revision_guard(self._site.path, self._last_hold().revision), self))

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
        """Takes the claim, after waiting in line for up to `timeout` seconds (None: the claim's own `wait`); itself.

        `AlreadyClaimed` if it is not had by then. Those who wait get it in the order in which they came. With
        `Unavailable(maybe_applied=True)` the resource may stay claimed until the ttl is over.
        """
        wait = self._wait if timeout is None else seconds(timeout, "timeout")
        self._obtain(partial(self._take_in_time, time.monotonic() + wait) if wait else self._take_at_once)
        return self

    def release(self) -> None:
        """Gives the claim back. `ClaimLost`, and nothing is changed, if it is not held any more."""
        lease = self._last_hold()
        if self._released:
            raise ClaimLost(self.resource)
        try:
            self._released, self._adopted = True, False
            self._let_go(lease)
            self._commit([delete_op(lease.path)], [revision_guard(lease.path, lease.revision)])
        except Conflict as conflict:
            raise ClaimLost(self.resource) from conflict
        except Misuse:
            # Refused before anything was sent, so it is held as before.
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
        """Takes it if it is free, for a with block that is entered later; whether it was. For the inside."""
        try:
            self._obtain(self._take)
        except Conflict:
            return False
        self._adopted = True
        return True

    def _keep(self, lease: Lease) -> None:
        self._place.hold(lease)
        self._own(lease)

    def _own(self, lease: Lease) -> None:
        """From now on this object is the only one that can give it back: if it is forgotten, the background does it."""
        self._disown()
        holding = self._place.holding(lease.path, lease.revision)
        self._forgotten = weakref.finalize(self, self._place.holdings.note_forgotten, holding)
        self._forgotten.atexit = False

    def _disown(self) -> None:
        if self._forgotten:
            self._forgotten.detach()

    def _let_go(self, lease: Lease) -> None:
        self._disown()
        self._place.let_go(lease)

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
            # In this order: who is interrupted in between takes it back, and does not hold it.
            self._own(lease)
            self._lease, self._attempt, self._released = lease, attempt, False
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
        # A hold that is not believed in any more may still stand: it must not keep its own claim waiting.
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
        turns = Turns.of(self._place.engine, self._place.address, self._site)
        while True:
            ticket = self._line_up(attempt)
            after = 0
            try:
                while turns.comes_up(ticket, after, deadline):
                    try:
                        return self._take(attempt, ticket)
                    except Conflict as conflict:
                        if conflict.path == ticket.path:
                            break  # it has lapsed
                        after = conflict.revision  # the picture was out of date: another look
            finally:
                self._place.let_go(ticket)

    def _take(self, attempt: str, ticket: Lease | None = None) -> Lease:
        free, first = version_guard(self._site.path, 0), nothing_below(self._site.queue)
        also = [] if ticket is None else [delete_op(ticket.path)]
        if ticket is not None:
            first = revision_guard(ticket.path, ticket.revision)
        value = {"holder": self._place.agent, "note": self._note, "id": attempt}
        lease = self._lend(self._site.path, value, self._term(), [free, first], also)
        if not lease.held(time.monotonic()):
            self._confirm(lease)
        return lease

    def _confirm(self, lease: Lease) -> None:
        """The answer came so late that the claim may have lapsed: renews it, or `ClaimLost`."""
        sent = time.monotonic()
        try:
            self._commit([renew_op(lease.path, millis(lease.ttl))], [revision_guard(lease.path, lease.revision)])
        except Conflict as conflict:
            self._place.let_go(lease)
            raise ClaimLost(self.resource) from conflict
        lease.renewed(sent, lease.ttl)

    def _line_up(self, attempt: str) -> Lease:
        path, holder = self._site.ticket(attempt), {"holder": self._place.agent}
        # Before it is there: a store that is closed meanwhile gives it back all the same.
        self._place.holding(path, None)
        return self._lend(path, holder, self._term(_TICKET), [])

    def _lend(self, path: str, value: Any, ttl: float, guards: list[Guard], also: Sequence[Operation] = ()) -> Lease:
        """Writes an entry that ends by itself unless it is renewed, and renews it from now on."""
        raw, sent = encode(value, self._place.engine.max_value_bytes), time.monotonic()
        applied = self._place.commit([set_op(path, raw, millis(ttl)), *also], guards, len(raw), heeding=False)
        lease = Lease(path, applied.revision, ttl, sent + ttl)
        self._place.hold(lease)
        return lease

    def _term(self, most: float = float("inf")) -> float:
        """For how long to lend at a time."""
        return min(self._place.term(self._ttl), most)

    def _refusal(self) -> AlreadyClaimed:
        entry = self._entries.entry(self._site.path)
        return AlreadyClaimed(self.resource, *((entry.agent, entry.expires_at) if entry else (None, None)))

    def _withdraw(self, attempt: str, patience: float = _PATIENCE) -> None:
        # Somebody was cancelled or interrupted, who should not wait long; this goes on even if it happens again.
        Worker("ccs claim", partial(self._take_back, attempt)).finish(patience)

    def _take_back(self, attempt: str) -> None:
        try:
            # After this commit, no earlier one that was on its way is applied any more.
            ticket = self._site.ticket(attempt)
            self._commit([delete_op(ticket)], [])
            self._place.holdings.remove(self._place.address, ticket, 0)
            entry = self._entries.entry(self._site.path)
            if entry and entry.value["id"] == attempt:
                self._commit([delete_op(entry.path)], [revision_guard(entry.path, entry.revision)])
        except CCSError as error:
            logger.info("what was left of %r lapses by itself: %s", self, error)

    def _commit(self, operations: list[Operation], guards: list[Guard]) -> None:
        self._place.commit(operations, guards, 0, heeding=False)


def break_claim(place: Place, resource: str) -> bool:
    """Removes the claim on a resource, whoever has it; whether there was one."""
    applied = place.commit([delete_op(site_of(resource).path)], [], 0, heeding=False)
    return bool(applied.result[0])


def claim_any(place: Place, resources: Iterable[str], claim: Callable[[str], Claim]) -> Claim | None:
    """A claim on the first of the resources that is free, held already; None if none is."""
    wanted = listed("resources", resources, "a list of resources, or use claim for one")
    sites = [site_of(resource) for resource in wanted]
    while free := _free(place, sites):
        for site in free:
            if (taken := claim(site.resource)).seize():
                return taken
    return None


def _free(place: Place, sites: list[Site]) -> list[Site]:
    if not sites:
        return []
    selectors = (selector for site in sites for selector in site.selectors)
    listed = place.opening.call(paths_call(place.keys, selectors))
    return free_of(sites, listed.paths)


def claims_of(entries: Entries, patterns: tuple[str, ...]) -> list[ClaimInfo]:
    """The claims on resources that match, sorted; all of them where no pattern is given."""
    matches = matcher_of(patterns).matches if patterns else lambda _: True
    infos = map(info_of, entries.snapshot(f"{CLAIMS}/**").values())
    return sorted((info for info in infos if matches(info.resource)), key=lambda info: info.resource)
