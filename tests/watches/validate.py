"""Checks the changes that a watch delivered against the journal: etcd's promises for watches, and ours.

Ordered, unique, reliable (nothing is missing), atomic (a commit never comes in part), resumable, filtered, with the
previous value and the created flag right (G1, G2, G6, G8).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from itertools import groupby
from typing import Any

from ccs.types import Change, Entry, Snapshot

Part = tuple[int, Sequence[Change], int]


def validate(
    seen: Sequence[Change],
    journal: Sequence[Change],
    *,
    since: int = 0,
    until: int | None = None,
    matches: Callable[[str], bool] = lambda path: True,
) -> None:
    """Holds changes against the whole journal of their context: all that match in (since, until], as they happened."""
    _check_journal(journal)
    end = journal[-1].revision if until is None and journal else until or 0
    expected = [change for change in journal if since < change.revision <= end and matches(change.path)]
    revisions = [change.revision for change in seen]
    assert revisions == sorted(revisions), "not ordered"
    places = [place_of(change) for change in seen]
    assert len(places) == len(set(places)), f"not unique: {sorted({each for each in places if places.count(each) > 1})}"
    assert all(matches(change.path) for change in seen), "not filtered"
    missing = [place for place in map(place_of, expected) if place not in set(places)]
    assert not missing, f"not reliable: {len(missing)} of {len(expected)} are missing, first {missing[:3]}"
    assert _commits(seen) == _commits(expected), "not atomic"
    assert list(seen) == list(expected), "not what the journal says"


def validate_resumed(parts: Iterable[Part], journal: Sequence[Change], **options: Any) -> None:
    """Holds what several watches in a row delivered, each `(since, changes, revision at its end)`, as one.

    What came after the cursor of a part is delivered again, whole, by the next one.
    """
    seen: list[Change] = []
    cursor = None
    for since, changes, end in parts:
        assert cursor is None or since == cursor, "not resumed where the last one ended"
        kept = [change for change in changes if change.revision <= end]
        again = [change for change in changes if change.revision > end]
        assert len({change.revision for change in again}) <= 1, "the cursor is more than a commit behind"
        seen += kept
        cursor = end
    validate(seen, journal, **options)


def replay(state: dict[str, tuple[Any, int]], changes: Iterable[Change]) -> dict[str, tuple[Any, int]]:
    """Applies changes to a map of path to value and revision."""
    for change in changes:
        if change.op == "set":
            state[change.path] = change.value, change.revision
        else:
            state.pop(change.path, None)
    return state


def state_of(snapshot: Snapshot) -> dict[str, tuple[Any, int]]:
    """A snapshot as `replay` tells it."""
    return {path: (entry.value, entry.revision) for path, entry in snapshot.items()}


def place_of(change: Change | Entry) -> tuple[int, str]:
    """What no two changes of a context share."""
    return change.revision, change.path


def _commits(changes: Sequence[Change]) -> list[tuple[int, list[str]]]:
    return [
        (revision, [change.path for change in group])
        for revision, group in groupby(changes, lambda each: each.revision)
    ]


def _check_journal(journal: Sequence[Change]) -> None:
    """The journal from its beginning tells the previous values, the created flags and the versions by itself."""
    values: dict[str, tuple[Any, int]] = {}
    for change in journal:
        before = values.get(change.path)
        assert change.previous == (before and before[0]), f"not the value before: {change}"
        assert change.created == (before is None), f"not the right created flag: {change}"
        if change.op == "set":
            assert change.version == (before[1] + 1 if before else 1), f"not the right version: {change}"
            values[change.path] = change.value, change.version
        else:
            assert before, f"nothing was there to go: {change}"
            assert change.version == before[1], f"not the version that went: {change}"
            del values[change.path]
