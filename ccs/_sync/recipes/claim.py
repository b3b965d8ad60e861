# Generated from ccs/_async/recipes/claim.py by scripts/twin. Do not edit.
"""Claims: exclusive, expiring holds with fencing tokens, given to waiting callers in the order in which they came.

Claims and tickets are leases, so those of a process that dies expire. To wait, all callers of a store share one picture of
the claim and its tickets, which costs the server nothing. How a claim is taken is in `claim_taking.py`.
"""

from __future__ import annotations

import time
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from logging import DEBUG, WARNING
from typing import TYPE_CHECKING, Any, TypeVar

from ccs._compat import Body
from ccs._core.commits.operations import delete_op, revision_guard
from ccs._core.names.pattern import escape
from ccs._core.number_checks import flag, integer
from ccs._core.recipes.claim import CLAIMS, WAITING, Wish, infos_of, site_of
from ccs._core.recipes.lease import Lease
from ccs._core.times import Duration, seconds
from ccs._log import logger
from ccs._not_copyable import Local
from ccs._sync.context_handle import Fence, past_claim
from ccs._sync.entries import Entries
from ccs._sync.reads import matcher_of
from ccs._sync.recipes.claim_loss import Ending, LossCallbacks
from ccs._sync.recipes.claim_taking import Take, Taking, Terms
from ccs.errors import CCSError, ClaimLost, Conflict, ContextFinished, Misuse
from ccs.types import ClaimInfo

if TYPE_CHECKING:
    from ccs._sync.context import Context

__all__ = ["Claim", "break_claim", "claims_of"]

# Seconds of the shortest ttl of a claim.
_SHORTEST = 0.01
_MOST_SLOTS = 10_000

F = TypeVar("F", bound=Callable[..., object])


