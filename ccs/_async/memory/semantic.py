"""Semantic memory: facts of a context, found by their meaning."""

from __future__ import annotations

import builtins
import math
import secrets
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from ccs._async.entries import Entries
from ccs._async.memory.embeddings import Embeddings
from ccs._async.memory.reembedding import Reembedding
from ccs._async.memory.search_index import Index
from ccs._async.memory.stored_memories import forget, forget_matching, listed, stored_at
from ccs._async.optimistic import Race
from ccs._compat import AsyncWork
from ccs._core.codec import encode
from ccs._core.commits.operations import Guard, Operation, revision_guard, set_op, version_guard
from ccs._core.error_text import shown
from ccs._core.memory.filters import having, some_of
from ccs._core.memory.records import SEMANTIC, Kept, fact_of, fresh, kept_in, map_of, signed, text_of
from ccs._core.memory.search_tables import Table
from ccs._core.names.system_paths import system_path
from ccs._core.number_checks import integer, real
from ccs._core.times import Duration, from_micros, millis, to_micros
from ccs._not_copyable import Local
from ccs.errors import Conflict, InvalidValue, NoEmbedder
from ccs.types import Entry, Fact, Match

__all__ = ["Semantic"]


class _New(NamedTuple):
    """A fact about to be committed."""

    vector: bytes
    operation: Operation
    guards: list[Guard]


