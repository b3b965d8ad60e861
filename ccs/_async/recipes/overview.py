"""How the agents of a context work together, now or at an earlier moment, read in one go."""

from __future__ import annotations

from datetime import datetime

from ccs._async.entries import Entries
from ccs._core.recipes.overview import overview_of, patterns_of
from ccs.types import Overview

__all__ = ["overview"]


async def overview(entries: Entries, kinds: tuple[str, ...], when: int | datetime | None) -> Overview:
    """Returns the overview of these kinds (none given: of all), now or at a revision or time."""
    patterns = patterns_of(kinds)
    found = await (entries.snapshot(*patterns) if when is None else entries.at(when, *patterns))
    return overview_of(found, found.revision)