class Claim(Local):
    """A hold on a resource, exclusive or on one of its slots, for `ttl` seconds at a time, renewed while it is held.

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
        slots: int = 1,
        max_hold: Duration | None = None,
        cancel: bool = False,
    ) -> None:
        self._entries = entries
        self._handle = entries.handle
        self._fenced = fenced
        held_by = "how many may hold it at a time, from 1 to 10,000"
        self._wish = Wish((site_of(resource),), integer("slots", slots, held_by, 1, _MOST_SLOTS))
        if self._handle.reach is not None:
            self._handle.require(*self._wish.sites[0].patterns)
        most = float("inf") if max_hold is None else seconds(max_hold, "max_hold", least=_SHORTEST)
        self._terms = Terms(seconds(ttl, "ttl", least=_SHORTEST), most, note)
        self._wait = seconds(wait, "wait")
        self._body = Body(flag("cancel", cancel))
        self._callbacks = LossCallbacks(self._handle.engine)
        self._lease: Lease | None = None
        self._opening = self._handle.opening
        self._ending: Ending | None = None
        self._taking: Taking | None = None
        self._released = self._acquiring = self._adopted = False
        self._forgotten: weakref.finalize[Any, Claim] | None = None

    def __repr__(self) -> str:
        token = f" with token {self._lease.revision}" if self._lease else ""
        return f"<Claim on {self.resource!r} in {self._handle.address} by {self._handle.agent!r}, {self.state}{token}>"

    @property
    def resource(self) -> str:
        """The name of the resource."""
        return self._wish.sites[0].resource

    @property
    def state(self) -> str:
        """`new`, `waiting` to be acquired, `held`, `lost` or `released`.

        It is `released` too once its store was closed, or its context finished: then nobody else can have it yet, or ever.
        """
        if self._lease is not None and not self._released and not (self._taking and self._taking.has_failed):
            if self._handle.opening.inherited:  # a forked child does not renew it, and the parent still holds it
                return "lost"
            if self._lease.over:
                return "released"
            return "held" if self._lease.held(time.monotonic()) else "lost"
        if self._acquiring:
            return "waiting"
        if self._released:
            return "lost" if self._ending and self._ending.lost else "released"
        return "new"

    @property
    def held(self) -> bool:
        """Whether it is held, as far as this process can know: it turns False before the claim expires on the server.

        It may be lost right after: to guard writes use `context`, and for other systems the `token`.
        """
        return self.state == "held"

    @property
    def lost(self) -> bool:
        """Whether it was acquired and has expired, or was taken away, before it was released.

        It stays so until it is taken again.
        """
        return self.state == "lost"

    @property
    def token(self) -> int:
        """The fencing token to give to other systems: a later hold on the resource, or on this slot, has a larger one.

        It is the revision of the commit that acquired the claim, and stays the same after the release. Raises `Misuse` if
        the claim was never acquired.
        """
        return self._last_hold().revision

    @property
    def context(self) -> Context:
        """The same context, whose writes raise `ClaimLost` if the claim is no longer held; the commit itself checks it.

        It keeps the claim object alive.
        """
        lease = self._last_hold()
        fenced: Context = self._fenced(Fence(self.resource, lease, self._opening, self))
        return fenced

    def __enter__(self) -> Claim:
        if self._adopted:
            self._adopted = False
        else:
            self._acquire(self._wait)
        if self._body.cancels:
            self._body.enter()
            self._watch()
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        cancelled = False
        try:
            cancelled = self._body.leave(error)
        finally:
            lost = ClaimLost(self.resource) if cancelled else None
            self._leave(error if lost is None else lost)
        if lost:
            raise lost from error

    def _leave(self, error: BaseException | None) -> None:
        """Releases it, if it is held. A failure is raised unless an `error` leaves the block, and told only once."""
        if self._released or self.state == "released":
            return
        try:
            self.release()
        except ContextFinished:
            logger.debug("%r ended with its context", self)
        except ClaimLost as failure:
            if error is None:
                raise
            told = isinstance(error, ClaimLost) and error.resource == self.resource
            logger.log(DEBUG if told else WARNING, "%r was not released: %s", self, failure)
        except CCSError as failure:
            if error is None:
                raise
            logger.warning("%r was not released: %s", self, failure)

    def acquire(self, timeout: Duration | None = None) -> Claim:
        """Takes the claim, waiting in line for up to `timeout` seconds (None: the claim's own `wait`). Returns itself.

        Raises `AlreadyClaimed` if it does not get the claim by then. Waiting callers are served in the order in which they
        came. Raises `InvalidValue` if it is held with another number of `slots`, and `Misuse` with `cancel=True`, which
        needs a with block. After `Unavailable(maybe_applied=True)` the resource may stay claimed until the ttl has passed.
        """
        if self._body.cancels:
            raise Misuse(f"{self!r} has cancel=True, so it needs a body to cancel: use it in a with block")
        return self._acquire(self._wait if timeout is None else seconds(timeout, "timeout"))

    def release(self) -> None:
        """Gives the claim back. Raises `ClaimLost`, and changes nothing, if it is no longer held."""
        lease = self._last_hold()
        if self._released:
            raise ClaimLost(self.resource)
        try:
            self._end_hold(lease)
            if self._is_past():
                raise past_claim(self.resource)
            if self._ending and self._ending.lapsed:
                raise ClaimLost(self.resource)
            self._handle.commit([delete_op(lease.path)], [revision_guard(lease.path, lease.revision)])
        except Conflict as conflict:
            self._lose()
            raise ClaimLost(self.resource) from conflict
        except Misuse:
            # Refused before anything was sent, so it is still held.
            self._hold_again(lease)
            raise
        except CCSError:
            raise
        except BaseException:
            self._let_go(lease)
            if self._taking:
                self._taking.withdraw()
            raise
        finally:
            self._end()

    def on_lost(self, callback: F) -> F:
        """Has `callback(claim)` called once the claim is lost: at most once, and at once if it is lost already.

        It is told when the claim was taken away, which shows at the next renewal (within a third of the ttl), or when its
        deadline passes here without a renewal: then it stays lost, whatever comes later. A release is no loss. The callback
        runs beside all else, a plain function in a thread; what it raises is logged. Returns the callback, so this is a
        decorator too.
        """
        self._callbacks.add(callback)
        if self._is_lost_for_good():
            self._callbacks.call(self)
        else:
            self._watch()
        return callback

    def wait_lost(self, timeout: Duration | None = None) -> bool:
        """Waits for the end of the hold. Returns True once it is lost, False once it was released.

        Raises `TimeoutError` if it is still held after `timeout` seconds, and `Misuse` if it was never acquired.
        """
        patience = None if timeout is None else seconds(timeout, "timeout")
        self._last_hold()
        ending = self._ending
        if ending is None or self._is_lost_for_good():
            return True
        self._watch()
        if self.held and not ending.gate.wait(patience):
            raise TimeoutError(f"{self.resource!r} is still claimed after {timeout} seconds")
        return ending.lost

    # The life of a hold. Those who take several claims in one commit use it too.

    def _acquire(self, wait: float) -> Claim:
        taking = self._new_taking()
        self._obtain(taking, taking.within(wait))
        return self

    def _new_taking(self) -> Taking:
        return Taking(self._entries, self._wish, self._terms)

    def _obtain(self, taking: Taking, take: Take) -> None:
        self._check_free()
        try:
            self._acquiring = True
            self._give_up()
            taking.run(take, lambda leases: self._begin(leases[0], taking))
        finally:
            self._acquiring = False

    def _is_past(self) -> bool:
        """Returns whether it was held in an earlier opening of the store, which has given it back."""
        return self._opening is not self._handle.opening

    def _check_free(self) -> None:
        if self.held or self._acquiring:
            raise Misuse(f"{self!r} is in use: release it first, or make another claim on the resource")

    def _begin(self, lease: Lease, taking: Taking) -> None:
        """Makes a lease the hold of this object."""
        # In this order: an interrupt in between, or after it, withdraws the attempt, and the claim is not held.
        self._taking = taking
        self._opening = self._handle.opening
        self._own(lease)
        ending = Ending(lease)
        lease.on_lost = partial(_lost, weakref.ref(self))
        lease.on_over = ending.gate.open
        self._ending = ending
        self._lease = lease
        self._released = False
        if lease.lost:  # before that
            self._lose()
        elif self._callbacks:
            self._watch()

    def _adopt(self) -> None:
        """Has the next with block begin with the hold that exists."""
        self._adopted = True

    def _end_hold(self, lease: Lease) -> None:
        self._released = True
        self._adopted = False
        self._let_go(lease)

    def _end(self) -> None:
        """Wakes those who wait for the end of the hold, once it was released."""
        if self._released and self._ending:
            self._ending.gate.open()

    def _hold_again(self, lease: Lease) -> None:
        self._released = False
        self._handle.hold(lease)
        self._own(lease)

    def _watch(self) -> None:
        """Has the end of the hold noticed by the clock here, also if no answer comes."""
        if self._lease and self.held:
            self._handle.opening.dispatcher.tell_loss(self._lease)

    def _is_lost_for_good(self) -> bool:
        """Returns whether it is lost. A renewal that is late does not bring it back, once a caller was told so."""
        lost = self.lost
        if lost and self._lease:
            self._lease.lose()
        return lost

    def _lose(self) -> None:
        """Tells all who want to know that the hold was lost."""
        if self._ending and self._ending.lose():
            self._callbacks.call(self)

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

    def _give_up(self) -> None:
        # A hold that seems lost may still exist on the server, where it would keep this claim waiting.
        if self._lease and not self._released:
            with suppress(ClaimLost):
                self.release()


def _lost(ref: weakref.ref[Claim], lease: Lease) -> None:
    """Tells a claim, if it still exists, that its lease was lost. The dispatcher calls it, and must not keep the claim."""
    claim = ref()
    if claim and claim._lease is lease and not claim._released:
        claim._handle.let_go(lease)
        claim._body.cancel()
        claim._lose()


def break_claim(entries: Entries, resource: str) -> bool:
    """Removes the claim on a resource, and on all its slots, whoever holds it. Returns whether there was one."""
    site = site_of(resource)
    slots = entries.paths(f"{escape(site.slots)}*")
    applied = entries.handle.commit([delete_op(path) for path in (site.path, *slots)])
    return bool(slots) or bool(applied.result[0])


def claims_of(entries: Entries, patterns: tuple[str, ...]) -> list[ClaimInfo]:
    """Returns the claims on resources that match, sorted by resource and token; without a pattern, all claims."""
    matches = matcher_of(patterns).matches if patterns else lambda _: True
    found = entries.snapshot(f"{CLAIMS}/**", f"{WAITING}/**")
    return [info for info in infos_of(found) if matches(info.resource)]
