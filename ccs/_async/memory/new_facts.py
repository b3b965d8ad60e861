"""Storing facts: any number in one commit, each perhaps instead of another one."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from ccs._async.entries import Entries
from ccs._async.memory.embeddings import Embeddings, Unembedded
from ccs._async.optimistic import Race
from ccs._core.codec import encode
from ccs._core.commits.operations import Guard, Operation, revision_guard, set_op, version_guard
from ccs._core.memory.given import distinct_paths
from ccs._core.memory.records import SEMANTIC, map_of, signed, text_of
from ccs._core.memory.vectors import any_of
from ccs._core.names.system_paths import name_of, system_path
from ccs._core.quoted_values import shown
from ccs._core.times import Duration, millis, to_micros
from ccs.errors import Conflict, InvalidValue
from ccs.types import Entry

__all__ = ["GivenFact", "store_facts"]


class GivenFact(NamedTuple):
    """A fact as a caller gives it."""

    content: str
    id: str | None = None
    embedding: Any = None
    metadata: Mapping[str, Any] | None = None
    ttl: Duration | None = None
    replace: bool = False
    supersedes: str | None = None


class _New(NamedTuple):
    """Facts about to be committed together."""

    vector: bytes
    operations: list[Operation]
    guards: list[Guard]


async def store_facts(entries: Entries, embeddings: Embeddings, facts: Sequence[GivenFact]) -> list[str]:
    """Stores facts in one commit, all or none. Returns their ids, in the same order."""
    ids = [secrets.token_hex(12) if fact.id is None else fact.id for fact in facts]
    paths = distinct_paths(SEMANTIC, ids)
    replaced = _replaced(paths, ids, facts)
    deadlines = [None if fact.ttl is None else millis(fact.ttl) for fact in facts]
    made = await embeddings.prepare([_unembedded(fact) for fact in facts])
    new = _New(
        any_of(each.vector for each in made),
        [set_op(path, raw, ttl, lasting=True) for path, (_, raw), ttl in zip(paths, made, deadlines, strict=True)],
        [version_guard(path, 0) for path, fact in zip(paths, facts, strict=True) if not fact.replace],
    )
    if replaced:
        await _supersede(entries, embeddings, new, replaced)
    elif facts:
        await embeddings.commit(new.vector, new.operations, new.guards)
    for deadline in deadlines:
        entries.handle.expect(deadline)
    return ids


def _replaced(paths: Sequence[str], ids: Sequence[str], facts: Sequence[GivenFact]) -> dict[str, str]:
    """Returns the paths of the facts that are superseded, each with the id of the fact that takes its place."""
    stored = dict(zip(paths, ids, strict=True))
    replaced: dict[str, str] = {}
    for by, fact in zip(ids, facts, strict=True):
        if fact.supersedes is None:
            continue
        target = system_path(SEMANTIC, fact.supersedes)
        if stored.get(target) == by:
            raise InvalidValue(f"{shown(fact.supersedes)} cannot supersede itself: use replace=True")
        if target in stored:
            raise InvalidValue(f"{shown(fact.supersedes)} is stored and superseded in one call: leave it out")
        if target in replaced:
            raise InvalidValue(f"two of the facts supersede {shown(fact.supersedes)}")
        replaced[target] = by
    return replaced


def _unembedded(fact: GivenFact) -> Unembedded:
    value = {"content": text_of(fact.content, "content"), "metadata": map_of(fact.metadata, "metadata")}
    return Unembedded(value, fact.content, fact.embedding)


async def _supersede(entries: Entries, embeddings: Embeddings, new: _New, replaced: Mapping[str, str]) -> None:
    """Commits new facts, and in the same commit the names of those that take the place of others."""
    race = Race("superseding of a fact")
    while True:
        old = {path: await _still_valid(entries, path) for path in replaced}
        marked = [set_op(path, encode(_superseded(old[path], by)), keep_ttl=True) for path, by in replaced.items()]
        unchanged = [revision_guard(path, entry.revision) for path, entry in old.items()]
        try:
            await embeddings.commit(new.vector, [*new.operations, *marked], [*new.guards, *unchanged])
            return
        except Conflict as conflict:
            if conflict.path not in replaced:
                raise
            await race.lose(conflict)


async def _still_valid(entries: Entries, path: str) -> Entry:
    """Returns the entry of a fact that is to be superseded."""
    entry = await entries.entry(path)
    if entry is None:
        raise InvalidValue(f"there is no fact {shown(name_of(SEMANTIC, path))} to supersede")
    if "superseded_by" in entry.value:
        raise Conflict(path, entry.version - 1, entry.version, entry.revision, entry.agent)
    return entry


def _superseded(entry: Entry, by: str) -> dict[str, Any]:
    """Returns a superseded fact; it holds who wrote it and when, since the header now names the superseding write."""
    return {**signed(entry.value, entry.agent, to_micros(entry.updated_at)), "superseded_by": by}
