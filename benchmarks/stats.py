"""Medians, their spread, and when a difference counts as one.

The spread is the interquartile range of the rounds. Two contenders are compared round by round, since what else the
machine does in a round meets both; a ratio that differs from another number by less than the spread of the rounds'
ratios does not count as different.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median, quantiles
from typing import Literal

__all__ = ["Spread", "Verdict", "percentile", "ratio", "spread"]


Verdict = Literal["met", "missed", "within noise", "too few rounds"]


@dataclass(frozen=True, slots=True)
class Spread:
    """The median of the rounds, between their first and third quartile."""

    median: float
    low: float
    high: float
    rounds: int

    def verdict(self, wanted: float, *, at_least: bool) -> Verdict:
        """`met` or `missed`, where the whole spread says so, else `within noise`."""
        if self.low < wanted < self.high:
            return "within noise"
        return "met" if (self.median >= wanted if at_least else self.median <= wanted) else "missed"

    def differs(self, other: float) -> bool:
        """Whether `other` lies outside of the spread."""
        return not self.low <= other <= self.high


def spread(rounds: Sequence[float]) -> Spread:
    """Of one number a round. A single round has no spread.

    >>> spread([5, 1, 2, 3, 4])
    Spread(median=3, low=2.0, high=4.0, rounds=5)
    """
    if len(rounds) < 2:
        return Spread(rounds[0], rounds[0], rounds[0], len(rounds))
    low, _, high = quantiles(rounds, n=4, method="inclusive")
    return Spread(median(rounds), low, high, len(rounds))


def ratio(above: Sequence[float], below: Sequence[float]) -> Spread:
    """Of two contenders, round by round.

    >>> ratio([10, 20, 30], [5, 10, 10])
    Spread(median=2.0, low=2.0, high=2.5, rounds=3)
    """
    return spread([one / other for one, other in zip(above, below, strict=True)])


def percentile(samples: Sequence[float], share: float) -> float:
    """The smallest sample that `share` of them do not exceed.

    >>> percentile([4, 1, 3, 2], 0.5), percentile(range(1000), 0.99)
    (2, 989)
    """
    ordered = sorted(samples)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]
