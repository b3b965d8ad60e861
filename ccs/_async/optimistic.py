"""Optimistic writes: read, decide, write if nothing has changed meanwhile, or else retry; here, for how long."""

from __future__ import annotations

import random
import time

from ccs._compat import async_sleep
from ccs._core.number_checks import integer
from ccs._core.retry import jitter
from ccs._core.times import Duration, seconds
from ccs.errors import Conflict

__all__ = ["Race"]


class Race:
    """The tries at one guarded change; `name` is for error texts.

    It raises the last `Conflict` after `attempts` tries or `patience` seconds, and `TimeoutError` after `timeout`
    seconds. A bound that is None does not apply.
    """

    def __init__(
        self,
        name: str,
        *,
        attempts: int | None = None,
        timeout: Duration | None = None,
        patience: float | None = None,
    ) -> None:
        self._attempts = None if attempts is None else integer("attempts", attempts, "at least one", 1)
        self._timeout = None if timeout is None else seconds(timeout, "timeout")
        self._patience = patience
        self._name = name
        self._started = time.monotonic()
        self._last: Conflict | None = None
        self._lost = 0

    def __repr__(self) -> str:
        return f"<Race for the {self._name}, lost {self._lost} times>"

    def check(self) -> None:
        """Raises `TimeoutError` if the time is up. Call it before each commit, so that nothing is written late."""
        if self._timeout is not None and self._elapsed() >= self._timeout:
            raise TimeoutError(self._reason(self._timeout)) from self._last

    async def lose(self, conflict: Conflict) -> None:
        """Waits before the next try, longer each time. Raises the conflict, or `TimeoutError`, if there is no next try.

        The conflict of a policy is raised at once: a retry would meet the same policy.
        """
        self._last = conflict
        self._lost += 1
        if conflict.policy or self._is_over():
            raise conflict
        await self._pause()

    async def look_again(self) -> None:
        """Waits as after a lost try, if what the change is based on was out of date. This is nobody's conflict."""
        self._lost += 1
        await self._pause()

    async def _pause(self) -> None:
        pause = jitter(self._lost - 1, random.random())
        await async_sleep(pause if self._timeout is None else min(pause, max(0.0, self._timeout - self._elapsed())))
        self.check()

    def _is_over(self) -> bool:
        return self._lost == self._attempts or (self._patience is not None and self._elapsed() >= self._patience)

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _reason(self, timeout: float) -> str:
        tried = "it was slow, but nobody else wrote first"
        if self._last:
            tried = f"somebody else wrote first, {self._lost} times; the last one was {self._last.agent!r}"
        return f"the {self._name} was given up after {timeout:g} s: {tried}; nothing was written"
