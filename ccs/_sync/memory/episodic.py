# Generated from ccs/_async/memory/episodic.py by scripts/twin. Do not edit.
"""Episodic memory: what happened in a context, in the order of its own time."""

from __future__ import annotations

import builtins
import secrets
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple

from ccs._compat import Work
from ccs._core.codec import decode
from ccs._core.commits.entry import RawEntry
from ccs._core.commits.operations import revision_guard
from ccs._core.memory.filters import having
from ccs._core.memory.given import distinct_paths, given_memories
from ccs._core.memory.records import (
    EPISODE_IDS,
    EPISODES,
    episode_id,
    episode_of,
    episode_path,
    is_ours,
    kept_in,
    map_of,
    match_of,
    stamp,
    text_of,
)
from ccs._core.memory.search import Search
from ccs._core.memory.search_tables import Timeline
from ccs._core.memory.vectors import any_of
from ccs._core.names.system_paths import system_path
from ccs._core.number_checks import integer
from ccs._core.times import Duration, from_micros, millis
from ccs._not_copyable import Local
from ccs._sync.entries import Entries
from ccs._sync.memory.embeddings import Embeddings, Unembedded
from ccs._sync.memory.retention import NewEpisode, keep, prune, removal
from ccs._sync.memory.search_index import Index
from ccs._sync.memory.stored_memories import stored_at
from ccs._sync.optimistic import Race
from ccs.errors import Conflict
from ccs.types import Episode, Match

__all__ = ["Episodic"]

Summarize = Callable[[list[Episode]], str | str]


class GivenEpisode(NamedTuple):
    """An episode as a caller gives it."""

    description: str
    at: datetime | None = None
    id: str | None = None
    embedding: Any = None
    metadata: Mapping[str, Any] | None = None
    ttl: Duration | None = None

    @property
    def deadline(self) -> int | None:
        """After how many milliseconds it expires."""
        return None if self.ttl is None else millis(self.ttl)

    def unembedded(self) -> Unembedded:
        """Returns it as it is stored, but for its vector. Raises `InvalidValue` for what cannot be stored."""
        text = text_of(self.description, "description")
        return Unembedded({"description": text, "metadata": map_of(self.metadata, "metadata")}, text, self.embedding)


