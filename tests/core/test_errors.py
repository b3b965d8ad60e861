"""Errors say the same to everybody who gets one of them."""

from __future__ import annotations

import pytest

from ccs import errors
from ccs._core.grouping import copy_of

EXAMPLES = [
    errors.Conflict("a", 1, 2, 3, "somebody"),
    errors.ContextFinished("/tasks/1", "done"),
    errors.ContextGone("/tasks/1"),
    errors.HistoryCompacted(1, 2),
    errors.HistoryForked(1, 2),
    errors.InvalidPath("no path"),
    errors.EncodingError("no type"),
    errors.StoreFull("no room"),
    errors.StoreClosed("no store"),
    errors.Unavailable("redis://host", True, "no answer"),
    errors.UnsafeServer("no server"),
    errors.ValueTooLarge(2, 1),
]


@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_a_copy_of_an_error_says_the_same(error: errors.CCSError) -> None:
    twin = copy_of(error)
    assert twin is not error
    assert str(twin) == str(error) != ""
    assert vars(twin) == vars(error)


def test_a_conflict_says_what_was_asked_for() -> None:
    assert "'a' exists already" in str(errors.Conflict("a", 0, 1, 2, "somebody"))
    assert "'a' is not at version 1: nothing is there" in str(errors.Conflict("a", 1, 0, 0, None))
    assert "'a' is not at revision 1795234422302513" in str(errors.Conflict("a", 1795234422302513, 1, 2, "somebody"))
