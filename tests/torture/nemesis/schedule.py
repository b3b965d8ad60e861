"""The schedule of a nemesis: which faults, how long, in which order. It follows from the seed alone."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import NamedTuple

__all__ = ["Fault", "schedule"]


class Fault(NamedTuple):
    """A fault: its kind, how long it lasts, and a number by which it chooses its victim."""

    kind: str
    seconds: float
    choice: int


def schedule(seed: str, kinds: Sequence[str], count: int, longest: float = 3.0) -> list[Fault]:
    """So many faults, of each kind as often as of any other, in an order that the seed decides."""
    dice = random.Random(f"{seed}/nemesis")
    drawn: list[str] = []
    while len(drawn) < count:
        drawn += dice.sample(list(kinds), len(kinds))
    return [
        Fault(kind, round(dice.uniform(longest / 10, longest), 2), dice.randrange(1 << 30)) for kind in drawn[:count]
    ]
