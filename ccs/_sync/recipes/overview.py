# Generated from ccs/_async/recipes/overview.py by scripts/twin. Do not edit.
"""How the agents of a context work together, now or at an earlier moment, read in one go."""

from __future__ import annotations

from datetime import datetime

from ccs._core.recipes.overview import overview_of, patterns_of
from ccs._sync.entries import Entries
from ccs.types import Overview

__all__ = ["overview"]


def overview(entries: Entries, kinds: tuple[str, ...], when: int | datetime | None) -> Overview:
    """Returns the overview of these kinds (none given: of all), now or at a revision or time."""
    patterns = patterns_of(kinds)
    found = entries.snapshot(*patterns) if when is None else entries.at(when, *patterns)
    return overview_of(found, found.revision)
