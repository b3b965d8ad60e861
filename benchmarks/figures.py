"""What is measured: figures, one number a round for each contender."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from typing import Literal

from benchmarks.stats import Spread, ratio

__all__ = ["Figures", "Quantity"]


@dataclass(frozen=True, slots=True)
class Quantity:
    """Something that is measured: a column of a table."""

    key: str
    table: str
    column: str
    unit: str
    better: Literal["lower", "higher"] = "lower"
    at: int = 0  # where it stands among its table's columns: of growth, how much there was
    over: str | None = None  # the key of what to compare it with; None: the same of another contender


@dataclass(slots=True)
class Figures:
    """All figures of a run, by the key of the quantity and the contender."""

    quantities: dict[str, Quantity] = field(default_factory=dict)
    rounds: dict[str, dict[str, list[float]]] = field(default_factory=dict)

    def add(self, contender: str, values: Mapping[Quantity, float]) -> None:
        """The numbers of one more round."""
        for quantity, value in values.items():
            self.quantities.setdefault(quantity.key, quantity)
            self.rounds.setdefault(quantity.key, {}).setdefault(contender, []).append(value)

    def get(self, key: str, contender: str) -> Sequence[float]:
        """Its numbers; none if it was not measured."""
        return self.rounds.get(key, {}).get(contender, ())

    def gain(self, key: str, contender: str, over: str, over_key: str | None = None) -> Spread | None:
        """How many times better a contender is than another: over 1 is better, be it faster or smaller.

        None unless both were measured in the same rounds.
        """
        one = self.get(key, contender)
        other = self.get(over_key or key, over)
        if not one or len(one) != len(other):
            return None
        return ratio(one, other) if self.quantities[key].better == "higher" else ratio(other, one)

    def tables(self) -> Iterator[tuple[str, list[Quantity]]]:
        """The quantities by table, in the order in which the tables came."""
        came = {table: place for place, table in enumerate(dict.fromkeys(q.table for q in self.quantities.values()))}
        ordered = sorted(self.quantities.values(), key=lambda quantity: (came[quantity.table], quantity.at))
        for table, quantities in groupby(ordered, key=lambda quantity: quantity.table):
            yield table, list(quantities)
