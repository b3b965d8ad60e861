"""The entries that users get."""

from __future__ import annotations

import copy
from dataclasses import FrozenInstanceError, replace
from datetime import UTC, datetime

import pytest

from ccs._core.commits.entry import new_entry
from ccs.types import Entry

MOMENT = datetime(2026, 1, 1, tzinfo=UTC)
FIELDS = "a", {"b": 1}, 1, 2, "writer", MOMENT, MOMENT, None


def test_an_entry_that_was_made_fast_equals_any_other() -> None:
    """Given an entry made in either way, when they are compared and copied, then they are the same."""
    fast, plain = new_entry(*FIELDS), Entry(*FIELDS)
    assert type(fast) is Entry
    assert (fast, repr(fast)) == (plain, repr(plain))
    assert copy.deepcopy(fast) == plain
    assert replace(fast, version=3) == replace(plain, version=3)


def test_an_entry_that_was_made_fast_is_frozen_too() -> None:
    """Given such an entry, when a test writes to it, then that is refused."""
    fast = new_entry(*FIELDS)
    with pytest.raises(FrozenInstanceError):
        fast.version = 2  # type: ignore[misc]  # that is the point
