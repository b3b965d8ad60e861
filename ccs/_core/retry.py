"""When to try again, as arithmetic: the shells bring the clock and the dice."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Patience", "Withdrawn", "backoff", "jitter"]

_FIRST, _MOST = 0.02, 1.0
# Seconds that an attempt may take even when patience has ended: the first one of all is always made.
_LEAST = 0.1


class Withdrawn(Exception):  # not an error: nobody waits for the answer any more
    """A command was not sent: who asked for it has been told that it never will be."""


@dataclass(slots=True)
class Patience:
    """Until when one command is tried (monotonic), and whether the server may have seen it: `sent`.

    Who sends says so before the first byte: `begin`. Who gives up first takes the command back: `withdraw`. So what
    somebody was told not to have been sent never is. Each writes its own mark and then looks at the other's: between
    two threads, too, one of them sees it.
    """

    until: float
    sent: bool = False
    withdrawn: bool = False

    def begin(self) -> None:
        """Marks the command as sent; `Withdrawn` where it was taken back before."""
        before, self.sent = self.sent, True
        if self.withdrawn:
            self.sent = before
            raise Withdrawn

    def withdraw(self) -> bool:
        """Takes the command back where it was never sent; whether that is so."""
        if not self.sent:
            self.withdrawn = True
        return not self.sent

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
