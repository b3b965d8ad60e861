"""What a search asks for, checked."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ccs._core.memory.filters import Accept, having
from ccs._core.memory.words import wanted_words, words_in
from ccs._core.number_checks import integer, real
from ccs._core.quoted_values import shown
from ccs._core.times import Duration, millis
from ccs.errors import InvalidValue

__all__ = ["Fading", "Search"]

_WEIGHT = 0.5
_MODES = ("vector", "hybrid")


class Fading(NamedTuple):
    """How scores fade with age: after a half-life (µs), a memory has half of what its newness adds; that is the weight."""

    half_life: int
    weight: float


class Search(NamedTuple):
    """A search for the `most` memories most similar to a vector, of those accepted, that score at least `least`.

    They have all of the `keywords`. With `words`, the ranking by similarity is fused with one by these words.
    """

    most: int
    accept: Accept | None = None
    least: float = -math.inf
    keywords: frozenset[str] | None = None
    fading: Fading | None = None
    words: frozenset[str] | None = None

    @classmethod
    def of(
        cls,
        asked: Any,
        top_k: int,
        *,
        where: Mapping[str, Any] | None = None,
        min_score: float | None = None,
        recency: Duration | None = None,
        weight: float = _WEIGHT,
        keywords: str | Iterable[str] | None = None,
        mode: str = "vector",
    ) -> Search:
        """Returns the search that a caller asks for with a text or an embedding. Raises `InvalidValue` for bad arguments."""
        must = None if keywords is None else wanted_words(keywords)
        return cls(
            integer("top_k", top_k, "how many matches, at least 1", 1),
            having(where),
            -math.inf if min_score is None else real("min_score", min_score, "a number", -math.inf, math.inf),
            must,
            _fading(recency, weight),
            _ranking_words(asked, must) if _is_hybrid(mode) else None,
        )

    @property
    def reads_words(self) -> bool:
        """Whether it needs the words of all memories."""
        return self.keywords is not None or self.words is not None


def _fading(recency: Duration | None, weight: float) -> Fading | None:
    share = real("weight", weight, "a number from 0 to 1", 0.0, 1.0)
    if recency is not None:
        return Fading(millis(recency) * 1000, share)
    if share != _WEIGHT:
        raise InvalidValue("weight is how much recency counts: give recency, a half-life, as well")
    return None


def _is_hybrid(mode: object) -> bool:
    if mode not in _MODES:
        raise InvalidValue(f"mode is {shown(mode)}: give {' or '.join(map(repr, _MODES))}")
    return mode == "hybrid"


def _ranking_words(asked: Any, must: frozenset[str] | None) -> frozenset[str]:
    if isinstance(asked, str):
        return frozenset(words_in(asked))
    if must is None:
        raise InvalidValue("mode='hybrid' also compares words: ask with a text, or give keywords beside the embedding")
    return must
