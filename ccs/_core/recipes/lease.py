"""A lease: an entry that ends by itself unless it is renewed, and what its holder may believe of it.

The holder's belief ends before the server's deadline: it counts from the moment before the command was sent that set
the deadline, on this machine's monotonic clock, which goes on while the process is stopped.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

__all__ = ["Lease", "Leases"]

# Of a term: when to renew, so that two renewals may fail; and what is renewed early, to travel with the others.
_RENEWAL, _COMPANY = 1 / 3, 1 / 10
# Seconds: what ends within it of its limit has reached it.
_ROUNDING = 0.001


def _nothing() -> None: ...


@dataclass(slots=True, eq=False)
class Lease:
    """A hold on the entry at `path` of `revision`, for `ttl` seconds at a time, believed `until` (monotonic).

    It is renewed while it is registered with a listener, but not past `limit`. It is `over` once its store was closed,
    which gives back what is held.
    """

    path: str
    revision: int
    ttl: float
    until: float
    limit: float = float("inf")
    on_lost: Callable[[], object] = field(default=_nothing, repr=False)
    lost: bool = False
    over: bool = False

    def held(self, now: float) -> bool:
        """Whether it may still be believed in."""
        return not self.lost and not self.over and now < self.until

    def term(self, now: float) -> float:
        """For how many seconds to renew it."""
        return min(self.ttl, self.limit - now)

    @property
    def renewal_in(self) -> float:
        """In how many seconds to renew it, when it begins."""
        return self.ttl * _RENEWAL

    @property
    def due(self) -> float:
        """When to renew it; at its limit, when nothing is left to renew."""
        at_limit = self.until >= self.limit - _ROUNDING
        return self.limit if at_limit else self.until - self.ttl * (1 - _RENEWAL)

    def is_due(self, now: float) -> bool:
        """Whether to renew it with the others that are due."""
        return self.due <= now + self.ttl * _COMPANY

    def renewed(self, sent: float, term: float) -> None:
        """A renewal that was sent then was acknowledged."""
        self.until = max(self.until, sent + term)

    def lose(self) -> None:
        """Somebody else may hold it by now."""
        if not self.lost:
            self.lost = True
            self.on_lost()


class Leases:
    """The leases that a store holds, by context: what one of them costs does not depend on how many there are elsewhere.

    Any thread adds and removes them; one alone prunes.
    """

    def __init__(self, lock: AbstractContextManager[object]) -> None:
        self._lock, self._over = lock, False
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
        """The store is closed: all of them are over, and those that are still added."""
        with self._lock:
            self._over = True
            for lease in self:
                lease.over = True

    def remove(self, address: str, lease: Lease) -> None:
        """Removes a lease, if it is there."""
        with self._lock:
            self._held.get(address, {}).pop(lease, None)

    def of(self, address: str) -> list[Lease]:
        """The leases in a context."""
        return list(self._held.get(address, ()))

    def prune(self, address: str) -> None:
        """Forgets a context in which nothing is held."""
        with self._lock:
            if not self._held.get(address):
                self._held.pop(address, None)
