"""Two rankings made one, by reciprocal rank.

What stands at a rank of a ranking gets 1 / (60 + rank) for it, and the sum of both is its score. Ranks begin with 1; of each
ranking the first `DEPTH` count.
"""

from __future__ import annotations

from collections import defaultdict

from ccs._core.memory.best_rows import rounded

__all__ = ["DEPTH", "fused"]

DEPTH = 100
_CONSTANT = 60

Ranking = list[tuple[float, str]]


def fused(*rankings: Ranking) -> Ranking:
    """Returns score and key of all that is ranked: the best first, equal ones by their keys."""
    scores: defaultdict[str, float] = defaultdict(float)
    for ranking in rankings:
        for rank, (_, key) in enumerate(ranking, 1):
            scores[key] += 1 / (_CONSTANT + rank)
    found = [(rounded(score), key) for key, score in scores.items()]
    return sorted(found, key=lambda each: (-each[0], each[1]))