class Semantic(Local):
    """The facts of a context: stored by any agent, found by all.

    A search is exact, and sees every fact acknowledged before it, whoever stored it. Each process that searches keeps a
    copy of the facts in memory, which the first search loads.
    """

    def __init__(self, entries: Entries) -> None:
        self._entries = entries
        self._handle = entries.handle
        self._handle.require(f"{SEMANTIC}/**")
        self._embeddings = Embeddings(self._handle)

    def __repr__(self) -> str:
        return f"<Semantic memory of {self._handle.address}>"

    async def store(
        self,
        content: str,
        *,
        id: str | None = None,
        embedding: Any = None,
        metadata: Mapping[str, Any] | None = None,
        ttl: Duration | None = None,
        replace: bool = False,
        supersedes: str | None = None,
    ) -> str:
        """Stores a fact. Returns its id, a generated one if none is given.

        `embedding` is a sequence of numbers; without it the store's embedder embeds the content, or `NoEmbedder` is raised.
        Raises `InvalidValue` for an embedding whose dimension differs from the others in the context, that has NaN or
        infinity, or that is all zeros. Raises `Conflict` if the id exists, unless `replace` is true.

        From the same commit on, no search finds the fact that this one `supersedes`; `get` still does. Raises
        `InvalidValue` if that fact does not exist, `Conflict` if another fact has superseded it.

            >>> id = await task.semantic.store("The sky is blue", embedding=[1, 0], metadata={"source": "seen"})
            >>> newer = await task.semantic.store("At night it is black", embedding=[0.9, 0.1], supersedes=id)
            >>> [match.content for match in await task.semantic.query([1, 0])]
            ['At night it is black']
            >>> (await task.semantic.get(id)).superseded_by == newer
            True
        """
        chosen = secrets.token_hex(12) if id is None else id
        if chosen == supersedes:
            raise InvalidValue(f"{shown(chosen)} cannot supersede itself: use replace=True")
        path = system_path(SEMANTIC, chosen)
        deadline = None if ttl is None else millis(ttl)
        value = {"content": text_of(content, "content"), "metadata": map_of(metadata, "metadata")}
        vector, raw = await self._embeddings.prepare(value, content, embedding)
        guards = [] if replace else [version_guard(path, 0)]
        fact = _New(vector, set_op(path, raw, deadline, lasting=True), guards)
        if supersedes is None:
            await self._embeddings.commit(vector, [fact.operation], guards)
        else:
            await self._supersede(supersedes, chosen, fact)
        self._handle.expect(deadline)
        return chosen

    async def query(
        self,
        text_or_embedding: Any,
        top_k: int = 10,
        *,
        where: Mapping[str, Any] | None = None,
        min_score: float | None = None,
    ) -> builtins.list[Match]:
        """Returns the `top_k` facts most similar to a text or an embedding, the best first; equal ones in order of ids.

        `where` keeps only facts whose metadata has these keys with equal values, or with values for which operators hold:
        `{"year": {"$gte": 2020, "$lt": 2030}}`. The operators are `$eq $ne $gt $gte $lt $lte $in $nin $exists`; any other
        name with a `$` is an `InvalidValue`. True is not 1. A value of another kind than the operand never matches `$gt`
        and the like. A missing key equals nothing, so `$ne` and `$nin` hold for it.

        The score is the cosine of the angle between the two vectors; facts that score less than `min_score` are left out.
        Raises `NoEmbedder` for a text if the store has no embedder.

            >>> id = await task.semantic.store("Redis is fast", embedding=[1, 0], metadata={"about": "redis"})
            >>> id = await task.semantic.store("Ants are strong", embedding=[0, 1], metadata={"about": "ants"})
            >>> [(match.content, match.score) for match in await task.semantic.query([1, 0], 1)]
            [('Redis is fast', 1.0)]
            >>> [match.content for match in await task.semantic.query([1, 0], where={"about": "ants"})]
            ['Ants are strong']
            >>> await task.semantic.query([1, 0], where={"about": {"$nin": ["ants", "redis"]}})
            []
        """
        count = integer("top_k", top_k, "how many matches, at least 1", 1)
        least = -math.inf if min_score is None else real("min_score", min_score, "a number", -math.inf, math.inf)
        query = await self._embeddings.query(text_or_embedding)
        accept = having(where)
        index: Index = self._handle.engine.shared((SEMANTIC, self._handle.address), self._index)

        def nearest(table: Table, now: int) -> builtins.list[tuple[float, Kept]]:
            return table.nearest(query, count, now, accept)

        found = await index.ask(nearest, searches=True)
        return [_match(score, fact) for score, fact in found if score >= least]

    async def get(self, id: str) -> Fact | None:
        """Returns the fact of an id, superseded or not; None if there is none."""
        path = system_path(SEMANTIC, id)
        raw = await stored_at(self._handle, path)
        return None if raw is None else fact_of(kept_in(path, raw)[0])

    async def forget(self, id: str) -> bool:
        """Removes a fact. Returns whether it existed. A fact that it superseded stays superseded.

        >>> id = await task.semantic.store("Ann lives in Delft", embedding=[1, 0])
        >>> await task.semantic.forget(id), await task.semantic.forget(id), await task.semantic.get(id)
        (True, False, None)
        """
        return await forget(self._handle, system_path(SEMANTIC, id))

    async def delete(self, id: str) -> bool:
        """Forgets a fact, as `forget` does."""
        return await self.forget(id)

    async def delete_matching(self, where: Mapping[str, Any]) -> int:
        """Removes the facts whose metadata matches, superseded ones too. Returns how many it removed.

        `where` is as for `query`; without a condition it raises `InvalidValue`. It works in batches, each one commit. A fact
        that is stored or changed meanwhile is removed if it matches when its batch is read.

            >>> id = await task.semantic.store("Ann lives in Delft", embedding=[1, 0], metadata={"about": "ann"})
            >>> id = await task.semantic.store("Bob lives in Bonn", embedding=[0, 1], metadata={"about": "bob"})
            >>> await task.semantic.delete_matching({"about": "ann"})
            1
            >>> [fact.content for fact in await task.semantic.list()]
            ['Bob lives in Bonn']
        """
        return await forget_matching(self._handle, SEMANTIC, some_of(where))

    async def list(
        self, *, where: Mapping[str, Any] | None = None, limit: int = 100, after: str | None = None
    ) -> builtins.list[Fact]:
        """Returns at most `limit` facts, superseded ones too, in the order of their ids (to be exact, of their paths).

        `where` is as for `query`. For the next page, give the last id of this one as `after`, even if that fact has been
        forgotten since. Needs neither numpy nor a copy of the facts.

            >>> for name in ("a", "b", "c"):
            ...     id = await task.semantic.store(name, id=name, embedding=[1, 0])
            >>> first = await task.semantic.list(limit=2)
            >>> second = await task.semantic.list(limit=2, after=first[-1].id)
            >>> [fact.id for fact in first], [fact.id for fact in second]
            (['a', 'b'], ['c'])
        """
        return [fact_of(kept) for kept in await listed(self._handle, SEMANTIC, limit, after, having(where))]

    async def reembed(self, embed: Callable[[builtins.list[str]], Any] | None = None) -> int:
        """Embeds all memories of this context again, with another model. Returns how many it embedded.

        These are facts, episodes and procedures, since they share one dimension. Each gets a vector of its text, even if
        its embedding was given; a memory that has no vector, or is superseded, stays as it is. `embed` is as for `connect`;
        without it the store's embedder is used, or `NoEmbedder` raised. An error of `embed` ends the call.

        It works in batches of a few dozen memories, each one commit, and keeps their authors, times and deadlines. A memory
        that changes meanwhile is embedded as it is then. After an error or a crash, call it again.

        The new vectors may have another dimension. From the first batch on, storing an embedding of the old dimension
        raises `InvalidValue`, and a search finds the memories whose dimension is that of its query, old or new. Of two
        concurrent calls with different dimensions, one raises `InvalidValue`. If the dimension stays the same, old and new
        vectors are compared with each other until the end, and a process that still stores with the old model leaves old
        vectors behind: change those processes first.

            >>> id = await task.semantic.store("The sky is blue", embedding=[1, 0])
            >>> await task.semantic.reembed(lambda texts: [[len(text), 1, 2] for text in texts])
            1
            >>> [match.content for match in await task.semantic.query([15, 1, 2])]
            ['The sky is blue']
        """
        work = self._handle.engine.embed if embed is None else AsyncWork(embed)
        if work is None:
            raise NoEmbedder
        return await Reembedding(self._embeddings, self._handle, work).run()

    def _index(self) -> Index:
        return Index(self._handle.engine, self._handle.address, SEMANTIC, Table)

    async def _supersede(self, target: str, by: str, fact: _New) -> None:
        path = system_path(SEMANTIC, target)
        race = Race("superseding of a fact")
        while True:
            entry = await self._entries.entry(path)
            if entry is None:
                raise InvalidValue(f"there is no fact {shown(target)} to supersede")
            if "superseded_by" in entry.value:
                raise Conflict(path, entry.version - 1, entry.version, entry.revision, entry.agent)
            raw = encode(_superseded(entry, by))
            operations = [fact.operation, set_op(path, raw, keep_ttl=True)]
            try:
                guards = [*fact.guards, revision_guard(path, entry.revision)]
                await self._embeddings.commit(fact.vector, operations, guards)
                return
            except Conflict as conflict:
                if conflict.path != path:
                    raise
                await race.lose(conflict)


def _superseded(entry: Entry, by: str) -> dict[str, Any]:
    """Returns a superseded fact; it holds who wrote it and when, since the header now names the superseding write."""
    return {**signed(entry.value, entry.agent, to_micros(entry.updated_at)), "superseded_by": by}


def _match(score: float, fact: Kept) -> Match:
    content = fact.value["content"]
    metadata = fresh(fact.value["metadata"])
    return Match(fact.id, content, score, metadata, fact.agent, from_micros(fact.stored))
