"""Episodic memory: what happened in a context, in the order of its own time."""

from __future__ import annotations

import builtins
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from functools import partial
from typing import Any

from ccs._async.entries import Entries
from ccs._async.memory.embeddings import Space
from ccs._async.memory.retention import NewEpisode, keep, prune, removal
from ccs._async.memory.search_index import Index
from ccs._async.memory.stored import stored_at
from ccs._compat import AsyncWork
from ccs._core.checks import integer
from ccs._core.codec import decode
from ccs._core.commits.commit import revision_guard
from ccs._core.commits.entry import RawEntry
from ccs._core.memory.records import (
    EPISODE_IDS,
    EPISODES,
    Kept,
    episode_id,
    episode_of,
    episode_path,
    fresh,
    is_ours,
    kept_in,
    map_of,
    stamp,
    text_of,
)
from ccs._core.memory.tables import Timeline
from ccs._core.names.system_paths import system_path
from ccs._core.times import Duration, from_micros, millis
from ccs._local import Local
from ccs.errors import Conflict
from ccs.types import Episode, Match

__all__ = ["Episodic"]

Summarize = Callable[[list[Episode]], Awaitable[str] | str]


class Episodic(Local):
    """The episodes of a context, recorded by any agent in any order, seen by all in the order in which they happened.

    Those of one moment stand in the order of their ids; where those are of our making, that in which they were recorded,
    by the clocks of who did. Reads see every episode acknowledged before them. Each process that reads keeps a copy in memory.
    """

    def __init__(self, entries: Entries) -> None:
        self._place = entries.place
        self._space = Space(self._place)

    def __repr__(self) -> str:
        return f"<Episodic memory of {self._place.address}>"

    async def record(
        self,
        description: str,
        *,
        at: datetime | None = None,
        id: str | None = None,
        embedding: Any = None,
        metadata: Mapping[str, Any] | None = None,
        ttl: Duration | None = None,
        max_entries: int | None = None,
    ) -> str:
        """Records what happened `at` a moment, by default now by the server's clock; its id.

        Of more than `max_entries` those that happened first go, in the same commit; the new one, too, if it is older than
        all that are kept. With neither `embedding` nor an embedder, `recall_similar` does not find it, but `recent` shows
        it. An id that exists is a `Conflict`; embeddings as for a fact.

            >>> id = await task.episodic.record("Searched the web", metadata={"results": 12})
            >>> id = await task.episodic.record("Read the report")
            >>> [episode.description for episode in await task.episodic.recent()]
            ['Read the report', 'Searched the web']
        """
        most = None if max_entries is None else integer("max_entries", max_entries, "how many to keep, at least 1", 1)
        value = {"description": text_of(description, "description"), "metadata": map_of(metadata, "metadata")}
        chosen = episode_id(time.time_ns(), secrets.token_hex(4)) if id is None else id
        deadline = None if ttl is None else millis(ttl)
        if is_ours(id):
            await self._check_free(chosen)
        vector, raw = await self._space.remember(value, description, embedding, needed=False)
        path = episode_path(await self._now() if at is None else at, chosen)
        await keep(self._space, self._place, NewEpisode.of(path, id, vector, raw, deadline), most)
        self._place.expect(deadline)
        return chosen

    async def recent(self, limit: int = 10, *, since: datetime | None = None) -> builtins.list[Episode]:
        """The `limit` latest episodes by their own time, the newest first; with `since`, none that happened earlier.

        They are the same objects for all who ask in this store: do not change their metadata.
        """
        count = integer("limit", limit, "how many, at least 1", 1)
        first = "" if since is None else f"{EPISODES}/{stamp(since)}"

        def latest(table: Timeline, now: int) -> builtins.list[Episode]:
            return table.latest(count, now, first)

        return await self._shared().ask(latest)

    async def recall_similar(self, text_or_embedding: Any, top_k: int = 10) -> builtins.list[Match]:
        """The `top_k` episodes most similar to a text or an embedding, the best first, as a query of facts finds them.

        >>> id = await task.episodic.record("Compared frameworks", embedding=[1, 0])
        >>> id = await task.episodic.record("Had lunch", embedding=[0, 1])
        >>> [(match.content, match.score) for match in await task.episodic.recall_similar([1, 0], 1)]
        [('Compared frameworks', 1.0)]
        """
        count = integer("top_k", top_k, "how many, at least 1", 1)
        query = await self._space.query(text_or_embedding)

        def nearest(table: Timeline, now: int) -> builtins.list[tuple[float, Kept]]:
            return table.nearest(query, count, now)

        return [_match(score, found) for score, found in await self._shared().ask(nearest, searches=True)]

    async def get(self, id: str) -> Episode | None:
        """The episode of an id; None where there is none."""
        found = await self._find(id)
        return None if found is None else episode_of(kept_in(*found)[0])

    async def forget(self, id: str) -> bool:
        """Removes an episode. Returns whether it existed.

        >>> id = await task.episodic.record("Ann called")
        >>> await task.episodic.forget(id), await task.episodic.forget(id), await task.episodic.recent()
        (True, False, [])
        """
        while found := await self._find(id):
            path, raw = found
            try:
                await self._place.commit(removal([path]), [revision_guard(path, raw.revision)], 0, heeding=False)
            except Conflict as conflict:
                if conflict.path != path:
                    raise
            else:
                return True
        return False

    async def list(self, *, limit: int = 100, after: str | None = None) -> builtins.list[Episode]:
        """At most `limit` episodes, in the order of their ids; `recent` has them by their time.

        Ids of our making are in the order of recording. For the next page, give the last id of this one as `after`, even if
        that episode has been forgotten since.
        """
        count = integer("limit", limit, "how many, at least 1", 1)
        if after is not None:
            system_path(EPISODES, after)

        def listed(table: Timeline, now: int) -> builtins.list[Episode]:
            return table.listed(count, now, after or "")

        return await self._shared().ask(listed)

    async def prune(self, before: datetime, *, summarize: Summarize | None = None) -> int:
        """Removes what happened before a moment; how many episodes that were.

        What `summarize(episodes)`, oldest first, returns becomes one episode at that moment, in the same commit: there
        is never one without the other. It is called again if any of them changed meanwhile. `ValueTooLarge`, and nothing
        is removed, where they are more than one commit can hold (16 MiB): prune in steps then. With asyncio it may be a
        coroutine function, and a plain one runs in a worker thread.

            >>> from datetime import datetime, timezone
            >>> for text in ("woke up", "got dressed"):
            ...     id = await task.episodic.record(text, at=datetime(2025, 1, 1, tzinfo=timezone.utc))
            >>> await task.episodic.prune(datetime(2025, 6, 1, tzinfo=timezone.utc), summarize=lambda old: f"{len(old)} things")
            2
            >>> [episode.description for episode in await task.episodic.recent()]
            ['2 things']
        """
        return await prune(self._space, self._place, before, None if summarize is None else AsyncWork(summarize))

    def _shared(self) -> Index:
        return self._place.engine.shared((EPISODES, self._place.address), self._index)

    def _index(self) -> Index:
        return Index(self._place.engine, self._place.address, EPISODES, Timeline)

    async def _find(self, id: str) -> tuple[str, RawEntry] | None:
        """Where the episode of an id lies, and what stands there; None where there is none."""
        named = await stored_at(self._place, system_path(EPISODE_IDS, id))
        # Only ids that were given have an entry that says where; the others are looked up in the copy.
        path = decode(named.value)["path"] if named else await self._shared().ask(partial(_path_of, id))
        if path is None:
            return None
        raw = await stored_at(self._place, path)
        return None if raw is None else (path, raw)

    async def _check_free(self, id: str) -> None:
        """Raises `Conflict` if an episode has this id, which we gave to it: no entry guards such ids."""
        if found := await self._find(id):
            path, raw = found
            raise Conflict(path, 0, raw.version, raw.revision, raw.agent)

    async def _now(self) -> datetime:
        seconds, micros = await self._place.connection.run(("TIME",))
        return from_micros(int(seconds) * 1_000_000 + int(micros))


def _path_of(id: str, table: Timeline, _: int) -> str | None:
    return table.path_of(id)


def _match(score: float, memory: Kept) -> Match:
    value, stored = memory.value, from_micros(memory.stored)
    return Match(memory.id, value["description"], score, fresh(value["metadata"]), memory.agent, stored, memory.at)
