"""Exact similarity search: vectors as the rows of one matrix, in any order, each with a key.

A search is one product of the matrix with the query, in float32. The scores of the likely best are then computed again
in float64, so that scores and their order do not depend on the index of a row. Rows are scaled by powers of two, which
changes no digit, so that no length overflows float32; their lengths are kept in float64.

A score may fade with age. Then each row's time counts as well: see `Fade`.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from ccs._core.memory.best_rows import NO_SCORE, best_rows, rounded
from ccs._core.memory.vectors import FLOAT_BYTES
from ccs.errors import InvalidValue, MissingExtra

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["Fade", "Matrix", "Row", "import_numpy"]

_FIRST_ROWS = 256
# More than the rounding error of float32 over thousands of products.
_SLACK = 1e-5


class Row(NamedTuple):
    """A packed vector, empty if there is none, and when its memory was stored (µs)."""

    vector: bytes
    stored: int


class Fade(NamedTuple):
    """A score that fades with age: (1 - weight) * cosine + weight * 0.5 ** (age / half_life); times in µs."""

    now: int
    half_life: int
    weight: float

    def score(self, cosine: float, stored: float) -> float:
        """Returns the score of a memory stored then; what is stored later than now has no age."""
        age = max(0.0, self.now - stored)
        return (1.0 - self.weight) * cosine + self.weight * math.pow(0.5, age / self.half_life)

    def scores(self, numpy: Any, cosines: NDArray[np.float64], stored: NDArray[np.float64]) -> NDArray[np.float64]:
        """Returns the same of many, within rounding."""
        ages = numpy.maximum(0.0, self.now - stored)
        faded: NDArray[np.float64] = (1.0 - self.weight) * cosines + self.weight * numpy.exp2(-ages / self.half_life)
        return faded


class Matrix:
    """Vectors by key, all of the dimension of the first one."""

    def __init__(self) -> None:
        self._np = import_numpy()
        self._keys: list[str] = []
        self._row_of: dict[str, int] = {}
        self._rows: NDArray[np.float32] = self._np.empty((0, 0), self._np.float32)
        self._lengths: NDArray[np.float64] = self._np.empty(0)
        self._times: NDArray[np.float64] = self._np.empty(0)

    def __repr__(self) -> str:
        return f"<Matrix of {len(self)} vectors of {self.dimension} numbers>"

    def __len__(self) -> int:
        return len(self._keys)

    @property
    def dimension(self) -> int:
        """How many numbers each vector has; 0 while there are none."""
        return self._rows.shape[1] if self._keys else 0

    @property
    def size(self) -> int:
        """How many bytes its arrays take, with room for more rows."""
        return int(self._rows.nbytes + self._lengths.nbytes + self._times.nbytes)

    def __contains__(self, key: str) -> bool:
        return key in self._row_of

    def update(self, rows: Mapping[str, Row]) -> None:
        """Adds or replaces the row of each key; removes it if its vector is empty."""
        for key in rows:
            self._discard(key)
        held = {key: row for key, row in rows.items() if row.vector}
        if not held:
            return
        width = self.dimension or len(next(iter(held.values())).vector) // FLOAT_BYTES
        vectors = self._unpack(b"".join(row.vector for row in held.values()), width)
        self._append(list(held), vectors, [row.stored for row in held.values()])

    def nearest(
        self,
        query: bytes,
        count: int,
        accept: Callable[[str], bool] | None = None,
        *,
        among: Iterable[str] | None = None,
        fade: Fade | None = None,
    ) -> list[tuple[float, str]]:
        """Returns score and key of the `count` most similar of those accepted: the best first, equal ones by their keys.

        Only the keys `among` those given count, if any are. A score is the cosine, from -1 to 1, or what `fade` makes of it.
        Raises `InvalidValue` if the query has another dimension.
        """
        if not self._keys:
            return []
        if len(query) != self.dimension * FLOAT_BYTES:
            width = len(query) // FLOAT_BYTES
            raise InvalidValue(f"the query has {width} numbers, the embeddings here have {self.dimension}")
        asked = self._unpack(query, self.dimension)[0]
        direction = asked / self._np.linalg.norm(asked)
        scores = self._nearly(direction, fade)
        if among is not None:
            scores = self._only(scores, among)
        rows = best_rows(self._np, scores, count, _SLACK, accept and (lambda row: accept(self._keys[row])))
        cosines = self._rows[rows].astype(self._np.float64) @ direction / self._lengths[rows]
        found = [
            (self._exactly(cosine, row, fade), self._keys[row])
            for row, cosine in zip(rows, cosines.tolist(), strict=True)
        ]
        return sorted(found, key=lambda each: (-each[0], each[1]))[:count]

    def _nearly(self, direction: NDArray[np.float64], fade: Fade | None) -> NDArray[np.float64]:
        """Returns the score of each row, within the rounding of float32."""
        held = len(self)
        # Not a matrix product: BLAS spreads that over threads, which is much slower on busy cores.
        products = self._np.vecdot(self._rows[:held], direction.astype(self._np.float32))
        cosines: NDArray[np.float64] = products / self._lengths[:held]
        return fade.scores(self._np, cosines, self._times[:held]) if fade else cosines

    def _exactly(self, cosine: float, row: int, fade: Fade | None) -> float:
        # Rounding errors may lead past 1.
        score = max(-1.0, min(1.0, cosine))
        return rounded(fade.score(score, float(self._times[row])) if fade else score)

    def _only(self, scores: NDArray[np.float64], keys: Iterable[str]) -> NDArray[np.float64]:
        """Returns the scores of these keys, and none elsewhere."""
        rows = [self._row_of[key] for key in keys if key in self._row_of]
        only: NDArray[np.float64] = self._np.full(len(scores), NO_SCORE)
        only[rows] = scores[rows]
        return only

    def _unpack(self, packed: bytes, width: int) -> NDArray[np.float64]:
        """Returns packed vectors as rows."""
        rows: NDArray[np.float64] = self._np.frombuffer(packed, "<f4").reshape(-1, width).astype(self._np.float64)
        return rows

    def _append(self, keys: list[str], rows: NDArray[np.float64], times: list[int]) -> None:
        start = len(self._keys)
        end = start + len(keys)
        if rows.shape[1] != self._rows.shape[1] or end > len(self._rows):
            self._grow(start, max(_FIRST_ROWS, end + end // 2), rows.shape[1])
        # Each length is split into a fraction from a half to one, and a power of two.
        self._lengths[start:end], powers = self._np.frexp(self._np.linalg.norm(rows, axis=1))
        self._rows[start:end] = self._np.ldexp(rows, -powers[:, None])
        self._times[start:end] = times
        self._row_of.update(zip(keys, range(start, end), strict=True))
        self._keys += keys

    def _grow(self, held: int, room: int, width: int) -> None:
        rows = self._np.empty((room, width), self._np.float32)
        lengths = self._np.empty(room)
        times = self._np.empty(room)
        if held:
            rows[:held] = self._rows[:held]
            lengths[:held] = self._lengths[:held]
            times[:held] = self._times[:held]
        self._rows = rows
        self._lengths = lengths
        self._times = times

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
        self._times[row] = self._times[last]
        self._keys[row] = last_key
        self._row_of[last_key] = row


def import_numpy() -> Any:
    """Returns numpy, an extra that only a search loads. Raises `MissingExtra` if it is not installed."""
    try:
        return importlib.import_module("numpy")
    except ImportError:
        raise MissingExtra("searching by similarity", "numpy", "semantic") from None
