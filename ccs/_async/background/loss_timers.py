"""Timers that tell the holder of a lease when it has run out, since no answer of a server does if none comes.

A lease that was told to be lost stays lost, whatever a late renewal says: its holder has stopped.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from ccs._core.recipes.lease import Lease

__all__ = ["LossTimers"]


class LossTimers:
    """The leases that are watched for their end; any thread may add and remove them."""

    def __init__(self, call_soon: Callable[..., object]) -> None:
        self._call_soon = call_soon
        self._timers: dict[Lease, asyncio.TimerHandle | None] = {}

    def __repr__(self) -> str:
        return f"<LossTimers for {len(self._timers)} leases>"

    def watch(self, lease: Lease) -> None:
        """Loses a lease when its deadline passes without a renewal."""
        self._timers.setdefault(lease)
        self._call_soon(self._look, lease)

    def forget(self, lease: Lease) -> None:
        """Ends the watch of a lease that was released or lost."""
        # Its timer finds that out: it must not be cancelled in another thread.
        self._timers.pop(lease, None)

    def close(self) -> None:
        """Ends all timers."""
        while self._timers:
            timer = self._timers.popitem()[1]
            if timer:
                timer.cancel()

    def _look(self, lease: Lease) -> None:
        if lease not in self._timers or lease.lost or lease.over:
            return self.forget(lease)
        left = lease.until - time.monotonic()
        if left > 0:
            self._timers[lease] = asyncio.get_running_loop().call_later(left, self._look, lease)
            return None
        self.forget(lease)
        return lease.lose()
