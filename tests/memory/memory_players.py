"""Functions that the tests of memory run in processes of their own, by a `Player`."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

from tests.memory.minds import embed, newer
from tests.support.blocked import open_in


def remember(colour: str, url: str, namespace: str, count: int) -> tuple[list[str], list[str]]:
    """Stores that many facts and records as many episodes. Returns their ids."""
    with open_in(colour, url, namespace=namespace, agent=f"{os.getpid()}", embed=embed) as store:
        task = store.task("t")
        facts, events = [], []
        for i in range(count):
            facts.append(task.semantic.store(f"fact {i} of {os.getpid()}"))
            events.append(task.episodic.record(f"event {i} of {os.getpid()}"))
        return facts, events


def remember_for_ever(colour: str, url: str, namespace: str, ledger: Path) -> None:
    """Stores facts and records episodes, and notes the id of each that was acknowledged."""
    with (
        open_in(colour, url, namespace=namespace, agent=f"{os.getpid()}", embed=embed) as store,
        ledger.open("a") as told,
    ):
        task, i = store.task("t"), 0
        while True:
            i += 1
            told.write(f"fact {task.semantic.store(f'fact {i} of {os.getpid()}')}\n")
            told.write(f"event {task.episodic.record(f'event {i} of {os.getpid()}')}\n")
            told.flush()


def remember_many_for_ever(colour: str, url: str, namespace: str, ledger: Path, size: int) -> None:
    """Stores facts, so many at once, and notes each batch that was acknowledged. The id of a fact begins with its batch."""
    with (
        open_in(colour, url, namespace=namespace, agent=f"{os.getpid()}", embed=embed) as store,
        ledger.open("a") as told,
    ):
        for batch in itertools.count():
            facts = [{"content": f"{batch}", "id": f"{os.getpid()}-{batch}-{number}"} for number in range(size)]
            store.task("t").semantic.store_many(facts)
            told.write(f"batch {os.getpid()}-{batch}\n")
            told.flush()


def best_by_words(colour: str, url: str, namespace: str, asked: str, recency: float | None) -> list[tuple[str, float]]:
    """Returns the ids and scores of the facts that are found by words and meaning."""
    with open_in(colour, url, namespace=namespace, embed=embed) as store:
        memory = store.task("t").semantic
        found = memory.query(asked, 1000, mode="hybrid", recency=recency)
        return [(match.id, match.score) for match in found]


def reembed_for_ever(colour: str, url: str, namespace: str) -> None:
    """Embeds all memories again and again, with two models in turn."""
    with open_in(colour, url, namespace=namespace, embed=embed) as store:
        while True:
            store.task("t").semantic.reembed(newer)
            store.task("t").semantic.reembed()


def acknowledged(ledger: Path, kind: str) -> set[str]:
    """Returns the ids that were noted; the last line may be incomplete."""
    lines = ledger.read_text().splitlines(keepends=True) if ledger.exists() else []
    return {line.split()[1] for line in lines if line.startswith(kind) and line.endswith("\n")}


def known(task: Any) -> tuple[set[str], set[str]]:
    """Returns the ids of all facts that are found, and of all episodes."""
    facts = {match.id for match in task.semantic.query("anything", 100_000)}
    return facts, {episode.id for episode in task.episodic.recent(100_000)}
