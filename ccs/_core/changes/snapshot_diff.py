"""How a local copy of a context becomes a newer snapshot."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ccs.types import Change, Entry

__all__ = ["net"]


def net(
    before: Mapping[str, Entry], after: Iterable[Entry], address: str, revision: int
) -> tuple[list[tuple[str, Entry | None]], list[Change]]:
    """Returns what to put at each path (None: remove it), and the same as changes to deliver. Removals come first."""
    found = {entry.path: entry for entry in after}
    gone = [entry for path, entry in before.items() if path not in found]
    changed = [entry for path, entry in found.items() if before.get(path) != entry]
    pairs: list[tuple[str, Entry | None]] = [(entry.path, None) for entry in gone]
    pairs += [(entry.path, entry) for entry in changed]
    changes = [_removed(entry, address, revision) for entry in gone]
    return pairs, changes + [_written(entry, before.get(entry.path), address) for entry in changed]


def _removed(entry: Entry, address: str, revision: int) -> Change:
    return Change(
        context=address,
        path=entry.path,
        op="delete",
        value=None,
        previous=entry.value,
        created=False,
        version=entry.version,
        revision=revision,
        agent=entry.agent,
        at=entry.updated_at,
    )


def _written(entry: Entry, before: Entry | None, address: str) -> Change:
    return Change(
        context=address,
        path=entry.path,
        op="set",
        value=entry.value,
        previous=before.value if before else None,
        created=before is None,
        version=entry.version,
        revision=entry.revision,
        agent=entry.agent,
        at=entry.updated_at,
    )
