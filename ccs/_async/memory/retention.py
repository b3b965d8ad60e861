"""How many episodes a context keeps: a bound that every commit holds, and pruning."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Iterable
from datetime import datetime
from typing import NamedTuple

from ccs._async.handle import Place
from ccs._async.memory.embeddings import Space
from ccs._async.memory.stored import page, stretch
from ccs._compat import AsyncWork, async_sleep
from ccs._core.codec import encode
from ccs._core.commits.commit import (
    Crowded,
    Guard,
    Operation,
    delete_op,
    fewer_below,
    revision_guard,
    set_op,
    sweep_op,
    version_guard,
)
from ccs._core.commits.entry import RawEntry
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
from ccs._core.retry import jitter
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
    size: int

    @classmethod
    def of(cls, path: str, given: str | None, vector: bytes, raw: bytes, ttl: int | None) -> NewEpisode:
        """One whose id was given, or else is unique by itself."""
        operations, guards = [set_op(path, raw, ttl, lasting=True)], [version_guard(path, 0)]
        if given is not None:
            # Its path begins with the time, so another entry sees to it that there is one of each id.
            named = system_path(EPISODE_IDS, given)
            operations.append(set_op(named, encode({"path": path}), ttl, lasting=True))
            guards.insert(0, version_guard(named, 0))
        return cls(path, vector, operations, guards, len(raw))


async def keep(space: Space, place: Place, episode: NewEpisode, most: int | None) -> None:
    """Commits an episode, and in the same commit the end of those that are too many, the earliest first."""
    if most is None:
        await space.commit(episode.vector, episode.operations, episode.guards, episode.size)
        return
    operations, guards, lost = episode.operations, [*episode.guards, fewer_below(_BELOW, most)], 0
    while operations:
        try:
            await space.commit(episode.vector, operations, guards, episode.size)
            return
        except Conflict as conflict:
            if conflict.path in [guard.path for guard in episode.guards]:
                raise
            await async_sleep(jitter(lost, random.random()))
            lost += 1
        except Crowded:
            pass
        operations, guards = await _make_room(place, episode, most)


async def prune(space: Space, place: Place, before: datetime, summarize: AsyncWork | None) -> int:
    """Removes what happened before a moment; how many that were. With a summary in one commit, else in several."""
    bound, pruned, lost = _BELOW + stamp(before), 0, 0
    while old := await _earlier(place, bound, whole=summarize is not None):
        summary = None if summarize is None else await _summary(space, before, old, summarize)
        operations, vector, size = removal(old), b"", 0
        if summary:
            operations, vector, size = [*summary.operations, *operations], summary.vector, summary.size
        try:
            await space.commit(
                vector, operations, [revision_guard(path, raw.revision) for path, raw in old.items()], size
            )
        except Conflict as conflict:
            if conflict.path not in old:
                raise
            await async_sleep(jitter(lost, random.random()))
            lost += 1
            continue
        pruned += len(old)
        if summary:
            break
    return pruned


async def _summary(space: Space, before: datetime, old: Stored, summarize: AsyncWork) -> NewEpisode:
    """One episode in the place of several, at the moment before which they happened."""
    said = text_of(await summarize([episode_of(kept_in(path, raw)[0]) for path, raw in old.items()]), "summary")
    value = {"description": said, "metadata": {"summarizes": len(old)}}
    vector, raw = await space.remember(value, said, None, needed=False)
    chosen = episode_id(time.time_ns(), secrets.token_hex(4), first=True)
    return NewEpisode.of(episode_path(before, chosen), None, vector, raw, None)


async def _make_room(place: Place, episode: NewEpisode, most: int) -> tuple[list[Operation], list[Guard]]:
    """What brings an episode in among the latest; without it where it is too early, and nothing where all is well."""
    present = await _present(place)
    first = await page(place, EPISODES, "", max(1, present + 1 - most))
    leaving = sorted([*first.entries, episode.path])[: max(0, present + 1 - most)]
    removed = {path: first.entries[path] for path in leaving if path != episode.path}
    guards = [*episode.guards, fewer_below(_BELOW, present + 1)]
    guards += [revision_guard(path, raw.revision) for path, raw in removed.items()]
    return [*(() if episode.path in leaving else episode.operations), *removal(removed)], guards


async def _present(place: Place) -> int:
    """How many there are; what is due by now is expired first, and not counted."""
    keys = place.keys
    count = "ZLEXCOUNT", keys.paths, f"[{_BELOW}", b"(" + _BELOW.encode() + b"\xff"
    # In this order: counted before somebody else sweeps, what has expired would be taken for present.
    deadlines, present = await place.opening.run_all([("ZCARD", keys.deadlines), count])
    if deadlines:
        await place.commit([sweep_op()], [], 0, heeding=False)
        present = await place.opening.run(count)
    return int(present)


async def _earlier(place: Place, bound: str, *, whole: bool) -> Stored:
    """The episodes whose paths come before the bound, in order: all, or as many as one commit may well remove."""
    old: Stored = {}
    after: str | None = ""
    while after is not None and after < bound and (whole or not old):
        found = await stretch(place, EPISODES, after)
        old |= {path: raw for path, raw in found.entries.items() if path < bound}
        after = found.last
    return old


def removal(old: Iterable[str]) -> list[Operation]:
    """The end of episodes, and of their ids where those were given."""
    ids = [system_path(EPISODE_IDS, named(path)[0]) for path in old]
    return [delete_op(path) for path in (*old, *ids)]
