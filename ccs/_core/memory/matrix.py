"""Exact similarity search: vectors as the rows of one matrix, in no order, each under a key.

A search is one product of the matrix with the query, in float32. Only those that may be among the best are then
computed in float64, so that scores and their order do not depend on where a row happens to lie. Rows are scaled by
powers of two, which changes no digit, so that no length is too much for float32; their lengths are kept in float64.
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

_FIRST_ROWS, _BLOCK = 256, 100
# More than float32 rounds off in thousands of products; and fewer digits than float64 does, so that equals are equal.
_SLACK, _DIGITS = 1e-5, 12


class Matrix:
    """Vectors by key, all of one dimension: that of the first one."""

    def __init__(self) -> None:
        self._np = _numpy()
        self._keys: list[str] = []
        self._places: dict[str, int] = {}
        self._rows: NDArray[np.float32] = self._np.empty((0, 0), self._np.float32)
        self._lengths: NDArray[np.float64] = self._np.empty(0)

    def __repr__(self) -> str:
        return f"<Matrix of {len(self)} vectors of {self.dimension} numbers>"

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def dimension(self) -> int:
        """How many numbers each has; 0 while there are none."""
        return self._rows.shape[1] if self._keys else 0

    def update(self, packed: Mapping[str, bytes]) -> None:
        """Puts in, or replaces, the vector of each key; takes out those that are empty."""
        for key in packed:
            self._discard(key)
        vectors = {key: raw for key, raw in packed.items() if raw}
        if not vectors:
            return
        width = self.dimension or len(next(iter(vectors.values()))) // FLOAT_BYTES
        self._append(list(vectors), self._unpack(b"".join(vectors.values()), width))

    def nearest(self, query: bytes, count: int, accept: Callable[[str], bool] | None = None) -> list[tuple[float, str]]:
        """The `count` most similar of those accepted: score and key, the best first, equal ones in order of their keys.

        `InvalidValue` where the query is of another dimension.
        """
        if not self._keys:
            return []
        if len(query) != self.dimension * FLOAT_BYTES:
            width = len(query) // FLOAT_BYTES
            raise InvalidValue(f"the query has {width} numbers, the embeddings here have {self.dimension}")
        asked = self._unpack(query, self.dimension)[0]
        direction = asked / self._np.linalg.norm(asked)
        places = self._likely(direction, count, accept)
        scores = self._rows[places].astype(self._np.float64) @ direction / self._lengths[places]
        keys = (self._keys[place] for place in places)
        # Rounding may lead past one.
        found = [
            (max(-1.0, min(1.0, round(score, _DIGITS))), key) for score, key in zip(scores.tolist(), keys, strict=True)
        ]
        return sorted(found, key=lambda each: (-each[0], each[1]))[:count]

    def _likely(
        self, direction: NDArray[np.float64], count: int, accept: Callable[[str], bool] | None
    ) -> NDArray[np.intp]:
        """The places of the best, and of those as good but for rounding."""
        # Not a matrix product: BLAS shares that out among threads, which is slower on busy cores, by far.
        scores = self._np.vecdot(self._rows[: len(self)], direction.astype(self._np.float32))
        scores = scores / self._lengths[: len(self)]
        likely: NDArray[np.intp] = (
            self._np.flatnonzero(scores >= self._bar(scores, count) - _SLACK)
            if accept is None
            else self._np.asarray(self._accepted(scores, count, accept), self._np.intp)
        )
        return likely

    def _accepted(self, scores: NDArray[np.float64], count: int, accept: Callable[[str], bool]) -> list[int]:
        """The same of those accepted: asked about one after the other, the best first, until there are enough."""
        order = self._np.argsort(scores)[::-1]
        places, bar = list[int](), -2.0
        for place, score in zip(order.tolist(), scores[order].tolist(), strict=True):
            if score < bar:
                break
            if accept(self._keys[place]):
                places.append(place)
                bar = score - _SLACK if len(places) == count else bar
        return places

    def _bar(self, scores: NDArray[np.float64], count: int) -> float:
        """A score that at least `count` reach, and not many more: with the best of each block, a tenth of a sort."""
        blocks = len(scores) // _BLOCK
        if blocks > 4 * count:
            scores = scores[: blocks * _BLOCK].reshape(blocks, _BLOCK).max(axis=1)
        if len(scores) <= count:
            return -2.0
        return float(self._np.partition(scores, len(scores) - count)[len(scores) - count])

    def _unpack(self, packed: bytes, width: int) -> NDArray[np.float64]:
        """Packed vectors, a row each."""
        rows: NDArray[np.float64] = self._np.frombuffer(packed, "<f4").reshape(-1, width).astype(self._np.float64)
        return rows

    def _append(self, keys: list[str], rows: NDArray[np.float64]) -> None:
        start, end = len(self._keys), len(self._keys) + len(keys)
        if rows.shape[1] != self._rows.shape[1] or end > len(self._rows):
            self._grow(start, max(_FIRST_ROWS, end + end // 2), rows.shape[1])
        # Each length as a fraction from a half to one, and the power of two that goes with it.
        self._lengths[start:end], powers = self._np.frexp(self._np.linalg.norm(rows, axis=1))
        self._rows[start:end] = self._np.ldexp(rows, -powers[:, None])
        self._places.update(zip(keys, range(start, end), strict=True))
        self._keys += keys

    def _grow(self, held: int, room: int, width: int) -> None:
        rows, lengths = self._np.empty((room, width), self._np.float32), self._np.empty(room)
        if held:
            rows[:held], lengths[:held] = self._rows[:held], self._lengths[:held]
        self._rows, self._lengths = rows, lengths

    def _discard(self, key: str) -> None:
        """Takes a row out; the last one moves to its place."""
        place = self._places.pop(key, None)
        if place is None:
            return
        last = self._keys.pop()
        if last != key:
            self._rows[place], self._lengths[place] = self._rows[len(self._keys)], self._lengths[len(self._keys)]
            self._keys[place], self._places[last] = last, place


def _numpy() -> Any:
    # An extra, so imported only when somebody searches.
    try:
        return importlib.import_module("numpy")
    except ImportError:
        raise MissingExtra("searching by similarity", "numpy", "semantic") from None
