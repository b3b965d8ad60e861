"""Keeps one processor awake, at the lowest priority that there is: `python -I -S _spin.py CORE`, until its parent ends."""

from __future__ import annotations

import os
import sys

__all__ = ["main"]


def main(core: int) -> None:
    """Spin; whoever else wants the processor gets it at once."""
    parent = os.getppid()
    if sys.platform == "linux":
        os.sched_setscheduler(0, os.SCHED_IDLE, os.sched_param(0))
        os.sched_setaffinity(0, {core})
    while os.getppid() == parent:
        for _ in range(100_000):
            pass


if __name__ == "__main__":
    main(int(sys.argv[1]))
