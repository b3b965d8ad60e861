"""A step of a recipe: a commit that rests on what was seen, and holds only if that still stands."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ccs._core.commits.commit import Guard, Operation, revision_guard
from ccs.types import Entry

__all__ = ["GuardedCommit", "unchanged"]


class GuardedCommit(NamedTuple):
    """What to write, if the guards hold; `size` is that of the values, `ttl` (ms) that of an entry among them."""

    operations: list[Operation]
    guards: list[Guard]
    size: int
    ttl: int | None = None


def unchanged(entries: Mapping[str, Entry], paths: Iterable[str]) -> list[Guard]:
    """What stands at these paths must be what was seen, nothing included."""
    return [revision_guard(path, entries[path].revision if path in entries else 0) for path in paths]
