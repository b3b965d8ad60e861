"""The validator itself: it finds every fault that a watch can have."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

import ccs
from ccs.types import Change
from tests.watches.traffic import write
from tests.watches.validate import validate, validate_resumed

Spoil = Callable[[list[Change]], list[Change]]


@pytest.fixture(scope="module")
def journal() -> list[Change]:
    with ccs.connect("memory://") as store:
        write(store.task("t"), 60)
        return store.task("t").history(since=0)


def commits_of_several(changes: list[Change]) -> list[int]:
    """Where a commit of several operations begins."""
    return [at for at in range(len(changes) - 1) if changes[at].revision == changes[at + 1].revision]


def test_what_the_journal_says_is_right(journal: list[Change]) -> None:
    validate(journal, journal)
    middle = journal[len(journal) // 2].revision
    validate([change for change in journal if change.revision > middle], journal, since=middle)
    validate([change for change in journal if change.revision <= middle], journal, until=middle)
    validate([change for change in journal if change.path == "c"], journal, matches="c".__eq__)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda seen: [*seen[:3], *seen[4:]], "reliable"),
        (lambda seen: seen[:-1], "reliable"),
        (lambda seen: [seen[0], *seen], "unique"),
        (lambda seen: [seen[-1], *seen[:-1]], "ordered"),
        (lambda seen: [replace(seen[0], value="other"), *seen[1:]], "journal"),
        (lambda seen: [replace(seen[0], previous=1), *seen[1:]], "journal"),
        (lambda seen: [replace(seen[0], created=False), *seen[1:]], "journal"),
    ],
)
def test_what_is_missing_double_misplaced_or_different_is_found(journal: list[Change], spoil: Spoil, says: str) -> None:
    with pytest.raises(AssertionError, match=says):
        validate(spoil(journal), journal)


def test_a_commit_in_another_order_is_found(journal: list[Change]) -> None:
    at = commits_of_several(journal)[0]
    seen = [*journal[:at], journal[at + 1], journal[at], *journal[at + 2 :]]
    with pytest.raises(AssertionError, match="atomic"):
        validate(seen, journal)


def test_what_should_not_match_is_found(journal: list[Change]) -> None:
    with pytest.raises(AssertionError, match="filtered"):
        validate(journal, journal, matches="c".__eq__)


@pytest.mark.parametrize("field", ["previous", "created", "version"])
def test_a_journal_that_contradicts_itself_is_found(journal: list[Change], field: str) -> None:
    wrong: dict[str, Any] = {"previous": "wrong", "created": not journal[5].created, "version": 99}
    spoilt = [*journal[:5], replace(journal[5], **{field: wrong[field]}), *journal[6:]]
    with pytest.raises(AssertionError, match="not the"):
        validate(spoilt, spoilt)


def test_a_resume_that_splits_a_commit_is_found(journal: list[Change]) -> None:
    at = commits_of_several(journal)[0]
    before, revision, last = journal[at - 1].revision, journal[at].revision, journal[-1].revision
    rest = [change for change in journal if change.revision > before]
    validate_resumed([(0, journal[: at + 1], before), (before, rest, last)], journal)
    with pytest.raises(AssertionError):
        validate_resumed([(0, journal[: at + 1], revision), (revision, journal[at + 1 :], last)], journal[:at])
    skipped = [change for change in journal if change.revision > revision]
    with pytest.raises(AssertionError, match="reliable"):
        validate_resumed([(0, journal[: at + 1], revision), (revision, skipped, last)], journal)
