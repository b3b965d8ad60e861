"""How long a store leaves a message to others, if these were faster before: so that few of many try to take it."""

from __future__ import annotations

__all__ = ["Contention"]

# Losses in a row that change nothing; then 1 ms, doubled with each loss, up to 8 ms.
_FREE = 2
_MOST = 3


class Contention:
    """The races that a store has lost of late. Each race that it wins halves their number."""

    def __init__(self) -> None:
        self._lost = 0

    def __repr__(self) -> str:
        return f"<Contention, {self._lost} lost>"

    def won(self) -> None:
        """Notes a race that was won."""
        self._lost //= 2

    def lost(self) -> None:
        """Notes a race that was lost."""
        self._lost = min(self._lost + 1, _FREE + _MOST)

    def pause(self, dice: float) -> float:
        """Returns how many seconds to wait before the next race, at most 0.008; `dice` is a random number below 1."""
        beyond = self._lost - _FREE
        return 0.0 if beyond < 0 else dice * 0.001 * 2**beyond