class Episodic(Local):
    """The episodes of a context: recorded by any agent in any order, read in the order in which they happened.

    Episodes of the same moment are in the order of their ids; generated ids are in the order of recording, by the clocks
    of the recording machines. A read sees every episode acknowledged before it. Each process that reads keeps a copy in
    memory.
    """

    def __init__(self, entries: Entries) -> None:
        self._handle = entries.handle
        self._handle.require(f"{EPISODES}/**")
        self._embeddings = Embeddings(self._handle)

    def __repr__(self) -> str:
        return f"<Episodic memory of {self._handle.address}>"

    def record(
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
        """Records what happened `at` a moment, by default now by the server's clock. Returns the id of the episode.

        If there are more than `max_entries` then, the earliest are removed in the same commit; this may be the new one.
        With neither `embedding` nor an embedder, `recall_similar` does not find it, but `recent` does. Raises `Conflict`
        if the id exists; embeddings are as for a fact.

            >>> id = task.episodic.record("Searched the web", metadata={"results": 12})
            >>> id = task.episodic.record("Read the report")
            >>> [episode.description for episode in task.episodic.recent()]
            ['Read the report', 'Searched the web']
        """
        most = None if max_entries is None else integer("max_entries", max_entries, "how many to keep, at least 1", 1)
        given = GivenEpisode(description, at, id, embedding, metadata, ttl)
        [(chosen, episode)] = self._new([given])
        keep(self._embeddings, self._handle, episode, most)
        self._handle.expect(given.deadline)
        return chosen

    def record_many(self, episodes: Iterable[str | Mapping[str, Any]]) -> builtins.list[str]:
        """Records episodes in one commit, all or none. Returns their ids, in the same order.

        An episode is its description, or a map with the arguments of `record` except `max_entries`. The embedder is called
        once. Raises as `record` does, `InvalidValue` if two of them have one id, and `ValueTooLarge` if one commit cannot
        hold them (16 MiB).

            >>> ids = task.episodic.record_many(["Searched the web", {"description": "Read it", "metadata": {"pages": 3}}])
            >>> [episode.description for episode in task.episodic.recent()]
            ['Read it', 'Searched the web']
        """
        given = given_memories(GivenEpisode, episodes)
        new = self._new(given)
        if new:
            vector = any_of(episode.vector for _, episode in new)
            operations = [operation for _, episode in new for operation in episode.operations]
            guards = [guard for _, episode in new for guard in episode.guards]
            self._embeddings.commit(vector, operations, guards)
        for each in given:
            self._handle.expect(each.deadline)
        return [chosen for chosen, _ in new]

    def _new(self, given: Sequence[GivenEpisode]) -> builtins.list[tuple[str, NewEpisode]]:
        """Returns the id of each episode, and the episode as it is committed."""
        begin = time.time_ns()
        # One nanosecond apart, so that the ids are in the order of the episodes.
        fresh_ids = [episode_id(begin + index, secrets.token_hex(4)) for index in range(len(given))]
        ids = [new if each.id is None else each.id for each, new in zip(given, fresh_ids, strict=True)]
        distinct_paths(EPISODE_IDS, ids)
        made = self._embeddings.prepare([each.unembedded() for each in given], needed=False)
        for each in given:
            if is_ours(each.id):
                self._check_free(str(each.id))
        times = self._times(given)
        new = []
        for chosen, at, each, (vector, raw) in zip(ids, times, given, made, strict=True):
            path = episode_path(at, chosen)
            new.append((chosen, NewEpisode.of(path, each.id, vector, raw, each.deadline)))
        return new

    def _times(self, given: Sequence[GivenEpisode]) -> builtins.list[datetime]:
        """Returns when each happened: now, by the server's clock, where nothing else is given."""
        times = [each.at for each in given if each.at is not None]
        if len(times) == len(given):
            return times
        now = self._now()
        return [now if each.at is None else each.at for each in given]

    def recent(self, limit: int = 10, *, since: datetime | None = None) -> builtins.list[Episode]:
        """Returns the `limit` latest episodes by their own time, the newest first; with `since`, none that happened earlier.

        All callers in this store get the same objects: do not change their metadata.
        """
        count = integer("limit", limit, "how many, at least 1", 1)
        first = "" if since is None else f"{EPISODES}/{stamp(since)}"

        def latest(table: Timeline, now: int) -> builtins.list[Episode]:
            return table.latest(count, now, first)

        return self._shared().ask(latest)

    def recall_similar(self, text_or_embedding: Any, top_k: int = 10) -> builtins.list[Match]:
        """Returns the `top_k` episodes most similar to a text or an embedding, the best first, as a query of facts does.

        >>> id = task.episodic.record("Compared frameworks", embedding=[1, 0])
        >>> id = task.episodic.record("Had lunch", embedding=[0, 1])
        >>> [(match.content, match.score) for match in task.episodic.recall_similar([1, 0], 1)]
        [('Compared frameworks', 1.0)]
        """
        search = Search(integer("top_k", top_k, "how many, at least 1", 1))
        query = self._embeddings.query(text_or_embedding)
        return [match_of(found, score, self._handle.address) for score, found in self._shared().search(query, search)]

    def get(self, id: str) -> Episode | None:
        """Returns the episode of an id; None if there is none."""
        found = self._find(id)
        return None if found is None else episode_of(kept_in(*found)[0])

    def forget(self, id: str) -> bool:
        """Removes an episode. Returns whether it existed.

        >>> id = task.episodic.record("Ann called")
        >>> task.episodic.forget(id), task.episodic.forget(id), task.episodic.recent()
        (True, False, [])
        """
        race = Race("forgetting of an episode")
        while found := self._find(id):
            path, raw = found
            try:
                self._handle.commit(removal([path]), [revision_guard(path, raw.revision)])
            except Conflict as conflict:
                if conflict.path != path:
                    raise
                race.lose(conflict)
            else:
                return True
        return False

    def list(
        self, *, where: Mapping[str, Any] | None = None, limit: int = 100, after: str | None = None
    ) -> builtins.list[Episode]:
        """Returns at most `limit` episodes in the order of their ids; `recent` has them by their time.

        Generated ids are in the order of recording. `where` is as for a query of facts. For the next page, give the last id of
        this one as `after`, even if that episode has been forgotten since.
        """
        count = integer("limit", limit, "how many, at least 1", 1)
        accept = having(where)
        if after is not None:
            system_path(EPISODES, after)

        def listed(table: Timeline, now: int) -> builtins.list[Episode]:
            return table.listed(count, now, after or "", accept)

        return self._shared().ask(listed, long=True)

    def count(self, where: Mapping[str, Any] | None = None) -> int:
        """Returns how many episodes there are; with `where`, as for a query of facts, how many match.

        >>> id = task.episodic.record("Searched the web", metadata={"results": 12})
        >>> task.episodic.count(), task.episodic.count({"results": {"$gt": 20}})
        (1, 0)
        """
        return self._shared().count(having(where))

    def prune(self, before: datetime, *, summarize: Summarize | None = None) -> int:
        """Removes the episodes that happened before a moment. Returns how many it removed.

        The text that `summarize(episodes)`, the oldest first, returns becomes one episode at that moment, in the same
        commit. It is called again if one of the episodes has changed meanwhile. Raises `ValueTooLarge`, and removes
        nothing, if one commit cannot hold them (16 MiB): then prune up to an earlier moment first. With asyncio,
        `summarize` may be a coroutine function, and a plain one runs in a worker thread.

            >>> from datetime import datetime, timezone
            >>> for text in ("woke up", "got dressed"):
            ...     id = task.episodic.record(text, at=datetime(2025, 1, 1, tzinfo=timezone.utc))
            >>> task.episodic.prune(datetime(2025, 6, 1, tzinfo=timezone.utc), summarize=lambda old: f"{len(old)} things")
            2
            >>> [episode.description for episode in task.episodic.recent()]
            ['2 things']
        """
        work = None if summarize is None else Work(summarize)
        return prune(self._embeddings, self._handle, before, work)

    def _shared(self) -> Index:
        return self._handle.engine.shared((EPISODES, self._handle.address), self._index)

    def _index(self) -> Index:
        return Index(self._handle.engine, self._handle.address, EPISODES, Timeline)

    def _find(self, id: str) -> tuple[str, RawEntry] | None:
        """Returns the path of the episode of an id, and its entry; None if there is none."""
        named = stored_at(self._handle, system_path(EPISODE_IDS, id))
        # Only an id that a caller gave has an entry with the path; a generated one is looked up in the copy.
        path = decode(named.value)["path"] if named else self._shared().ask(partial(_path_of, id))
        if path is None:
            return None
        raw = stored_at(self._handle, path)
        return None if raw is None else (path, raw)

    def _check_free(self, id: str) -> None:
        """Raises `Conflict` if an episode has this id, which has the form of generated ones: no entry guards these."""
        found = self._find(id)
        if found:
            path, raw = found
            raise Conflict(path, 0, raw.version, raw.revision, raw.agent)

    def _now(self) -> datetime:
        seconds, micros = self._handle.opening.run(("TIME",), near=self._handle.keys.meta)
        return from_micros(int(seconds) * 1_000_000 + int(micros))


def _path_of(id: str, table: Timeline, _: int) -> str | None:
    return table.path_of(id)
