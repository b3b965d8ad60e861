"""Vectors of several dimensions: a context has them while it changes from one dimension to another."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ccs._core.memory.matrix import Matrix
from ccs._core.memory.vectors import FLOAT_BYTES
from ccs.errors import InvalidValue

__all__ = ["Matrices"]


class Matrices:
    """Vectors by key, in one matrix for each dimension. A query is compared with those of its own dimension."""

    def __init__(self) -> None:
        Matrix()  # raises now if numpy is missing
        self._by_width: dict[int, Matrix] = {}

    def __repr__(self) -> str:
        return f"<Matrices {list(self._by_width.values())}>"

    def update(self, packed: Mapping[str, bytes]) -> None:
        """Adds or replaces the vector of each key; removes those that are empty."""
        for width in {len(raw) // FLOAT_BYTES for raw in packed.values() if raw} - self._by_width.keys():
            self._by_width[width] = Matrix()
        for width, matrix in list(self._by_width.items()):
            size = width * FLOAT_BYTES
            matrix.update({key: raw if len(raw) == size else b"" for key, raw in packed.items()})
            if not matrix:
                del self._by_width[width]

    def nearest(self, query: bytes, count: int, accept: Callable[[str], bool] | None = None) -> list[tuple[float, str]]:
        """Returns the `count` most similar of those accepted, as `Matrix.nearest` does.

        Raises `InvalidValue` if all vectors have another dimension than the query.
        """
        asked = len(query) // FLOAT_BYTES
        if asked in self._by_width:
            return self._by_width[asked].nearest(query, count, accept)
        if self._by_width:
            present = " or ".join(map(str, sorted(self._by_width)))
            raise InvalidValue(f"the query has {asked} numbers, the embeddings here have {present}")
        return []
