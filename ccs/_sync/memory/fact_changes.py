# Generated from ccs/_async/memory/fact_changes.py by scripts/twin. Do not edit.
"""Changing a fact: its content, its metadata or its deadline, while others may change it too."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from ccs._core.codec import decode, encode
from ccs._core.commits.entry import RawEntry
from ccs._core.commits.operations import revision_guard, set_op
from ccs._core.memory.records import SEMANTIC, SIGNATURE, fact_of, kept_in, map_of, signed, text_of, with_vector
from ccs._core.memory.vectors import pack
from ccs._core.names.system_paths import system_path
from ccs._core.quoted_values import shown
from ccs._core.times import millis
from ccs._core.values.edits import merged
from ccs._sync.context_handle import Handle
from ccs._sync.memory.embeddings import Embeddings
from ccs._sync.memory.stored_memories import stored_at
from ccs._sync.optimistic import Race
from ccs.errors import Conflict, InvalidValue
from ccs.types import Fact

__all__ = ["FactChange"]


class FactChange(NamedTuple):
    """What is to become of a fact. `vector` is empty where its own stays, `ttl` is `...` where its deadline stays."""

    content: str | None
    patch: dict[Any, Any]
    ttl: Any
    vector: bytes

    @classmethod
    def of(
        cls, embeddings: Embeddings, content: str | None, metadata: Mapping[str, Any] | None, ttl: Any, embedding: Any
    ) -> FactChange:
        """Returns a change as a caller asks for it, its new content embedded."""
        text = None if content is None else text_of(content, "content")
        patch = decode(encode(map_of(metadata, "metadata")))
        deadline = ttl if ttl is None or ttl is ... else millis(ttl)
        if embedding is not None:
            return cls(text, patch, deadline, pack(embedding))
        return cls(text, patch, deadline, b"" if text is None else embeddings.embed([text])[0])

    def apply(self, embeddings: Embeddings, handle: Handle, id: str) -> Fact:
        """Commits it. Returns the fact as it is then. Raises `InvalidValue` if there is none."""
        path = system_path(SEMANTIC, id)
        race = Race("update of a fact")
        while True:
            raw = stored_at(handle, path)
            if raw is None:
                raise InvalidValue(f"there is no fact {shown(id)} to update")
            try:
                changed = self._commit(embeddings, handle, path, raw)
            except Conflict as conflict:
                if conflict.path != path:
                    raise
                race.lose(conflict)
            else:
                return changed

    def _commit(self, embeddings: Embeddings, handle: Handle, path: str, before: RawEntry) -> Fact:
        raw = encode(self._value(before), handle.engine.max_value_bytes)
        stays = self.ttl is ...
        deadline = None if stays else self.ttl
        operation = set_op(path, raw, deadline, keep_ttl=stays, lasting=True)
        applied = embeddings.commit(self.vector, [operation], [revision_guard(path, before.revision)])
        handle.expect(deadline)
        expiry = before.expiry if stays else deadline and applied.at // 1000 + deadline
        after = before._replace(updated=applied.at, expiry=expiry or 0, agent=handle.agent, value=raw)
        return fact_of(kept_in(path, after)[0])

    def _value(self, before: RawEntry) -> dict[str, Any]:
        value = decode(before.value)
        if self.content is None and not self.vector:
            value = signed(value, before.agent, before.updated)
        else:
            value = {name: each for name, each in value.items() if name not in SIGNATURE}
        if self.content is not None:
            value["content"] = self.content
        value["metadata"] = merged("metadata", value["metadata"], self.patch)
        return with_vector(value, self.vector)
