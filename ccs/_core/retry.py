"""When to try again, as arithmetic: the shells bring the clock and the dice."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Patience", "backoff", "jitter"]

_FIRST, _MOST = 0.02, 1.0
# Seconds that an attempt may take even when patience has ended: the first one of all is always made.
_LEAST = 0.1


@dataclass(slots=True)
class Patience:
    """Until when one command is tried (monotonic), and whether the server may have seen it: `sent`."""

    until: float
    sent: bool = False

    def left(self, now: float) -> float:
        """For how many seconds the present attempt may wait."""
        return max(_LEAST, self.until - now)

    def over(self, now: float) -> bool:
        """Whether no other attempt is made."""
        return now >= self.until


def backoff(attempt: int, dice: float) -> float:
    """Seconds to wait after failed attempt 0, 1, 2…: none at first, then growing to a second; `dice` is in [0, 1)."""
    if attempt == 0:
        return 0.0
    return min(_MOST, _FIRST * 2.0 ** min(attempt, 10)) * (0.5 + dice / 2)


def jitter(attempt: int, dice: float) -> float:
    """Seconds to wait after losing a race for the nth time: short, growing a little, spread by `dice`."""
    return dice * min(0.05, 0.0005 * 2.0 ** min(attempt, 10))
