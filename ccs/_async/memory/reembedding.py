"""Embedding again: the memories of a context get vectors of another model, in place, while others read and write.

The dimension changes first, so from then on nothing is stored with the old one. Then all memories are visited in the order
of their paths, a few dozen in each commit. So no vector of the old dimension is left at the end, and a run that was
interrupted can be repeated. Meanwhile a search finds the memories whose dimension is that of its query.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from ccs._async.context_handle import Handle
from ccs._async.memory.embeddings import Embeddings
from ccs._async.memory.stored_memories import batch
from ccs._async.optimistic import Race
from ccs._compat import AsyncWork
from ccs._core.codec import encode
from ccs._core.commits.entry import RawEntry
from ccs._core.commits.operations import revision_guard, set_op
from ccs._core.memory.records import EMBEDDED, kept_in, reembedded, text_in
from ccs._core.memory.vectors import pack_all
from ccs._log import logger
from ccs.errors import Conflict

__all__ = ["Reembedding"]

# Memories in a batch: few enough for one call of an embedder, and for a commit with longer vectors.
_AT_A_TIME = 64


class Reembedding:
    """One run through all memories of a context."""

    def __init__(self, embeddings: Embeddings, handle: Handle, embed: AsyncWork) -> None:
        self._embeddings = embeddings
        self._handle = handle
        self._embed = embed
        self._vectors: dict[str, bytes] = {}
        self._settled = False

    def __repr__(self) -> str:
        return f"<Reembedding of {self._handle.address}>"

    async def run(self) -> int:
        """Gives a new vector to every memory that has one. Returns how many memories that were."""
        done = 0
        for root in EMBEDDED:
            last: str | None = ""
            while last is not None:
                count, last = await self._embed_batch(root, last)
                done += count
                logger.info("embedded %d memories again in %s, now at %r", done, self._handle.address, last)
        return done

    async def _embed_batch(self, root: str, after: str) -> tuple[int, str | None]:
        """Embeds and commits the next memories, again if they have changed. Returns how many, and the last path."""
        race = Race("reembedding")
        self._vectors.clear()
        while True:
            entries, last = await batch(self._handle, root, after, _AT_A_TIME)
            texts = _texts(entries)
            try:
                await self._commit(entries, texts)
            except Conflict as conflict:
                if conflict.path not in texts:
                    raise
                await race.lose(conflict)
            else:
                return len(texts), last

    async def _commit(self, entries: Mapping[str, RawEntry], texts: Mapping[str, str]) -> None:
        if not texts:
            return
        await self._make_vectors(texts.values())
        vectors = {path: self._vectors[text] for path, text in texts.items()}
        vector = next(iter(vectors.values()))
        if not self._settled:  # only once: of two concurrent runs with different dimensions one must fail
            await self._embeddings.settle(vector)
            self._settled = True
        limit = self._handle.engine.max_value_bytes
        values = {path: encode(reembedded(entries[path], vectors[path]), limit) for path in texts}
        operations = [set_op(path, raw, keep_ttl=True) for path, raw in values.items()]
        guards = [revision_guard(path, entries[path].revision) for path in texts]
        await self._embeddings.commit(vector, operations, guards)

    async def _make_vectors(self, texts: Iterable[str]) -> None:
        """Embeds the texts that have no vector yet, each once."""
        missing = sorted(set(texts) - self._vectors.keys())
        if missing:
            vectors = pack_all(await self._embed(missing), len(missing))
            self._vectors.update(zip(missing, vectors, strict=True))


def _texts(entries: Mapping[str, RawEntry]) -> dict[str, str]:
    """Returns the text of each memory that has a vector, by path."""
    memories = {path: kept_in(path, raw) for path, raw in entries.items()}
    return {path: text_in(path, memory.value) for path, (memory, vector) in memories.items() if vector}
