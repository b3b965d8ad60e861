"""Errors and their copies have the same text and facts."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from datetime import UTC, datetime

import pytest

from ccs import errors
from ccs._protocol.faults import copy_of

EXAMPLES = [
    errors.Conflict("a", 1, 2, 3, "somebody"),
    errors.Conflict("a", 7, 2, 3, "somebody", "reject", "revision"),
    errors.ContextFinished("/tasks/1", "done"),
    errors.ContextGone("/tasks/1"),
    errors.HistoryCompacted(1, 2),
    errors.HistoryDamaged("/tasks/1", 2),
    errors.HistoryForked(1, 2),
    errors.HistoryCompacted(1, 2, "/tasks/1"),
    errors.HistoryForked(1, 2, "/tasks/1"),
    errors.InvalidPath("not a path"),
    errors.EncodingError("no type"),
    errors.EncodingError.of("object", "value[0]", "store less"),
    errors.NotDurable("/tasks/1", 3, False, 1),
    errors.StoreFull("no room"),
    errors.Forbidden("redis://host", "app", "run PUBLISH on 'x'"),
    errors.StoreClosed("no store"),
    errors.Misuse("not now"),
    errors.Unavailable("redis://host", True, "no answer"),
    errors.UnknownFormat("/tasks/1", 2, "0.9"),
    errors.UnsafeServer("no server"),
    errors.ValueTooLarge(2, 1),
    errors.MirrorFull("/tasks/1", 3),
    errors.Misuse("entered twice"),
    errors.MissingExtra("searching", "numpy", "semantic"),
    errors.AdoptConflict("/tasks/1", ["a", "b"]),
    errors.AlreadyClaimed("r", "somebody", datetime(2026, 1, 2, tzinfo=UTC)),
    errors.AlreadyClaimed("r", "somebody", datetime(2026, 1, 2, tzinfo=UTC), 3),
    errors.ClaimLost("r"),
    errors.IdempotencyMismatch("k"),
    errors.RetriesExhausted("k", 3, "ValueError: no"),
    errors.InboxFull("role", 10),
    errors.NoEmbedder(),
]


def sent(error: errors.CCSError) -> errors.CCSError:
    """The error as another process receives it."""
    arrived: errors.CCSError = pickle.loads(pickle.dumps(error))  # noqa: S301  # our own
    return arrived


def test_there_is_an_example_of_every_error() -> None:
    untold = {"CCSError", "InvalidPattern", "InvalidValue", "ReservedPath"}  # these are made as InvalidPath is
    assert {type(error).__name__ for error in EXAMPLES} == set(errors.__all__) - untold


@pytest.mark.parametrize("again", [copy_of, copy.copy, sent], ids=lambda again: again.__name__)
@pytest.mark.parametrize("error", EXAMPLES, ids=lambda error: type(error).__name__)
def test_a_copy_of_an_error_has_the_same_facts(
    error: errors.CCSError, again: Callable[[errors.CCSError], errors.CCSError]
) -> None:
    twin = again(error)
    assert twin is not error
    assert type(twin) is type(error)
    assert str(twin) == str(error) != ""
    assert vars(twin) == vars(error)


def test_a_conflict_says_what_was_expected() -> None:
    assert "'a' exists already" in str(errors.Conflict("a", 0, 1, 2, "somebody"))
    assert "'a' is not at version 1: nothing is there" in str(errors.Conflict("a", 1, 0, 0, None))
    assert "'a' is not at revision 7" in str(errors.Conflict("a", 7, 1, 2, "somebody", guard="revision"))
    assert "'a' is not at version 7" in str(errors.Conflict("a", 7, 1, 2, "somebody", guard="version"))
