# Generated from ccs/_async/memory/embeddings.py by scripts/twin. Do not edit.
"""The embeddings of one context: how texts become vectors, and the dimension that all vectors share.

An entry of its own holds the dimension, and every commit with a vector is guarded by the revision of that entry, so all
writers agree. The dimension can change when no vector of another dimension is left. A writer that wants to change it first
closes the entry, then looks for such vectors. If there are none, its commit opens the entry with the new dimension. Every
commit with a vector opens a closed entry, so if one came between, the guard fails and the writer looks again. A writer that
finds the entry closed, for instance after a crash, goes on in the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from ccs._core.codec import decode, encode
from ccs._core.commits.commit import Applied
from ccs._core.commits.entry import RawEntry, parse_entry
from ccs._core.commits.journal import MALFORMED
from ccs._core.commits.operations import Guard, Operation, revision_guard, set_op
from ccs._core.memory.records import EMBEDDED, EMBEDDINGS, kept_in, with_vector
from ccs._core.memory.vectors import FLOAT_BYTES, pack, pack_all
from ccs._sync.context_handle import Handle
from ccs._sync.memory.stored_memories import batch
from ccs._sync.optimistic import Race
from ccs.errors import Conflict, InvalidValue, NoEmbedder

__all__ = ["Embedded", "Embeddings", "Unembedded"]


class Unembedded(NamedTuple):
    """A memory as it is given: its value, the text that is embedded, and its embedding if the caller has one."""

    value: dict[str, Any]
    text: str
    embedding: Any = None


class Embedded(NamedTuple):
    """A vector, packed, empty if there is none; and the value of the memory with it, encoded."""

    vector: bytes
    raw: bytes


class _Dimension(NamedTuple):
    """The dimension that was agreed on, and the revision of its entry; zeros if there is none."""

    size: int
    revision: int
    closed: bool = False

    def is_for(self, width: int) -> bool:
        """Returns whether this is the dimension, and vectors can be added."""
        return self.size == width and not self.closed


class _Agreed:
    """The dimension of a context, as far as this store knows it."""

    known: _Dimension | None = None


class Embeddings:
    """Makes vectors for a context, and commits memories that have one."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self._agreed = handle.engine.shared(("dimension", handle.address), _Agreed)

    def __repr__(self) -> str:
        return f"<Embeddings of {self._handle.address}, {self._agreed.known}>"

    def prepare(self, memories: Sequence[Unembedded], *, needed: bool = True) -> list[Embedded]:
        """Returns the vector of each memory, and its value encoded with that vector. The embedder is called at most once.

        If no vector is `needed` and none can be made, the vector is empty; else it raises `NoEmbedder`.
        """
        limit = self._handle.engine.max_value_bytes
        for memory in memories:
            encode(memory.value, limit)  # a value that is refused is not worth embedding
        vectors = self._vectors(memories, needed)
        values = [with_vector(memory.value, vector) for memory, vector in zip(memories, vectors, strict=True)]
        return [Embedded(vector, encode(value, limit)) for vector, value in zip(vectors, values, strict=True)]

    def _vectors(self, memories: Sequence[Unembedded], needed: bool) -> list[bytes]:
        given = [b"" if memory.embedding is None else pack(memory.embedding) for memory in memories]
        texts = [memory.text for memory, vector in zip(memories, given, strict=True) if not vector]
        if not texts or (not needed and self._handle.engine.embed is None):
            return given
        made = iter(self.embed(texts))
        return [vector or next(made) for vector in given]

    def embed(self, texts: Sequence[str]) -> list[bytes]:
        """Returns the packed vector of each text; raises `NoEmbedder`."""
        if self._handle.engine.embed is None:
            raise NoEmbedder
        return pack_all(self._handle.engine.embed(list(texts)), len(texts))

    def query(self, asked: Any) -> bytes:
        """Returns the packed vector to search for: of a text, or an embedding."""
        return self.embed([asked])[0] if isinstance(asked, str) else pack(asked)

    def commit(self, vector: bytes, operations: Sequence[Operation], guards: Sequence[Guard]) -> Applied:
        """Commits a memory with its vector, or an empty one; raises `InvalidValue` if others have another dimension."""
        if not vector:
            return self._handle.commit(operations, guards)
        width = len(vector) // FLOAT_BYTES
        race = Race("dimension of embeddings")
        while True:
            known = self._agreed.known or self._look()
            try:
                if self._admits(known, width):
                    return self._commit_as(known, width, operations, guards)
            except Conflict as conflict:
                if conflict.path != EMBEDDINGS:
                    raise
                self._agreed.known = None
                race.lose(conflict)

    def settle(self, vector: bytes) -> None:
        """Makes the dimension of a vector that of the context. The caller then embeds the memories that have another."""
        width = len(vector) // FLOAT_BYTES
        race = Race("dimension of embeddings")
        while True:
            known = self._look()
            if known.is_for(width):
                return
            try:
                self._agree(known, width)
            except Conflict as conflict:
                if conflict.path != EMBEDDINGS:
                    raise
                race.lose(conflict)

    def _admits(self, known: _Dimension, width: int) -> bool:
        """Returns whether a vector may be committed under the known dimension; False: look again. May raise `InvalidValue`."""
        if known.size in (0, width):
            return True
        if self._look() != known:
            return False
        if self._has_others(width):
            if known.closed:
                self._agree(known, known.size)
            theirs = f"the others in {self._handle.address} have {known.size}"
            raise InvalidValue(
                f"the embedding has {width} numbers, {theirs}: forget all of them, or call semantic.reembed"
            )
        if not known.closed:
            self._agree(known, known.size, closed=True)
        return known.closed

    def _has_others(self, width: int) -> bool:
        """Returns whether there is a vector of another dimension."""
        for root in EMBEDDED:
            last: str | None = ""
            while last is not None:
                entries, last = batch(self._handle, root, last)
                vectors = (kept_in(path, raw)[1] for path, raw in entries.items())
                if any(vector and len(vector) != width * FLOAT_BYTES for vector in vectors):
                    return True
        return False

    def _commit_as(
        self, known: _Dimension, width: int, operations: Sequence[Operation], guards: Sequence[Guard]
    ) -> Applied:
        agreeing = [] if known.is_for(width) else [_stating(width)]
        conditions = [*guards, revision_guard(EMBEDDINGS, known.revision)]
        applied = self._handle.commit([*operations, *agreeing], conditions)
        if agreeing:
            self._agreed.known = _Dimension(width, applied.revision)
        return applied

    def _agree(self, known: _Dimension, width: int, *, closed: bool = False) -> None:
        unchanged = revision_guard(EMBEDDINGS, known.revision)
        applied = self._handle.commit([_stating(width, closed=closed)], [unchanged])
        self._agreed.known = _Dimension(width, applied.revision, closed)

    def _look(self) -> _Dimension:
        raw = self._handle.read(("HGET", self._handle.keys.entries, EMBEDDINGS))
        try:
            known = _dimension_in(parse_entry(raw)) if raw else _Dimension(0, 0)
        except MALFORMED:
            self._handle.check_format()
            raise
        self._agreed.known = known
        return known


def _stating(width: int, *, closed: bool = False) -> Operation:
    return set_op(EMBEDDINGS, encode({"dimension": width, "closed": True} if closed else {"dimension": width}))


def _dimension_in(entry: RawEntry) -> _Dimension:
    value = decode(entry.value)
    return _Dimension(value["dimension"], entry.revision, value.get("closed", False))
