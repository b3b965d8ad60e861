"""How far long work has come, on stderr, for a person who waits."""

from __future__ import annotations

import sys
import time

from ccs.cli.output import is_terminal

__all__ = ["Progress"]

# Seconds between two words.
_PAUSE = 0.2


class Progress:
    """Counts, and says so now and then, on a terminal that shows nothing else."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._shown = is_terminal(sys.stderr) and not is_terminal(sys.stdout)
        self._next = time.monotonic() + _PAUSE
        self.count = 0

    def add(self, count: int = 1) -> None:
        """Counts some more."""
        self.count += count
        if self._shown and time.monotonic() >= self._next:
            self._next = time.monotonic() + _PAUSE
            print(f"\r{self.count:,} {self._what}", end="", file=sys.stderr, flush=True)

    def end(self) -> None:
        """Removes the line."""
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)
