"""Documents that are each read once, and each charged once, by processes of which some are killed on the way.

    python examples/claims_and_handoffs.py [--documents 1000] [--processes 8] [--kill 3] [--store TARGET]

The documents are real, and at hand wherever Python is: the help topics of its own `pydoc`, cut into pieces.

- A *reader* claims a document that nobody else reads, counts its words, and hands the result on: what it found and the
  message about it are one commit, which is refused if the reader has lost its claim meanwhile.
- An *accountant* receives the messages, and charges each document: run once, whoever asks, and however often.
- The *clerk* (the program that you start) kills some of them with -9 on the way. What a dead one had claimed, or had
  been sent, goes to another one within two seconds. At the end the clerk and the accountants agree to publish.

The report is checked: every document read once and charged once, the sums equal, no dead letters.
"""

from __future__ import annotations

import argparse
import multiprocessing
import random
import sys
import tempfile
import time
from collections.abc import Iterator
from multiprocessing.process import BaseProcess
from pydoc_data.topics import topics

import ccs

TIMEOUT = 120.0
TTL = 2.0
CHOICE = 16


# --- the three programs -----------------------------------------------------------------------------------------------


def reader(target: str, task_id: str, name: str) -> None:
    """Reads documents as long as there are any without a result."""
    with ccs.connect(target, agent=name) as store:
        task = store.task(task_id)
        with task.join("reader", ttl=TTL), task.mirror("documents/*", "results/*") as view:
            while unread := [path for path in documents(view) if result_of(path) not in view]:
                claim = task.claim_any(random.sample(unread, min(CHOICE, len(unread))), ttl=TTL)
                with claim or task.claim(unread[0], ttl=TTL, wait=TIMEOUT) as held:
                    hand_on(held, words_in(view[held.resource]))
                    view.caught_up(task.last_revision, timeout=TIMEOUT)


def hand_on(claim: ccs.Claim, words: int) -> None:
    """The result and the message about it, in one commit; nothing if somebody finished the document before."""
    with claim.context.transaction() as tx:
        if not tx.exists(result_of(claim.resource)):
            tx.set(result_of(claim.resource), words)
            tx.send("accountant", {"document": claim.resource, "words": words})


def accountant(target: str, task_id: str, name: str) -> None:
    """Charges each document that it is told of, until all are counted; then votes."""
    with ccs.connect(target, agent=name) as store:
        task = store.task(task_id)

        def charge(words: int) -> int:
            return words  # elsewhere a payment, with the key or the fencing token handed to it

        with task.join("accountant", ttl=TTL):
            with task.inbox("accountant") as inbox:

                @task.on_change("status", initial=True)
                def close(change: ccs.Change) -> None:
                    if change.value == "counted":
                        inbox.close()

                for message in inbox:
                    document, words = message.content["document"], message.content["words"]
                    charged = task.once(f"charge/{document}", charge, words, input=words, lease=TTL)
                    task.set(document.replace("documents", "ledger"), charged)
                    message.ack()
            entered, found = (total(task.snapshot(what)) for what in ("ledger/*", "results/*"))
            task.agree("publish", parties=task.get("parties"), vote=entered == found, timeout=TIMEOUT)


def total(found: ccs.Snapshot) -> int:
    """All words of a snapshot."""
    return sum(entry.value for entry in found.values())


