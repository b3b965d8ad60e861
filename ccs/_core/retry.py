"""When to try again, as arithmetic: the shells bring the clock and the dice."""

from __future__ import annotations

__all__ = ["backoff", "jitter"]

_FIRST, _MOST = 0.02, 1.0


def backoff(attempt: int, dice: float) -> float:
    """Seconds to wait after failed attempt 0, 1, 2…: none at first, then growing to a second; `dice` is in [0, 1)."""
    if attempt == 0:
        return 0.0
    return min(_MOST, _FIRST * 2.0 ** min(attempt, 10)) * (0.5 + dice / 2)


def jitter(attempt: int, dice: float) -> float:
    """Seconds to wait after losing a race for the nth time: short, growing a little, spread by `dice`."""
    return dice * min(0.05, 0.0005 * 2.0 ** min(attempt, 10))
