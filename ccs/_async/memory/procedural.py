"""Procedural memory: how things are done in a context, and how well that has worked."""

from __future__ import annotations

import builtins
import random
import secrets
from collections.abc import Iterable
from typing import Any

from ccs._async.entries import Entries
from ccs._async.memory.embeddings import Space
from ccs._async.memory.search_index import Index
from ccs._async.memory.stored import forget, listed, stored_at
from ccs._compat import async_sleep
from ccs._core.checks import integer
from ccs._core.codec import encode
from ccs._core.commits.commit import revision_guard, set_op, version_guard
from ccs._core.memory.filters import Accept
from ccs._core.memory.records import (
    PROCEDURES,
    Kept,
    kept_in,
    procedure_of,
    reinforced,
    share,
    steps_of,
    text_of,
    text_of_procedure,
)
from ccs._core.memory.tables import Table
from ccs._core.names.system_paths import system_path
from ccs._core.retry import jitter
from ccs._core.shown import shown
from ccs._local import Local
from ccs.errors import Conflict, InvalidValue
from ccs.types import Procedure

__all__ = ["Procedural"]


class Procedural(Local):
    """The procedures of a context: learned and reinforced by any agent, recalled by all, as facts are."""

    def __init__(self, entries: Entries) -> None:
        self._entries, self._place = entries, entries.place
        self._space = Space(self._place)

    def __repr__(self) -> str:
        return f"<Procedural memory of {self._place.address}>"

    async def learn(
        self,
        name: str,
        steps: Iterable[Any],
        *,
        id: str | None = None,
        embedding: Any = None,
        confidence: float = 0.5,
    ) -> str:
        """Remembers how something is done; its id, one of our making where none is given.

        What is embedded, unless an `embedding` is given, is the name and the steps, a line each. An id that exists is a
        `Conflict`; errors as for a fact.

            >>> id = await task.procedural.learn("deploy", ["build", "test", "ship"], embedding=[1, 0])
            >>> [(each.name, each.steps, each.confidence) for each in await task.procedural.recall([1, 0])]
            [('deploy', ['build', 'test', 'ship'], 0.5)]
        """
        chosen = secrets.token_hex(12) if id is None else id
        path, done = system_path(PROCEDURES, chosen), steps_of(steps)
        value = {"name": text_of(name, "name"), "steps": done, "confidence": share("confidence", confidence)}
        value |= {"successes": 0, "failures": 0, "agent": self._place.agent}
        vector, raw = await self._space.remember(value, text_of_procedure(name, done), embedding)
        await self._space.commit(vector, [set_op(path, raw)], [version_guard(path, 0)], len(raw))
        return chosen

    async def recall(
        self, text_or_embedding: Any, top_k: int = 5, *, min_confidence: float = 0.0
    ) -> builtins.list[Procedure]:
        """The `top_k` procedures most similar to what is to be done, of those trusted at least so much; the best first.

        It sees what was learned and reinforced before, by anybody. `NoEmbedder` if a text is asked for and there is none.
        """
        count, least = integer("top_k", top_k, "how many, at least 1", 1), share("min_confidence", min_confidence)
        query = await self._space.query(text_or_embedding)
        index: Index = self._place.engine.shared((PROCEDURES, self._place.address), self._index)

        def nearest(table: Table, now: int) -> builtins.list[tuple[float, Kept]]:
            return table.nearest(query, count, now, _trusted(least))

        return [procedure_of(found, score) for score, found in await index.ask(nearest, searches=True)]

    async def reinforce(self, id: str, success: bool) -> float:
        """Trusts a procedure more after a success (0.1), less after a failure (0.05), within 0 and 1; the new confidence.

        Atomic: of many at once, from any process, each counts. `InvalidValue` if there is no such procedure.

            >>> id = await task.procedural.learn("deploy", ["build", "ship"], embedding=[1, 0])
            >>> await task.procedural.reinforce(id, True), await task.procedural.reinforce(id, False)
            (0.6, 0.55)
        """
        path, lost = system_path(PROCEDURES, id), 0
        while True:
            entry = await self._entries.entry(path)
            if entry is None:
                raise InvalidValue(f"there is no procedure {shown(id)} to reinforce")
            value = reinforced(entry.value, success)
            raw, guards = encode(value), [revision_guard(path, entry.revision)]
            try:
                await self._place.commit([set_op(path, raw, keep_ttl=True)], guards, len(raw), heeding=False)
                return float(value["confidence"])
            except Conflict as conflict:
                if conflict.path != path:
                    raise
            await async_sleep(jitter(lost, random.random()))
            lost += 1

    async def get(self, id: str) -> Procedure | None:
        """The procedure of an id; None where there is none."""
        path = system_path(PROCEDURES, id)
        raw = await stored_at(self._place, path)
        return None if raw is None else procedure_of(kept_in(path, raw)[0])

    async def forget(self, id: str) -> bool:
        """Removes a procedure. Returns whether it existed.

        >>> id = await task.procedural.learn("deploy", ["build", "ship"], embedding=[1, 0])
        >>> await task.procedural.forget(id), await task.procedural.forget(id), await task.procedural.list()
        (True, False, [])
        """
        return await forget(self._place, system_path(PROCEDURES, id))

    async def list(self, *, limit: int = 100, after: str | None = None) -> builtins.list[Procedure]:
        """At most `limit` procedures, in the order of their ids; the next page begins `after` the last id of this one."""
        return [procedure_of(kept) for kept in await listed(self._place, PROCEDURES, limit, after)]

    def _index(self) -> Index:
        return Index(self._place.engine, self._place.address, PROCEDURES, Table)


def _trusted(least: float) -> Accept | None:
    return (lambda memory: bool(memory.value["confidence"] >= least)) if least else None
