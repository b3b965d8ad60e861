"""The chain: each record names the one before it, and says of each entry what it was and what it became.

So a replay of the journal gives the entries.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from tests.torture.checks.timeline import Timelines
from tests.torture.checks.violation import Violation
from tests.torture.history import Commit, Held

__all__ = ["broken_chains"]

RULE = "chain"


def broken_chains(timelines: Timelines) -> Iterator[Violation]:
    """Journals that do not continue, or are not what the entries are."""
    for address, timeline in timelines.items():
        yield from _links(address, timeline.commits)
        standing: dict[str, Held] = {}
        for commit in timeline.commits:
            yield from _replay(address, commit, standing)
        found = timelines.history.entries.get(address)
        if found is not None:
            yield from _compare(address, standing, found)


def _links(address: str, commits: object) -> Iterator[Violation]:
    for before, commit in pairwise(commits):  # type: ignore[call-overload]
        if commit.previous != before.revision or commit.revision <= before.revision:
            yield Violation(RULE, f"{address}: a record does not continue the one before", (before, commit))


def _replay(address: str, commit: Commit, standing: dict[str, Held]) -> Iterator[Violation]:
    for op, path, before, after in commit.steps:
        if op not in ("set", "delete", "expire"):
            continue
        known = standing.get(path)
        if _shown(known) != _shown(before):
            yield Violation(RULE, f"{address}: {path} was not what the record says", (known, commit))
        if after and (after.revision, after.version) != (commit.revision, before.version + 1 if before else 1):
            yield Violation(RULE, f"{address}: {path} has a wrong revision or version", (commit,))
        if after:
            standing[path] = after
        else:
            standing.pop(path, None)


def _compare(address: str, standing: dict[str, Held], found: dict[str, Held]) -> Iterator[Violation]:
    for path in standing.keys() | found.keys():
        told, there = standing.get(path), found.get(path)
        if _shown(told) != _shown(there):
            yield Violation(RULE, f"{address}: the entry {path} is not what the journal says", (told, there))


def _shown(held: Held | None) -> list[object] | None:
    """Without the deadline, which a renewal moves without a commit."""
    return held.shown if held else None
