"""Vectors of several dimensions: a context has them while it changes from one dimension to another."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

from ccs._core.memory.matrix import Fade, Matrix, Row
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

    def __contains__(self, key: str) -> bool:
        return any(key in matrix for matrix in self._by_width.values())

    @property
    def size(self) -> int:
        """How many bytes all arrays take."""
        return sum(matrix.size for matrix in self._by_width.values())

    @property
    def dimension(self) -> int:
        """How many numbers the most of the vectors have; 0 while there are none."""
        largest = max(self._by_width.values(), key=len, default=None)
        return largest.dimension if largest else 0

    def update(self, rows: Mapping[str, Row]) -> None:
        """Adds or replaces the row of each key; removes it if its vector is empty."""
        widths = {len(row.vector) // FLOAT_BYTES for row in rows.values() if row.vector}
        for width in widths - self._by_width.keys():
            self._by_width[width] = Matrix()
        for width, matrix in list(self._by_width.items()):
            size = width * FLOAT_BYTES
            matrix.update({key: row if len(row.vector) == size else Row(b"", 0) for key, row in rows.items()})
            if not matrix:
                del self._by_width[width]

    def nearest(
        self,
        query: bytes,
        count: int,
        accept: Callable[[str], bool] | None = None,
        *,
        among: Iterable[str] | None = None,
        fade: Fade | None = None,
    ) -> list[tuple[float, str]]:
        """Returns the `count` most similar of those accepted, as `Matrix.nearest` does.

        Raises `InvalidValue` if all vectors have another dimension than the query.
        """
        asked = len(query) // FLOAT_BYTES
        if asked in self._by_width:
            return self._by_width[asked].nearest(query, count, accept, among=among, fade=fade)
        if self._by_width:
            present = " or ".join(map(str, sorted(self._by_width)))
            raise InvalidValue(f"the query has {asked} numbers, the embeddings here have {present}")
        return []
