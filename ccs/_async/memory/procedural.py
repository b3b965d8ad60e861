"""Procedural memory: how things are done in a context, and how well that has worked."""

from __future__ import annotations

import builtins
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from ccs._async.entries import Entries
from ccs._async.memory.embeddings import Embeddings, Unembedded
from ccs._async.memory.search_index import Index
from ccs._async.memory.stored_memories import forget, listed, stored_at
from ccs._async.optimistic import Race
from ccs._core.codec import encode
from ccs._core.commits.operations import revision_guard, set_op, version_guard
from ccs._core.memory.filters import Accept
from ccs._core.memory.given import distinct_paths, given_memories
from ccs._core.memory.records import (
    PROCEDURES,
    kept_in,
    procedure_of,
    reinforced,
    share,
    steps_of,
    text_of,
    text_of_procedure,
)
from ccs._core.memory.search import Search
from ccs._core.memory.search_tables import Table
from ccs._core.memory.vectors import any_of
from ccs._core.names.system_paths import system_path
from ccs._core.number_checks import integer
from ccs._core.quoted_values import shown
from ccs._not_copyable import Local
from ccs.errors import Conflict, InvalidValue
from ccs.types import Procedure

__all__ = ["Procedural"]


class GivenProcedure(NamedTuple):
    """A procedure as a caller gives it."""

    name: str
    steps: Iterable[Any]
    id: str | None = None
    embedding: Any = None
    confidence: float = 0.5

    def unembedded(self, agent: str) -> Unembedded:
        """Returns it as it is stored, but for its vector. Raises `InvalidValue` for what cannot be stored."""
        steps = steps_of(self.steps)
        value = {"name": text_of(self.name, "name"), "steps": steps, "confidence": share("confidence", self.confidence)}
        value |= {"successes": 0, "failures": 0, "agent": agent}
        return Unembedded(value, text_of_procedure(self.name, steps), self.embedding)


class Procedural(Local):
    """The procedures of a context: learned and reinforced by any agent, recalled by all, as facts are."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries
        self._handle = entries.handle
        self._handle.require(f"{PROCEDURES}/**")
        self._embeddings = Embeddings(self._handle)

    def __repr__(self) -> str:
        return f"<Procedural memory of {self._handle.address}>"

    async def learn(
        self,
        name: str,
        steps: Iterable[Any],
        *,
        id: str | None = None,
        embedding: Any = None,
        confidence: float = 0.5,
    ) -> str:
        """Stores how something is done. Returns its id, a generated one if none is given.

        Without an `embedding`, the name and the steps are embedded, one line each. Raises `Conflict` if the id exists, and
        otherwise as storing a fact does.

            >>> id = await task.procedural.learn("deploy", ["build", "test", "ship"], embedding=[1, 0])
            >>> [(each.name, each.steps, each.confidence) for each in await task.procedural.recall([1, 0])]
            [('deploy', ['build', 'test', 'ship'], 0.5)]
        """
        return (await self._learn([GivenProcedure(name, steps, id, embedding, confidence)]))[0]

    async def learn_many(self, procedures: Iterable[Mapping[str, Any]]) -> builtins.list[str]:
        """Stores several, each a map with the arguments of `learn`, in one commit, all or none. Returns their ids, in order.

        The embedder is called once. Raises as `learn` does, and `InvalidValue` if two of them have one id.

            >>> given = [{"name": name, "steps": ["look"], "id": name, "embedding": [1, 0]} for name in ("a", "b")]
            >>> await task.procedural.learn_many(given)
            ['a', 'b']
        """
        return await self._learn(given_memories(GivenProcedure, procedures))

    async def _learn(self, given: Sequence[GivenProcedure]) -> builtins.list[str]:
        ids = [secrets.token_hex(12) if each.id is None else each.id for each in given]
        paths = distinct_paths(PROCEDURES, ids)
        made = await self._embeddings.prepare([each.unembedded(self._handle.agent) for each in given])
        if given:
            operations = [set_op(path, raw) for path, (_, raw) in zip(paths, made, strict=True)]
            guards = [version_guard(path, 0) for path in paths]
            await self._embeddings.commit(any_of(each.vector for each in made), operations, guards)
        return ids

    async def recall(
        self, text_or_embedding: Any, top_k: int = 5, *, min_confidence: float = 0.0
    ) -> builtins.list[Procedure]:
        """Returns the `top_k` procedures most similar to a text or an embedding, the best first.

        It leaves out those whose confidence is below `min_confidence`. It sees every procedure acknowledged before, by any
        agent. Raises `NoEmbedder` for a text if the store has no embedder.
        """
        search = Search(
            integer("top_k", top_k, "how many, at least 1", 1), _trusted(share("min_confidence", min_confidence))
        )
        query = await self._embeddings.query(text_or_embedding)
        return [procedure_of(found, score) for score, found in await self._shared().search(query, search)]

    async def reinforce(self, id: str, success: bool) -> float:
        """Raises the confidence after a success (by 0.1), lowers it after a failure (by 0.05). Returns the new confidence.

        It stays between 0 and 1. Atomic: concurrent calls from any process all count. Raises `InvalidValue` if there is no
        such procedure.

            >>> id = await task.procedural.learn("deploy", ["build", "ship"], embedding=[1, 0])
            >>> await task.procedural.reinforce(id, True), await task.procedural.reinforce(id, False)
            (0.6, 0.55)
        """
        path = system_path(PROCEDURES, id)
        race = Race("reinforcement")
        while True:
            entry = await self._entries.entry(path)
            if entry is None:
                raise InvalidValue(f"there is no procedure {shown(id)} to reinforce")
            value = reinforced(entry.value, success)
            raw = encode(value)
            guards = [revision_guard(path, entry.revision)]
            try:
                await self._handle.commit([set_op(path, raw, keep_ttl=True)], guards)
                return float(value["confidence"])
            except Conflict as conflict:
                if conflict.path != path:
                    raise
                await race.lose(conflict)

    async def get(self, id: str) -> Procedure | None:
        """Returns the procedure of an id; None if there is none."""
        path = system_path(PROCEDURES, id)
        raw = await stored_at(self._handle, path)
        return None if raw is None else procedure_of(kept_in(path, raw)[0])

    async def forget(self, id: str) -> bool:
        """Removes a procedure. Returns whether it existed.

        >>> id = await task.procedural.learn("deploy", ["build", "ship"], embedding=[1, 0])
        >>> await task.procedural.forget(id), await task.procedural.forget(id), await task.procedural.list()
        (True, False, [])
        """
        return await forget(self._handle, system_path(PROCEDURES, id))

    async def list(self, *, limit: int = 100, after: str | None = None) -> builtins.list[Procedure]:
        """Returns at most `limit` procedures in the order of their ids; for the next page, give the last id as `after`."""
        return [procedure_of(kept) for kept in await listed(self._handle, PROCEDURES, limit, after)]

    async def count(self) -> int:
        """Returns how many procedures there are."""
        return await self._shared().count(None)

    def _shared(self) -> Index:
        return self._handle.engine.shared((PROCEDURES, self._handle.address), self._index)

    def _index(self) -> Index:
        return Index(self._handle.engine, self._handle.address, PROCEDURES, Table)


def _trusted(least: float) -> Accept | None:
    return (lambda memory: bool(memory.value["confidence"] >= least)) if least else None
