"""A lease: an entry that ends by itself unless it is renewed, and what its holder may believe of it.

The holder's belief ends before the server's deadline: it counts from the moment before the command was sent that set
the deadline, on this machine's monotonic clock, which goes on while the process is stopped.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

__all__ = ["Lease", "renewal_in"]


def _nothing() -> None: ...


@dataclass(slots=True, eq=False)
class Lease:
    """A hold on the entry at `path` of `revision`, for `ttl` seconds at a time, believed `until` (monotonic).

    It is renewed while it is registered with a listener, but not past `limit`.
    """

    path: str
    revision: int
    ttl: float
    until: float
    limit: float = float("inf")
    on_lost: Callable[[], object] = field(default=_nothing, repr=False)
    lost: bool = False

    def held(self, now: float) -> bool:
        """Whether it may still be believed in."""
        return not self.lost and now < self.until

    def term(self, now: float) -> float:
        """For how many seconds to renew it."""
        return min(self.ttl, self.limit - now)

    def renewed(self, sent: float, term: float) -> None:
        """A renewal that was sent then was acknowledged."""
        self.until = max(self.until, sent + term)

    def lose(self) -> None:
        """Somebody else may hold it by now."""
        if not self.lost:
            self.lost = True
            self.on_lost()


def renewal_in(leases: list[Lease]) -> float:
    """In how many seconds to renew: at a third of the shortest term, so that two may fail."""
    return min(lease.ttl for lease in leases) / 3
