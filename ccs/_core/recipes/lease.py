"""A lease: an entry that expires unless it is renewed, and until when its holder may rely on it.

The holder stops relying on it before the server's deadline: it counts from before the command was sent that set the
deadline, on this machine's monotonic clock, which runs on while the process is stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

__all__ = ["Lease", "Leases"]

# The part of a term after which to renew, so that two renewals may fail.
_RENEWAL = 1 / 3
# The part of a term by which a lease is renewed early, to be sent together with others.
_EARLY = 1 / 10
# Seconds: a lease that ends this close to its limit has reached it.
_ROUNDING = 0.001


def _nothing(*_: object) -> None: ...


@dataclass(slots=True, eq=False)
class Lease:
    """A hold on the entry at `path` of `revision`, for `ttl` seconds at a time, valid `until` (monotonic).

    A dispatcher renews it while it is registered there, but not past `limit`. It is `over` once its store is closed, which
    gives back what is held, or its context is finished. It calls `on_lost(lease)` or `on_over()`, once.
    """

    path: str
    revision: int
    ttl: float
    until: float
    limit: float = float("inf")
    on_lost: Callable[[Lease], object] = field(default=_nothing, repr=False)
    on_over: Callable[[], object] = field(default=_nothing, repr=False)
    lost: bool = False
    over: bool = False

    def held(self, now: float) -> bool:
        """Returns whether it is still valid."""
        return not self.lost and not self.over and now < self.until

    def term(self, now: float) -> float:
        """Returns for how many seconds to renew it."""
        return min(self.ttl, self.limit - now)

    @property
    def renewal_in(self) -> float:
        """After how many seconds to renew it first."""
        return self.ttl * _RENEWAL

    @property
    def due(self) -> float:
        """When to renew it; its limit, once nothing is left to renew."""
        at_limit = self.until >= self.limit - _ROUNDING
        return self.limit if at_limit else self.until - self.ttl * (1 - _RENEWAL)

    def is_due(self, now: float) -> bool:
        """Returns whether to renew it together with others that are due."""
        return self.due <= now + self.ttl * _EARLY

    def renewed(self, sent: float, term: float) -> None:
        """Notes that a renewal for `term` seconds, sent at `sent`, was acknowledged; too late if it was lost before."""
        if not self.lost:
            self.until = max(self.until, sent + term)

    def lose(self) -> None:
        """Marks it as lost: another may hold it by now. Calls `on_lost` the first time."""
        if not self.lost:
            self.lost = True
            self.on_lost(self)

    def end(self) -> None:
        """Marks it as over: nobody else can hold what it held. Calls `on_over` the first time."""
        if not self.over:
            self.over = True
            self.on_over()


class Leases:
    """The leases that a store holds, by context: the cost of one does not depend on the leases in other contexts.

    Any thread may add and remove leases; only one prunes.
    """

    def __init__(self, lock: AbstractContextManager[object]) -> None:
        self._lock = lock
        self._over = False
        self._held: dict[str, dict[Lease, None]] = {}

    def __repr__(self) -> str:
        return f"<Leases in {len(self._held)} contexts>"

    def __len__(self) -> int:
        return sum(map(len, list(self._held.values())))

    def __iter__(self) -> Iterator[Lease]:
        return iter([lease for held in list(self._held.values()) for lease in list(held)])

    def add(self, address: str, lease: Lease) -> None:
        """Adds a lease on an entry of a context."""
        with self._lock:
            self._held.setdefault(address, {})[lease] = None
            lease.over = self._over

    def end(self) -> None:
        """Marks all leases as over, also those that are added later: the store is closed."""
        with self._lock:
            self._over = True
            for lease in self:
                lease.end()

    def remove(self, address: str, lease: Lease) -> None:
        """Removes a lease, if it is held."""
        with self._lock:
            self._held.get(address, {}).pop(lease, None)

    def of(self, address: str) -> list[Lease]:
        """Returns the leases in a context."""
        return list(self._held.get(address, ()))

    def prune(self, address: str) -> None:
        """Forgets a context without leases."""
        with self._lock:
            if not self._held.get(address):
                self._held.pop(address, None)
