"""Semantic memory: facts of a context, found by their meaning."""

from __future__ import annotations

import builtins
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal

from ccs._async.context_handle import Handle
from ccs._async.entries import Entries
from ccs._async.memory.embeddings import Embeddings
from ccs._async.memory.fact_changes import FactChange
from ccs._async.memory.new_facts import GivenFact, store_facts
from ccs._async.memory.reembedding import Reembedding
from ccs._async.memory.search_index import Index
from ccs._async.memory.stored_memories import forget, forget_matching, listed, stored_at
from ccs._compat import AsyncWork
from ccs._core.memory.filters import having, some_of
from ccs._core.memory.given import given_memories
from ccs._core.memory.records import SEMANTIC, fact_of, kept_in, match_of
from ccs._core.memory.search import Search
from ccs._core.memory.search_tables import Table
from ccs._core.names.system_paths import system_path
from ccs._core.times import Duration
from ccs._not_copyable import Local
from ccs.errors import NoEmbedder
from ccs.types import Fact, Match, MemoryStats

__all__ = ["Semantic", "found_in"]


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
        fact = GivenFact(content, id, embedding, metadata, ttl, replace, supersedes)
        return (await store_facts(self._entries, self._embeddings, [fact]))[0]

    async def store_many(self, facts: Iterable[str | Mapping[str, Any]]) -> builtins.list[str]:
        """Stores facts in one commit, all or none. Returns their ids, in the same order.

        A fact is its content, or a map with the arguments of `store`. The embedder is called once, for all that come without
        an embedding. Raises as `store` does, and `InvalidValue` if two of them have one id, or supersede one fact; and
        `ValueTooLarge` if one commit cannot hold them (16 MiB): then give fewer at a time.

            >>> facts = [{"content": name, "id": name, "embedding": [1, 0]} for name in ("a", "b")]
            >>> await task.semantic.store_many(facts)
            ['a', 'b']
        """
        return await store_facts(self._entries, self._embeddings, given_memories(GivenFact, facts))

    async def update(
        self,
        id: str,
        *,
        content: str | None = None,
        metadata: Mapping[str, Any] | None = None,
        ttl: Any = ...,
        embedding: Any = None,
    ) -> Fact:
        """Changes a fact, and only what is given. Returns it as it is then. Atomic: concurrent calls all count.

        `metadata` is merged into that of the fact by RFC 7396, as `merge` does: None removes a key. `ttl` moves the deadline,
        and None removes it. New content is embedded, unless an `embedding` is given; without it, the vector stays. New content
        or a new embedding is by this agent and of now, as with `replace`; else the fact keeps who stored it, and when. Raises
        `InvalidValue` if there is no such fact, and for embeddings as `store` does.

            >>> id = await task.semantic.store("Ann lives in Delft", embedding=[1, 0], metadata={"about": "ann", "year": 2019})
            >>> fact = await task.semantic.update(id, metadata={"checked": True, "year": None})
            >>> fact.content, fact.metadata
            ('Ann lives in Delft', {'about': 'ann', 'checked': True})
        """
        change = await FactChange.of(self._embeddings, content, metadata, ttl, embedding)
        return await change.apply(self._embeddings, self._handle, id)

    async def query(
        self,
        text_or_embedding: Any,
        top_k: int = 10,
        *,
        where: Mapping[str, Any] | None = None,
        min_score: float | None = None,
        recency: Duration | None = None,
        weight: float = 0.5,
        keywords: str | Iterable[str] | None = None,
        mode: Literal["vector", "hybrid"] = "vector",
    ) -> builtins.list[Match]:
        """Returns the `top_k` facts most similar to a text or an embedding, the best first; equal ones in order of ids.

        `where` keeps only facts whose metadata has these keys with equal values, or with values for which operators hold:
        `{"year": {"$gte": 2020, "$lt": 2030}}`. The operators are `$eq $ne $gt $gte $lt $lte $in $nin $exists`; any other
        name with a `$` is an `InvalidValue`. True is not 1. A value of another kind than the operand never matches `$gt`
        and the like. A missing key equals nothing, so `$ne` and `$nin` hold for it. `keywords` keeps only facts whose content
        has all the words of this text, or of these.

        The score is the cosine of the angle between the two vectors. With `recency`, a half-life, it fades with age:
        `(1 - weight) * cosine + weight * 0.5 ** (age / recency)`, where the age is the server's time now less `stored_at`.
        With `mode="hybrid"`, this ranking is fused with one by the words of the query (BM25), and the score is the sum of
        `1 / (60 + rank)` over the first 100 of both, or the first `top_k`, if these are more. A query by an embedding has no
        words but its `keywords`. Facts that score less than `min_score` are left out.

        Raises `NoEmbedder` for a text if the store has no embedder.

            >>> id = await task.semantic.store("Redis is fast", embedding=[1, 0], metadata={"about": "redis"})
            >>> id = await task.semantic.store("Ants are strong", embedding=[0, 1], metadata={"about": "ants"})
            >>> [(match.content, match.score) for match in await task.semantic.query([1, 0], 1)]
            [('Redis is fast', 1.0)]
            >>> [match.content for match in await task.semantic.query([1, 0], where={"about": "ants"})]
            ['Ants are strong']
            >>> await task.semantic.query([1, 0], where={"about": {"$nin": ["ants", "redis"]}})
            []
            >>> [match.content for match in await task.semantic.query([1, 0], keywords="strong ants")]
            ['Ants are strong']
        """
        search = Search.of(
            text_or_embedding,
            top_k,
            where=where,
            min_score=min_score,
            recency=recency,
            weight=weight,
            keywords=keywords,
            mode=mode,
        )
        return await found_in(self._handle, await self._embeddings.query(text_or_embedding), search)

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

    async def count(self, where: Mapping[str, Any] | None = None) -> int:
        """Returns how many facts there are, superseded ones too; with `where`, as for `query`, how many match.

        It counts in the copy of the facts, which it loads if nothing has yet.

            >>> id = await task.semantic.store("Ann lives in Delft", embedding=[1, 0], metadata={"about": "ann"})
            >>> await task.semantic.count(), await task.semantic.count({"about": "bob"})
            (1, 0)
        """
        return await _index_of(self._handle).count(having(where))

    async def stats(self) -> MemoryStats:
        """Returns what the facts of this context cost this process: how many, how large, and since when they are loaded.

        They are those that were acknowledged before. It loads them if nothing has yet.
        """
        return await _index_of(self._handle).stats()

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


async def found_in(handle: Handle, query: bytes, search: Search) -> list[Match]:
    """Returns the facts of a context that a search finds for a packed vector."""
    found = await _index_of(handle).search(query, search)
    return [match_of(fact, score, handle.address) for score, fact in found]


def _index_of(handle: Handle) -> Index:
    return handle.engine.shared(
        (SEMANTIC, handle.address), partial(Index, handle.engine, handle.address, SEMANTIC, Table)
    )
