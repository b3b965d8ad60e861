"""Leader election: it is a claim. Whoever holds it leads, the others stand by, and take over when the leader dies.

    python examples/leader_election.py [--store TARGET]

Three candidates, each a process of its own, want the claim `leader`, and wait for it. The leader writes its name and its
term into `log`, through `claim.context`: a leader that was stopped while another one took over would be refused there
(`ClaimLost`). The first leader is killed, as a crash would do it; the second one leads on, and retires; the third ends it.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import signal
import sys
import tempfile
from collections.abc import Sequence
from multiprocessing.process import BaseProcess

import ccs

TIMEOUT = 30.0
CANDIDATES = ("ann", "bob", "cem")


def candidate(target: str, task_id: str, name: str) -> None:
    """Waits until it leads, then does so until it is told to retire."""
    with ccs.connect(target, agent=name) as store:
        task = store.task(task_id)
        with task.claim("leader", ttl=1.0, wait=TIMEOUT) as claim:
            term = len(claim.context.append("log", {"leader": name, "pid": os.getpid(), "token": claim.token}).value)
            task.wait_for("retire", lambda number: number >= term, timeout=TIMEOUT)


def election(target: str, task_id: str) -> None:
    """Kills the first leader, lets the others retire, and tells who has led."""
    spawn = multiprocessing.get_context("spawn")
    processes = [spawn.Process(target=candidate, args=(target, task_id, name), name=name) for name in CANDIDATES]
    for process in processes:
        process.start()
    with ccs.connect(target, agent="observer") as store:
        task = store.task(task_id)
        try:
            observe(task)
        finally:
            end(processes)
            task.finish("elected", keep=60)


def observe(task: ccs.Context) -> None:
    """Says who leads, and sees to it that the lead changes."""
    terms: list[dict[str, int]] = []
    for number in range(1, len(CANDIDATES) + 1):
        terms = task.wait_for("log", lambda log, number=number: len(log) == number, timeout=TIMEOUT).value
        print(f"{terms[-1]['leader']} leads", flush=True)
        if number == 1:
            os.kill(terms[-1]["pid"], signal.SIGKILL)
            print(f"{terms[-1]['leader']} has crashed", flush=True)
        else:
            task.set("retire", number)
            print(f"{terms[-1]['leader']} retires", flush=True)
    tokens = [term["token"] for term in terms]
    print(f"each led once, under tokens that grow: {tokens == sorted(set(tokens))}")


def end(processes: Sequence[BaseProcess]) -> None:
    """Waits for the candidates; the one that was killed is gone already."""
    for process in processes:
        process.join(TIMEOUT)
        if process.is_alive():
            process.kill()
            process.join()


def main() -> int:
    """Holds the election on a store, by default one in a temporary folder."""
    parser = argparse.ArgumentParser(description="Leader election among three processes, the first of which is killed.")
    parser.add_argument("--store", metavar="TARGET", help="a folder or a redis:// URL (default: a temporary folder)")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        election(arguments.store or scratch, f"election-{os.getpid()}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
