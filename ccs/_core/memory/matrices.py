"""Vectors of several dimensions: while a context changes from one to another, it has some of both."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ccs._core.memory.matrix import Matrix
from ccs._core.memory.vectors import FLOAT_BYTES
from ccs.errors import InvalidValue

__all__ = ["Matrices"]


class Matrices:
    """Vectors by key, a matrix for each dimension that there is. A search looks among those of its own."""

    def __init__(self) -> None:
        Matrix()  # without numpy this is the time to say so
        self._by_width: dict[int, Matrix] = {}

    def __repr__(self) -> str:
        return f"<Matrices {list(self._by_width.values())}>"

    def update(self, packed: Mapping[str, bytes]) -> None:
        """Puts in, or replaces, the vector of each key; takes out those that are empty."""
        for width in {len(raw) // FLOAT_BYTES for raw in packed.values() if raw} - self._by_width.keys():
            self._by_width[width] = Matrix()
        for width, matrix in list(self._by_width.items()):
            size = width * FLOAT_BYTES
            matrix.update({key: raw if len(raw) == size else b"" for key, raw in packed.items()})
            if not matrix:
                del self._by_width[width]

    def nearest(self, query: bytes, count: int, accept: Callable[[str], bool] | None = None) -> list[tuple[float, str]]:
        """The `count` most similar of those accepted, as a matrix finds them.

        `InvalidValue` where all that there are have another dimension.
        """
        asked = len(query) // FLOAT_BYTES
        if asked in self._by_width:
            return self._by_width[asked].nearest(query, count, accept)
        if self._by_width:
            present = " or ".join(map(str, sorted(self._by_width)))
            raise InvalidValue(f"the query has {asked} numbers, the embeddings here have {present}")
        return []
