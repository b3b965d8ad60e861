# Generated from ccs/_async/optimistic.py by scripts/twin. Do not edit.
"""Read, decide, write if nobody else has written meanwhile, or else again: for how long."""

from __future__ import annotations

import random
import time

from ccs._compat import sleep
from ccs._core.checks import integer
from ccs._core.retry import jitter
from ccs._core.times import Duration, seconds
from ccs.errors import Conflict

__all__ = ["Race"]


class Race:
    """The tries at one guarded change; `what` names it to people.

    It ends with the last `Conflict` after `attempts` tries, or after `patience` seconds; with `TimeoutError` after
    `timeout` seconds. What is not given bounds nothing.
    """

    def __init__(
        self,
        what: str,
        *,
        attempts: int | None = None,
        timeout: Duration | None = None,
        patience: float | None = None,
    ) -> None:
        self._attempts = None if attempts is None else integer("attempts", attempts, "at least one", 1)
        self._timeout = None if timeout is None else seconds(timeout, "timeout")
        self._what, self._patience = what, patience
        self._started = time.monotonic()
        self._last: Conflict | None = None
        self._lost = 0

    def __repr__(self) -> str:
        return f"<Race for the {self._what}, lost {self._lost} times>"

    def check(self) -> None:
        """Called before each commit: raises `TimeoutError` if the time is up, so that nothing is written late."""
        if self._timeout is not None and self._elapsed() >= self._timeout:
            raise TimeoutError(self._told(self._timeout)) from self._last

    def lose(self, conflict: Conflict) -> None:
        """Somebody else was faster: waits a little, longer each time. Raises where there is no further try.

        What a policy refuses is not tried again: the policy stands.
        """
        self._last = conflict
        self._lost += 1
        if conflict.policy or self._is_over():
            raise conflict
        pause = jitter(self._lost - 1, random.random())
        sleep(pause if self._timeout is None else min(pause, max(0.0, self._timeout - self._elapsed())))
        self.check()

    def _is_over(self) -> bool:
        return self._lost == self._attempts or (self._patience is not None and self._elapsed() >= self._patience)

    def _elapsed(self) -> float:
        return time.monotonic() - self._started

    def _told(self, timeout: float) -> str:
        tried = "it was slow, not outrun"
        if self._last:
            tried = f"somebody else wrote first, {self._lost} times; the last one was {self._last.agent!r}"
        return f"the {self._what} was given up after {timeout:g} s: {tried}; nothing was written"
