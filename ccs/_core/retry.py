"""When to retry, as arithmetic. The caller passes the time and the random number."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Patience", "Withdrawn", "backoff", "jitter"]

# Seconds of back-off: at first, and at most.
_FIRST = 0.02
_MOST = 1.0
# Seconds that an attempt may take even after `until`: the first attempt is always made.
_LEAST = 0.1


class Withdrawn(Exception):  # not an error: no caller waits for the answer any more
    """A command was not sent, and never will be: its caller was informed."""


@dataclass(slots=True)
class Patience:
    """Until when a command is retried (monotonic seconds), and whether the server may have received it (`sent`).

    A sender calls `begin` before the first byte; a caller that gives up calls `withdraw`. So a command that was reported
    as not sent is never sent. Each sets its own flag before it reads the other's: of two threads, at least one sees it.
    """

    until: float
    sent: bool = False
    withdrawn: bool = False

    def begin(self) -> None:
        """Marks the command as sent. Raises `Withdrawn` if it was withdrawn before."""
        before = self.sent
        self.sent = True
        if self.withdrawn:
            self.sent = before
            raise Withdrawn

    def withdraw(self) -> bool:
        """Withdraws the command if it was never sent. Returns whether that is the case."""
        if not self.sent:
            self.withdrawn = True
        return not self.sent

    def left(self, now: float) -> float:
        """Returns for how many seconds the present attempt may wait."""
        return max(_LEAST, self.until - now)

    def over(self, now: float) -> bool:
        """Returns whether the time for retries is over."""
        return now >= self.until


def backoff(attempt: int, dice: float, most: float = _MOST) -> float:
    """Returns the seconds to wait after failed attempt 0, 1, 2…: none at first, then up to `most`. `dice` is in [0, 1)."""
    if attempt == 0:
        return 0.0
    return min(most, _FIRST * 2.0 ** min(attempt, 10)) * (0.5 + dice / 2)


def jitter(attempt: int, dice: float) -> float:
    """Returns the seconds to wait after losing race number `attempt`: at most 0.05. `dice` is in [0, 1)."""
    return dice * min(0.05, 0.0005 * 2.0 ** min(attempt, 10))
