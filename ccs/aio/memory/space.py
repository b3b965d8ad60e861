"""The embeddings of one context: how texts become vectors, and the dimension that all of them share.

The dimension stands in an entry of its own, and every commit with a vector is guarded by it: so it holds for all who
write, whoever was first. It can change only while the context remembers nothing at all.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from ccs._core.codec import decode, encode
from ccs._core.commit import Applied, Guard, Operation, nothing_below, revision_guard, set_op
from ccs._core.entry import parse_entry
from ccs._core.memories import EMBEDDINGS, EPISODES, PROCEDURES, SEMANTIC, with_vector
from ccs._core.vectors import FLOAT_BYTES, only_vector, pack
from ccs.aio.place import Place
from ccs.errors import Conflict, InvalidValue, NoEmbedder

__all__ = ["Space"]

_ROOTS = [f"{root}/" for root in (SEMANTIC, EPISODES, PROCEDURES)]


class _Dimension(NamedTuple):
    """What was agreed on, and the revision of the entry that says so; zeros where nothing is."""

    size: int
    revision: int


class _Agreed:
    """What this store knows of the dimension of a context."""

    known: _Dimension | None = None


class Space:
    """Makes vectors for a context, and commits memories that have one."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._agreed = place.engine.shared(("dimension", place.address), _Agreed)

    def __repr__(self) -> str:
        return f"<Space of {self._place.address}, {self._agreed.known}>"

    async def vector(self, text: str, embedding: Any = None) -> bytes:
        """The vector of a text, packed: the one that is given, or else what the embedder makes; `NoEmbedder`."""
        if embedding is not None:
            return pack(embedding)
        if self._place.engine.embed is None:
            raise NoEmbedder
        return only_vector(await self._place.engine.embed([text]))

    async def remember(
        self, value: dict[str, Any], text: str, embedding: Any, *, needed: bool = True
    ) -> tuple[bytes, bytes]:
        """The vector of a memory, and its value with that as stored.

        Where none is `needed` and none can be made, there is none, and the vector is empty.
        """
        limit = self._place.engine.max_value_bytes
        encode(value, limit)  # what is refused is not worth embedding
        if embedding is None and not needed and self._place.engine.embed is None:
            return b"", encode(value, limit)
        vector = await self.vector(text, embedding)
        return vector, encode(with_vector(value, vector), limit)

    async def query(self, asked: Any) -> bytes:
        """The vector of what a search asks for: a text, or an embedding."""
        return await self.vector(asked) if isinstance(asked, str) else pack(asked)

    async def commit(self, vector: bytes, operations: list[Operation], guards: list[Guard], size: int) -> Applied:
        """Commits a memory with its vector, which may be empty; `InvalidValue` where others are of another dimension."""
        if not vector:
            return await self._place.commit(operations, guards, size, heeding=False)
        while True:
            known = self._agreed.known or await self._look()
            try:
                return await self._commit_as(known, len(vector) // FLOAT_BYTES, operations, guards, size)
            except Conflict as conflict:
                if conflict.path != EMBEDDINGS:
                    raise
                self._agreed.known = None

    async def _commit_as(
        self, known: _Dimension, dimension: int, operations: list[Operation], guards: list[Guard], size: int
    ) -> Applied:
        agreeing, conditions = _agreement(known, dimension)
        try:
            applied = await self._place.commit([*operations, *agreeing], [*guards, *conditions], size, heeding=False)
        except Conflict as conflict:
            if conflict.path not in _ROOTS:
                raise
            theirs = f"the others in {self._place.address} have {known.size}"
            raise InvalidValue(f"the embedding has {dimension} numbers, {theirs}") from None
        if agreeing:
            self._agreed.known = _Dimension(dimension, applied.revision)
        return applied

    async def _look(self) -> _Dimension:
        raw = await self._place.connection.run(("HGET", self._place.keys.entries, EMBEDDINGS))
        entry = parse_entry(raw) if raw else None
        known = _Dimension(decode(entry.value)["dimension"], entry.revision) if entry else _Dimension(0, 0)
        self._agreed.known = known
        return known


def _agreement(known: _Dimension, dimension: int) -> tuple[list[Operation], list[Guard]]:
    """What a commit has to say of the dimension, and under which conditions."""
    unchanged = revision_guard(EMBEDDINGS, known.revision)
    if known.size == dimension:
        return [], [unchanged]
    agreed = set_op(EMBEDDINGS, encode({"dimension": dimension}))
    return [agreed], [unchanged, *(nothing_below(root) for root in _ROOTS if known.size)]
