"""What a store keeps up in its contexts: it renews what is held, sweeps what is due, and gives back what was forgotten.

Each is a scheduled call. Renewals have a schedule of their own: they cannot wait until thousands of other calls that are
due have been answered, or the leases would be lost. The blocking dispatcher runs this class in its thread; methods that say
so are called from any thread.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from functools import partial

from ccs._async.background.loss_timers import LossTimers
from ccs._async.background.scheduled_calls import Schedule, ScheduledCall
from ccs._async.transport.commands import Commands
from ccs._compat import Lock
from ccs._core.commits.commit import Applied, Batch, Commit
from ccs._core.commits.operations import renew_op, revision_guard, sweep_op
from ccs._core.commits.script_calls import commit_call
from ccs._core.names.keys import keys_of
from ccs._core.recipes.held_entries import Holding, Holdings, giving_back, grouped
from ccs._core.recipes.lease import Lease, Leases
from ccs._core.times import millis
from ccs._log import logger
from ccs.errors import CCSError, ContextFinished, Forbidden

__all__ = ["Upkeep"]

# Seconds between a deadline and its sweep.
GRACE = 0.005
# Seconds between two checks for objects that were forgotten while they held something.
_TIDY = 0.5
_RENEWED_AT_ONCE = 128

Planned = Callable[[str], Sequence[ScheduledCall]]


class Upkeep:
    """Keeps up leases and deadlines. `kinds` has the functions of other scheduled calls, by kind, for the same schedule."""

    def __init__(
        self,
        commands: Commands,
        namespace: str,
        holdings: Holdings | None,
        kinds: Mapping[str, Planned],
        call_soon: Callable[..., object],
        on_unknown_format: Callable[[str], object],
    ) -> None:
        self._commands = commands
        self._namespace = namespace
        self._leases = Leases(Lock())
        self.holdings = holdings or Holdings()
        own = {"sweep": self._sweep, "tidy": self._tidy}
        self._schedule = Schedule(commands, {**own, **kinds}, call_soon, on_unknown_format)
        self._plan = self._schedule.plan
        self._renewals = Schedule(commands, {"renew": self._renew}, call_soon, on_unknown_format)
        self._losses = LossTimers(call_soon)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} by {self._renewals!r} and {self._schedule!r}>"

    def expect(self, address: str, seconds: float) -> None:
        """Sweeps in so many seconds, when an entry will be due, so that its end becomes a commit."""
        self._plan("sweep", address, seconds + GRACE)

    def hold(self, address: str, lease: Lease) -> None:
        """Renews a lease from now on, together with all others of its context, until it is lost or released."""
        # First of all: an appointment that is due meanwhile must not miss it.
        self.register(address, lease)
        self.attend(address, lease)

    def register(self, address: str, lease: Lease) -> None:
        """Adds a lease to those that are renewed. Called from any thread."""
        self._leases.add(address, lease)

    def attend(self, address: str, lease: Lease) -> None:
        """Makes the appointments for a lease."""
        self._renewals.plan("renew", address, lease.renewal_in)
        self.expect(address, lease.ttl)

    def keeps(self, address: str, lease: Lease) -> bool:
        """Returns whether the present appointments renew and sweep the lease in time."""
        renewed = self._renewals.covers("renew", address, lease.renewal_in)
        return renewed and self._schedule.covers("sweep", address, lease.ttl + GRACE)

    def tell_loss(self, lease: Lease) -> None:
        """Has a lease know at its deadline that it was lost, also if no server answers. Called from any thread."""
        self._losses.watch(lease)

    def tidy(self) -> None:
        """Gives back from now on, as long as something is held, what forgotten objects hold. Called from any thread."""
        self._plan("tidy", "", _TIDY)

    def end_leases(self) -> None:
        """Ends all leases: their holders no longer rely on them. Called from any thread."""
        self._leases.end()

    def let_go(self, address: str, lease: Lease) -> None:
        """Stops renewing a lease. Called from any thread."""
        # Its appointment stays: the next lease is likely to use it.
        self._leases.remove(address, lease)
        self._losses.forget(lease)

    async def _end_calls(self) -> None:
        """Ends all appointments."""
        self._losses.close()
        await self._renewals.aclose()
        await self._schedule.aclose()

    def _sweep(self, address: str) -> Sequence[ScheduledCall]:
        batch = Batch([Commit("", [sweep_op()])], "", 0)
        return [self._errand(address, batch, self._swept)]

    def _swept(self, address: str, answers: Sequence[Applied | CCSError]) -> None:
        applied = answers[0]
        if isinstance(applied, Forbidden):
            raise applied
        if isinstance(applied, Applied) and applied.result[0]:
            self.expect(address, applied.result[0] / 1000 - applied.at / 1_000_000)

    def _renew(self, address: str) -> Sequence[ScheduledCall]:
        now = time.monotonic()
        leases = self._leases.of(address)
        if not leases:
            self._leases.prune(address)
        due = [lease for lease in leases if lease.is_due(now)]
        self._plan_renewal(address, [lease for lease in leases if not lease.is_due(now)])
        for lease in due:
            if lease.term(now) <= 0:
                self.let_go(address, lease)
        renewed = [lease for lease in due if lease.term(now) > 0]
        starts = range(0, len(renewed), _RENEWED_AT_ONCE)
        return [self._renewal(address, renewed[start : start + _RENEWED_AT_ONCE], now) for start in starts]

    def _renewal(self, address: str, leases: Sequence[Lease], now: float) -> ScheduledCall:
        terms = [lease.term(now) for lease in leases]
        batch = Batch([_renewing(lease, term) for lease, term in zip(leases, terms, strict=True)], "", 0)

        def renewed(address: str, answers: Sequence[Applied | CCSError]) -> None:
            for lease, term, answer in zip(leases, terms, answers, strict=True):
                if isinstance(answer, Applied):
                    lease.renewed(now, term)
                else:
                    self.let_go(address, lease)
                    lease.end() if isinstance(answer, ContextFinished) else lease.lose()
            self._plan_renewal(address, [lease for lease in leases if not lease.lost and not lease.over])

        return self._errand(address, batch, renewed)

    def _plan_renewal(self, address: str, leases: Sequence[Lease]) -> None:
        if leases:
            self._renewals.plan("renew", address, min(lease.due for lease in leases) - time.monotonic())

    def _tidy(self, _: str) -> Sequence[ScheduledCall]:
        """Gives back what forgotten objects hold."""
        if self.holdings.prune(time.monotonic()):
            self.tidy()
        return [self._giving_back(address, some) for address, some in grouped(self.holdings.forgotten())]

    def _giving_back(self, address: str, some: list[Holding]) -> ScheduledCall:
        # First: what is given back must not be renewed.
        given = {(holding.path, holding.revision) for holding in some}
        for lease in self._leases.of(address):
            if (lease.path, lease.revision) in given:
                self.let_go(address, lease)

        def given_back(address: str, answers: Sequence[Applied | CCSError]) -> None:
            self.holdings.done_with(some)
            for holding, answer in zip(some, answers, strict=True):
                if isinstance(answer, Applied) and holding.owner is None:  # else it was lost before
                    _warn_forgotten(holding)

        return self._errand(address, giving_back(some), given_back)

    def _errand(
        self, address: str, batch: Batch, take: Callable[[str, Sequence[Applied | CCSError]], None]
    ) -> ScheduledCall:
        keys = keys_of(self._namespace, address)
        call = commit_call(batch, keys, address, self._commands.forbidden, self._commands.topology.publish)
        return ScheduledCall(call, partial(take, address), len(batch.commits))


def _warn_forgotten(holding: Holding) -> None:
    said = (
        f"{holding.path} in {holding.address} was held and then forgotten, and is given back: keep a claim until it is"
        " released, by its block or release(), and a job until it is done() or has failed()"
    )
    try:
        warnings.warn(said, ResourceWarning, stacklevel=1)
    except ResourceWarning as warning:  # turned into an error, which no caller could catch
        logger.warning("%s", warning)


def _renewing(lease: Lease, term: float) -> Commit:
    return Commit("", [renew_op(lease.path, millis(term))], [revision_guard(lease.path, lease.revision)])