def clerk(target: str, task_id: str, pieces: list[str], workers: list[BaseProcess], kills: int) -> list[str]:
    """Lays out the documents, kills on the way, waits until all is charged, and reports."""
    with ccs.connect(target, agent="clerk") as store:
        task, began = store.task(task_id, ttl=3600, keep_commits=20 * len(pieces)), time.monotonic()
        task.set_many({f"documents/{number:04}": piece for number, piece in enumerate(pieces)})
        for worker in workers:
            worker.start()
        with task.mirror("ledger/*") as ledger:
            for number, worker in enumerate(workers[:kills], 1):
                wait_until_charged(task, ledger, number * len(pieces) // (kills + 1))
                worker.kill()
                print(f"killed {worker.name} with {len(ledger)} of {len(pieces)} charged", flush=True)
            wait_until_charged(task, ledger, len(pieces))
        alive = [worker.name for worker in workers[kills:] if worker.name.startswith("accountant")]
        task.set_many({"parties": ["clerk", *alive], "status": "counted"})
        decision = task.agree("publish", parties=["clerk", *alive], timeout=TIMEOUT)
        for worker in workers:
            worker.join()
        report = check(task, pieces, decision)
        task.finish("published", keep=60)
    return [*report, f"{time.monotonic() - began:.1f} seconds"]


def wait_until_charged(task: ccs.Context, ledger: ccs.Mirror, count: int) -> None:
    """Waits until so many documents are in the ledger."""
    with task.watch("ledger/*") as changes:
        ledger.caught_up(task.revision(), timeout=TIMEOUT)
        while len(ledger) < count:
            ledger.caught_up(changes.receive(timeout=TIMEOUT).revision, timeout=TIMEOUT)


# --- the work ---------------------------------------------------------------------------------------------------------


def documents(view: ccs.Mirror) -> Iterator[str]:
    """The paths of the documents."""
    return (path for path in view if path.startswith("documents/"))


def result_of(document: str) -> str:
    """The path of what was found in a document."""
    return document.replace("documents", "results")


def words_in(text: str) -> int:
    """How many words a text has."""
    return len(text.split())


def pieces_of(count: int) -> list[str]:
    """The help topics of pydoc, cut into so many pieces."""
    words = " ".join(topics.values()).split()
    size = -(-len(words) // count)
    return [" ".join(words[start : start + size]) for start in range(0, size * count, size)]


def check(task: ccs.Context, pieces: list[str], decision: ccs.Decision) -> list[str]:
    """What happened; raises where anything was lost, or counted twice."""
    results, ledger = (task.snapshot(f"{what}/*") for what in ("results", "ledger"))
    right = [words_in(piece) for piece in pieces]
    charges = [change for change in task.history("@once/**") if change.op == "set" and change.value["state"] == "done"]
    lapsed = [change.path for change in task.history("@claims/**") if change.op == "expire"]
    assert [entry.value for entry in results.values()] == right, "a document was lost or misread"
    assert [entry.version for entry in results.values()] == [1] * len(pieces), "a document was counted twice"
    assert [entry.value for entry in ledger.values()] == right, "the ledger differs"
    assert len(charges) == len(pieces), f"{len(charges)} charges"
    assert not task.inbox("accountant").dead(), "there are dead letters"
    assert decision.committed, decision
    return [
        f"{len(pieces)} documents with {sum(right)} words, each read once and charged once",
        f"{len(lapsed)} claims of killed readers taken over",
        f"agreed by {', '.join(sorted(decision.votes))}",
    ]


# --- the demo of it: processes, some of which are killed ----------------------------------------------------------------


def main() -> int:
    """Start them all, kill some, and show the report."""
    parser = argparse.ArgumentParser(description="Documents that are each read once and charged once.")
    parser.add_argument("--documents", type=int, default=1000, metavar="N", help="how many (default: 1000)")
    parser.add_argument("--processes", type=int, default=8, metavar="N", help="readers and accountants (default: 8)")
    parser.add_argument("--kill", type=int, default=3, metavar="N", help="how many to kill with -9 (default: 3)")
    parser.add_argument("--store", metavar="TARGET", help="a folder or a redis:// URL (default: a temporary folder)")
    options = parser.parse_args()
    if not 0 <= options.kill <= options.processes - 4:
        parser.error("leave at least two readers and two accountants alive")
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        target, task_id = options.store or scratch, f"documents-{multiprocessing.current_process().pid}"
        workers = processes(target, task_id, options.processes)
        try:
            report = clerk(target, task_id, pieces_of(options.documents), workers, options.kill)
        finally:
            for worker in workers:
                if worker.is_alive():
                    worker.kill()
    print("\n".join(report))
    return 0


def processes(target: str, task_id: str, count: int) -> list[BaseProcess]:
    """Three accountants, the rest readers, in the order in which they are killed."""
    spawn = multiprocessing.get_context("spawn")
    names = [f"reader-{number}" for number in range(count - 3)] + [f"accountant-{number}" for number in range(3)]
    names.insert(1, names.pop())
    programs = {name: reader if name.startswith("reader") else accountant for name in names}
    return [spawn.Process(target=programs[name], args=(target, task_id, name), name=name) for name in names]


if __name__ == "__main__":
    sys.exit(main())
