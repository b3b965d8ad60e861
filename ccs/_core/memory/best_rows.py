"""The rows with the best scores, among many, without sorting all of them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["NO_SCORE", "best_rows", "rounded"]

NO_SCORE = float("-inf")
"""The score of a row that is not to be found."""
_LEAST = -1e300
_BLOCK = 100
# Fewer digits than float64 has, so that equal scores are equal.
_DIGITS = 12


def best_rows(
    numpy: Any, scores: NDArray[np.float64], count: int, slack: float, accept: Callable[[int], bool] | None = None
) -> list[int]:
    """Returns the rows of the `count` best of those accepted, and of those that may be as good within `slack`."""
    if accept:
        return _accepted(numpy, scores, count, slack, accept)
    found: list[int] = numpy.flatnonzero(scores >= max(_LEAST, _bar(numpy, scores, count) - slack)).tolist()
    return found


def rounded(score: float) -> float:
    """Returns a score with fewer digits, so that rounding errors do not order what is equal."""
    return round(score, _DIGITS)


def _accepted(
    numpy: Any, scores: NDArray[np.float64], count: int, slack: float, accept: Callable[[int], bool]
) -> list[int]:
    """`accept` is called for the best first, until there are enough."""
    order = numpy.argsort(scores)[::-1]
    rows: list[int] = []
    bar = _LEAST
    for row, score in zip(order.tolist(), scores[order].tolist(), strict=True):
        if score < bar:
            break
        if accept(row):
            rows.append(row)
            bar = score - slack if len(rows) == count else bar
    return rows


def _bar(numpy: Any, scores: NDArray[np.float64], count: int) -> float:
    """Returns a score that `count` rows reach, and few more. From the best of each block, in a tenth of a sort's time."""
    blocks = len(scores) // _BLOCK
    if blocks > 4 * count:
        scores = scores[: blocks * _BLOCK].reshape(blocks, _BLOCK).max(axis=1)
    if len(scores) <= count:
        return NO_SCORE
    return float(numpy.partition(scores, len(scores) - count)[len(scores) - count])
