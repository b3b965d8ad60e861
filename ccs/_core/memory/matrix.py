"""Exact similarity search: vectors as the rows of one matrix, in any order, each with a key.

A search is one product of the matrix with the query, in float32. The scores of the likely best are then computed again
in float64, so that scores and their order do not depend on the index of a row. Rows are scaled by powers of two, which
changes no digit, so that no length overflows float32; their lengths are kept in float64.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ccs._core.memory.vectors import FLOAT_BYTES
from ccs.errors import InvalidValue, MissingExtra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Matrix"]

_FIRST_ROWS = 256
_BLOCK = 100
# More than the rounding error of float32 over thousands of products.
_SLACK = 1e-5
# Fewer digits than float64 has, so that equal scores are equal.
_DIGITS = 12


class Matrix:
    """Vectors by key, all of the dimension of the first one."""

    def __init__(self) -> None:
        self._np = _numpy()
        self._keys: list[str] = []
        self._row_of: dict[str, int] = {}
        self._rows: NDArray[np.float32] = self._np.empty((0, 0), self._np.float32)
        self._lengths: NDArray[np.float64] = self._np.empty(0)

    def __repr__(self) -> str:
        return f"<Matrix of {len(self)} vectors of {self.dimension} numbers>"

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def dimension(self) -> int:
        """How many numbers each vector has; 0 while there are none."""
        return self._rows.shape[1] if self._keys else 0

    def update(self, packed: Mapping[str, bytes]) -> None:
        """Adds or replaces the vector of each key; removes those that are empty."""
        for key in packed:
            self._discard(key)
        vectors = {key: raw for key, raw in packed.items() if raw}
        if not vectors:
            return
        width = self.dimension or len(next(iter(vectors.values()))) // FLOAT_BYTES
        self._append(list(vectors), self._unpack(b"".join(vectors.values()), width))

    def nearest(self, query: bytes, count: int, accept: Callable[[str], bool] | None = None) -> list[tuple[float, str]]:
        """Returns score and key of the `count` most similar of those accepted: the best first, equal ones by their keys.

        A score is the cosine, from -1 to 1. Raises `InvalidValue` if the query has another dimension.
        """
        if not self._keys:
            return []
        if len(query) != self.dimension * FLOAT_BYTES:
            width = len(query) // FLOAT_BYTES
            raise InvalidValue(f"the query has {width} numbers, the embeddings here have {self.dimension}")
        asked = self._unpack(query, self.dimension)[0]
        direction = asked / self._np.linalg.norm(asked)
        rows = self._likely(direction, count, accept)
        scores = self._rows[rows].astype(self._np.float64) @ direction / self._lengths[rows]
        found = [(_rounded(score), self._keys[row]) for score, row in zip(scores.tolist(), rows, strict=True)]
        return sorted(found, key=lambda each: (-each[0], each[1]))[:count]

    def _likely(
        self, direction: NDArray[np.float64], count: int, accept: Callable[[str], bool] | None
    ) -> NDArray[np.intp]:
        """Returns the rows of the best, and of those that may be as good within rounding."""
        # Not a matrix product: BLAS spreads that over threads, which is much slower on busy cores.
        scores = self._np.vecdot(self._rows[: len(self)], direction.astype(self._np.float32))
        scores = scores / self._lengths[: len(self)]
        likely: NDArray[np.intp] = (
            self._np.flatnonzero(scores >= self._bar(scores, count) - _SLACK)
            if accept is None
            else self._np.asarray(self._accepted(scores, count, accept), self._np.intp)
        )
        return likely

    def _accepted(self, scores: NDArray[np.float64], count: int, accept: Callable[[str], bool]) -> list[int]:
        """Returns the same of those accepted. `accept` is called for the best first, until there are enough."""
        order = self._np.argsort(scores)[::-1]
        rows: list[int] = []
        bar = -2.0
        for row, score in zip(order.tolist(), scores[order].tolist(), strict=True):
            if score < bar:
                break
            if accept(self._keys[row]):
                rows.append(row)
                bar = score - _SLACK if len(rows) == count else bar
        return rows

    def _bar(self, scores: NDArray[np.float64], count: int) -> float:
        """Returns a score that `count` rows reach, and few more. From the best of each block, in a tenth of a sort's time."""
        blocks = len(scores) // _BLOCK
        if blocks > 4 * count:
            scores = scores[: blocks * _BLOCK].reshape(blocks, _BLOCK).max(axis=1)
        if len(scores) <= count:
            return -2.0
        return float(self._np.partition(scores, len(scores) - count)[len(scores) - count])

    def _unpack(self, packed: bytes, width: int) -> NDArray[np.float64]:
        """Returns packed vectors as rows."""
        rows: NDArray[np.float64] = self._np.frombuffer(packed, "<f4").reshape(-1, width).astype(self._np.float64)
        return rows

    def _append(self, keys: list[str], rows: NDArray[np.float64]) -> None:
        start = len(self._keys)
        end = start + len(keys)
        if rows.shape[1] != self._rows.shape[1] or end > len(self._rows):
            self._grow(start, max(_FIRST_ROWS, end + end // 2), rows.shape[1])
        # Each length is split into a fraction from a half to one, and a power of two.
        self._lengths[start:end], powers = self._np.frexp(self._np.linalg.norm(rows, axis=1))
        self._rows[start:end] = self._np.ldexp(rows, -powers[:, None])
        self._row_of.update(zip(keys, range(start, end), strict=True))
        self._keys += keys

    def _grow(self, held: int, room: int, width: int) -> None:
        rows = self._np.empty((room, width), self._np.float32)
        lengths = self._np.empty(room)
        if held:
            rows[:held] = self._rows[:held]
            lengths[:held] = self._lengths[:held]
        self._rows = rows
        self._lengths = lengths

    def _discard(self, key: str) -> None:
        """Removes a row. The last row moves to its index."""
        row = self._row_of.pop(key, None)
        if row is None:
            return
        last_key = self._keys.pop()
        last = len(self._keys)
        if row == last:
            return
        self._rows[row] = self._rows[last]
        self._lengths[row] = self._lengths[last]
        self._keys[row] = last_key
        self._row_of[last_key] = row


def _rounded(score: float) -> float:
    # Rounding errors may lead past 1.
    return max(-1.0, min(1.0, round(score, _DIGITS)))


def _numpy() -> Any:
    # An extra, so imported only for the first search.
    try:
        return importlib.import_module("numpy")
    except ImportError:
        raise MissingExtra("searching by similarity", "numpy", "semantic") from None
