"""The main program of each process of the swarm: `python -m demo._agent NAME`, its job on standard input."""

from __future__ import annotations

import os
import sys
import threading

from demo.agents import ROLES
from demo.entries import Job

__all__ = ["main"]


def main() -> None:
    """Do the job. The input stays open for as long as the demo lives; when it ends, so does this process."""
    job = Job.loads(sys.stdin.readline())
    threading.Thread(target=_die_with_the_demo, name="lifeline", daemon=True).start()
    ROLES[job.role](job)


def _die_with_the_demo() -> None:
    os.read(0, 1)  # not sys.stdin: its lock, held by a daemon thread, would abort the interpreter's shutdown
    os._exit(1)


if __name__ == "__main__":
    main()
