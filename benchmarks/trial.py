"""Trials, and the order in which they are made: interleaved, so that what else goes on meets all contenders alike."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from itertools import groupby

from benchmarks.figures import Figures, Quantity
from benchmarks.progress import Progress

__all__ = ["Trial", "interleave"]


@dataclass(frozen=True, slots=True)
class Trial:
    """One sample of one contender, taken once a round."""

    group: str
    contender: str
    take: Callable[[], Mapping[Quantity, float]]


def interleave(
    trials: Iterable[Trial], rounds: int, figures: Figures, progress: Progress, *, warm_up: bool = True
) -> None:
    """In each round one group after the other, and within a group every contender, in a new random order.

    The round before the first warms up connections, caches, histories and the interpreter; it is not counted.
    """
    groups = [list(group) for _, group in groupby(trials, key=lambda trial: trial.group)]
    for number in range(0 if warm_up else 1, rounds + 1):
        progress.step(f"round {number} of {rounds}" if number else "warming up")
        for group in groups:
            for trial in random.sample(group, len(group)):
                progress.detail(f"{trial.group}: {trial.contender}")
                figures.add(trial.contender, trial.take() if number else _discarded(trial))


def _discarded(trial: Trial) -> Mapping[Quantity, float]:
    trial.take()
    return {}
