"""A commit of a recipe: decided from entries that were read, and applied only if they are unchanged."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from ccs._core.commits.operations import Guard, Operation, revision_guard
from ccs.types import Entry

__all__ = ["GuardedCommit", "unchanged"]


class GuardedCommit(NamedTuple):
    """What to write if the guards hold; `ttl` is that of one of the entries, in milliseconds."""

    operations: list[Operation]
    guards: list[Guard]
    ttl: int | None = None


def unchanged(entries: Mapping[str, Entry], paths: Iterable[str]) -> list[Guard]:
    """Returns guards for these paths: each must have the entry that was read, or still none."""
    return [revision_guard(path, entries[path].revision if path in entries else 0) for path in paths]
