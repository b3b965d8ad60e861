"""Keeps the processors from sleeping.

A processor with nothing to do sleeps, and waking it up takes longer than a whole call, above all on a virtual machine.
So a call one at a time costs two or three times as much on an idle machine as on one where something else happens to
run, and a contender with two round trips sleeps twice. With this, what is measured is the work.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks import _spin

__all__ = ["awake", "can_stay_awake"]


def can_stay_awake() -> bool:
    """Whether the system knows a priority below all others."""
    return sys.platform == "linux"


@contextmanager
def awake() -> Iterator[None]:
    """A process a core spins at idle priority, until the end."""
    command = [sys.executable, "-I", "-S", _spin.__file__]
    spinning = [subprocess.Popen([*command, str(core)]) for core in sorted(os.sched_getaffinity(0))]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
        for process in spinning:
            process.wait()
