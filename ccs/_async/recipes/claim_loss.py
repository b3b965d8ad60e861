"""The loss of a claim: how a hold ended, and the calls of those who want to know that it was lost."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ccs._async.engine import Engine
from ccs._async.last_call import LastCall
from ccs._compat import AsyncCaller, AsyncGate
from ccs._core.recipes.lease import Lease
from ccs._log import logger

if TYPE_CHECKING:
    from ccs._async.recipes.claim import Claim

__all__ = ["Ending", "LossCallbacks"]


class Ending:
    """The end of one hold, for which callers wait. `lost` is final, whatever the server answers later."""

    def __init__(self, lease: Lease) -> None:
        self._lease = lease
        self.gate = AsyncGate()
        self.lost = False
        # Whether it was lost by the clock here: then it is over on the server in a moment, if that can be reached at all.
        self.lapsed = False

    def lose(self) -> bool:
        """Notes that it was lost. Returns whether that is news."""
        if self.lost or self.gate.is_open:
            return False
        self.lapsed = time.monotonic() >= self._lease.until
        self.lost = True
        self.gate.open()
        return True


class LossCallbacks:
    """The callbacks of a claim, each called at most once, beside all else."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._waiting: deque[AsyncCaller] = deque()

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, callback: Callable[[Claim], object]) -> None:
        """Adds a callback. Raises `InvalidValue` if it cannot be called, or has the other colour."""
        self._waiting.append(AsyncCaller(callback))

    def call(self, claim: Claim) -> None:
        """Calls all that were added since the last time. It does not wait for them, but closing the store does."""
        while self._waiting:
            told = partial(self._tell, self._waiting.popleft(), claim)
            LastCall(self._engine.opening.last_calls, "ccs claim lost", told)

    async def _tell(self, callback: AsyncCaller, claim: Claim) -> None:
        try:
            await callback(claim)
        except Exception:  # noqa: BLE001  # an error of the callback concerns nobody else
            self._engine.stats.add("callback_errors")
            logger.exception("a callback of %r failed", claim)
