"""How many episodes a context keeps: a bound that every commit respects, and pruning."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from ccs._async.context_handle import Handle
from ccs._async.memory.embeddings import Embeddings, Unembedded
from ccs._async.memory.stored_memories import batch, page
from ccs._async.optimistic import Race
from ccs._compat import AsyncWork
from ccs._core.codec import encode
from ccs._core.commits.commit import Crowded
from ccs._core.commits.entry import RawEntry
from ccs._core.commits.operations import (
    Guard,
    Operation,
    delete_op,
    fewer_below,
    revision_guard,
    set_op,
    sweep_op,
    version_guard,
)
from ccs._core.memory.records import (
    EPISODE_IDS,
    EPISODES,
    episode_id,
    episode_of,
    episode_path,
    kept_in,
    named,
    stamp,
    text_of,
)
from ccs._core.names.system_paths import system_path
from ccs.errors import Conflict

__all__ = ["NewEpisode", "keep", "prune", "removal"]

_BELOW = f"{EPISODES}/"

Stored = dict[str, RawEntry]


class NewEpisode(NamedTuple):
    """An episode about to be committed."""

    path: str
    vector: bytes
    operations: list[Operation]
    guards: list[Guard]

    @classmethod
    def of(cls, path: str, given: str | None, vector: bytes, raw: bytes, ttl: int | None) -> NewEpisode:
        """Returns an episode whose id is `given`, or else was generated and is unique by itself."""
        operations = [set_op(path, raw, ttl, lasting=True)]
        guards = [version_guard(path, 0)]
        if given is not None:
            # The path begins with the time, so a second entry makes the id unique.
            named = system_path(EPISODE_IDS, given)
            operations.append(set_op(named, encode({"path": path}), ttl, lasting=True))
            guards.insert(0, version_guard(named, 0))
        return cls(path, vector, operations, guards)


async def keep(embeddings: Embeddings, handle: Handle, episode: NewEpisode, most: int | None) -> None:
    """Commits an episode, and in the same commit removes the earliest ones beyond `most`."""
    if most is None:
        await embeddings.commit(episode.vector, episode.operations, episode.guards)
        return
    operations = episode.operations
    guards = [*episode.guards, fewer_below(_BELOW, most)]
    race = Race("bound on episodes")
    while operations:
        try:
            await embeddings.commit(episode.vector, operations, guards)
            return
        except Conflict as conflict:
            if conflict.path in [guard.path for guard in episode.guards]:
                raise
            await race.lose(conflict)
        except Crowded:
            pass
        operations, guards = await _make_room(handle, episode, most)


async def prune(embeddings: Embeddings, handle: Handle, before: datetime, summarize: AsyncWork | None) -> int:
    """Removes the episodes before a moment, in one commit if they are summarized, else in several. Returns how many."""
    bound = _BELOW + stamp(before)
    pruned = 0
    race = Race("pruning")
    while old := await _earlier(handle, bound, complete=summarize is not None):
        summary = None if summarize is None else await _summary(embeddings, before, old, summarize)
        try:
            await _replace(embeddings, old, summary)
        except Conflict as conflict:
            if conflict.path not in old:
                raise
            await race.lose(conflict)
            continue
        pruned += len(old)
        if summary:
            break
    return pruned


async def _replace(embeddings: Embeddings, old: Stored, summary: NewEpisode | None) -> None:
    """Removes episodes in one commit, and adds their summary if there is one."""
    guards = [revision_guard(path, raw.revision) for path, raw in old.items()]
    if summary is None:
        await embeddings.commit(b"", removal(old), guards)
    else:
        await embeddings.commit(summary.vector, [*summary.operations, *removal(old)], guards)


async def _summary(embeddings: Embeddings, before: datetime, old: Stored, summarize: AsyncWork) -> NewEpisode:
    """Returns one episode that replaces several, at the moment before which they happened."""
    text = text_of(await summarize([episode_of(kept_in(path, raw)[0]) for path, raw in old.items()]), "summary")
    value = {"description": text, "metadata": {"summarizes": len(old)}}
    [(vector, raw)] = await embeddings.prepare([Unembedded(value, text)], needed=False)
    chosen = episode_id(time.time_ns(), secrets.token_hex(4), first=True)
    return NewEpisode.of(episode_path(before, chosen), None, vector, raw, None)


async def _make_room(handle: Handle, episode: NewEpisode, most: int) -> tuple[list[Operation], list[Guard]]:
    """Returns the operations and guards of a commit that adds an episode and removes the earliest ones beyond `most`.

    If the episode is itself too early, they do not add it; then there may be no operations at all.
    """
    present = await _present(handle)
    first = await page(handle, EPISODES, "", max(1, present + 1 - most))
    leaving = sorted([*first.entries, episode.path])[: max(0, present + 1 - most)]
    removed = {path: first.entries[path] for path in leaving if path != episode.path}
    guards = [*episode.guards, fewer_below(_BELOW, present + 1)]
    guards += [revision_guard(path, raw.revision) for path, raw in removed.items()]
    return [*(() if episode.path in leaving else episode.operations), *removal(removed)], guards


async def _present(handle: Handle) -> int:
    """Returns how many episodes there are, after those that are due have expired."""
    keys = handle.keys
    count = ("ZLEXCOUNT", keys.paths, f"[{_BELOW}", b"(" + _BELOW.encode() + b"\xff")
    # In this order: a count before another client sweeps would include episodes that have expired.
    deadlines, present = await handle.opening.run_all([("ZCARD", keys.deadlines), count])
    if deadlines:
        await handle.commit([sweep_op()])
        present = await handle.opening.run(count)
    return int(present)


async def _earlier(handle: Handle, bound: str, *, complete: bool) -> Stored:
    """Returns the episodes whose paths come before the bound, in order: all of them, or a batch for one commit."""
    old: Stored = {}
    after: str | None = ""
    while after is not None and after < bound and (complete or not old):
        found = await batch(handle, EPISODES, after)
        old |= {path: raw for path, raw in found.entries.items() if path < bound}
        after = found.last
    return old


def removal(old: Iterable[str]) -> list[Operation]:
    """Returns the operations that remove episodes, and the entries of their ids if those were given."""
    ids = [system_path(EPISODE_IDS, named(path)[0]) for path in old]
    return [delete_op(path) for path in (*old, *ids)]
