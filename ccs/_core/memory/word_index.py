"""Which words stand in which texts: for searches by words, ranked by BM25.

The score of a text for some words is the sum over them of

    ln(1 + (N - n + 0.5) / (n + 0.5))  *  f * (K1 + 1) / (f + K1 * (1 - B + B * length / average))

N texts are there, n of them have the word, f times in this one; lengths are in words. Each sum goes over the words in
their order, so that every process gets the same. Texts have rows, which are not used again: what is removed leaves its row
empty, and once most of them are, all rows are numbered anew.
"""

from __future__ import annotations

import math
from array import array
from collections import Counter
from collections.abc import Callable, Collection, Mapping
from typing import TYPE_CHECKING

from ccs._core.memory.best_rows import NO_SCORE, best_rows, rounded
from ccs._core.memory.matrix import import_numpy
from ccs._core.memory.words import words_in

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = ["WordIndex"]

_K1 = 1.2
_B = 0.75
# The rounding error of a sum, and what `rounded` may take away.
_SLACK = 1e-11
# Empty rows that are not worth the numbering.
_FEW = 1000


class _Postings:
    """The rows of the texts that have a word, and how often it stands in each; empty rows too."""

    __slots__ = ("counts", "held", "rows")

    def __init__(self) -> None:
        self.rows = array("i")
        self.counts = array("i")
        # How many texts that are there have it.
        self.held = 0

    def add(self, row: int, count: int) -> None:
        self.rows.append(row)
        self.counts.append(count)
        self.held += 1


class WordIndex:
    """Texts by key, found by their words."""

    def __init__(self) -> None:
        self._np = import_numpy()
        self._postings: dict[str, _Postings] = {}
        self._texts: dict[str, str] = {}
        self._row_of: dict[str, int] = {}
        # By row: the key of the text, and its length in words; 0 in an empty row.
        self._keys: list[str] = []
        self._lengths = array("i")
        self._words = 0

    def __repr__(self) -> str:
        return f"<WordIndex of {len(self)} texts, {len(self._postings)} words>"

    def __len__(self) -> int:
        return len(self._texts)

    @property
    def size(self) -> int:
        """How many bytes its arrays take."""
        arrays = sum(each.rows.itemsize * 2 * len(each.rows) for each in self._postings.values())
        return arrays + self._lengths.itemsize * len(self._lengths)

    def update(self, texts: Mapping[str, str | None]) -> None:
        """Adds or replaces the text of each key; removes those that are None."""
        for key, text in texts.items():
            self.discard(key)
            if text is not None:
                self._add(key, text)

    def discard(self, key: str) -> None:
        """Removes a text, if it is there."""
        text = self._texts.pop(key, None)
        if text is None:
            return
        row = self._row_of.pop(key)
        self._words -= self._lengths[row]
        self._lengths[row] = 0
        for word in set(words_in(text)):
            postings = self._postings[word]
            postings.held -= 1
            if not postings.held:
                del self._postings[word]

    def tidy(self) -> None:
        """Numbers the rows anew, if most of them are empty."""
        empty = len(self._keys) - len(self._texts)
        if empty <= len(self._texts) + _FEW:
            return
        rows = sorted(self._row_of.values())
        new = dict(zip(rows, range(len(rows)), strict=True))
        for postings in self._postings.values():
            kept = [each for each in zip(postings.rows, postings.counts, strict=True) if each[0] in new]
            postings.rows = array("i", [new[row] for row, _ in kept])
            postings.counts = array("i", [count for _, count in kept])
        self._keys = [self._keys[row] for row in rows]
        self._lengths = array("i", [self._lengths[row] for row in rows])
        self._row_of = {key: new[row] for key, row in self._row_of.items()}

    def having(self, words: Collection[str]) -> list[str]:
        """Returns the keys of the texts that have all of these words, in any order."""
        found: set[int] | None = None
        for postings in sorted(map(self._postings.get, words), key=_held):
            if postings is None:
                return []
            found = set(postings.rows) if found is None else found.intersection(postings.rows)
        return [self._keys[row] for row in found or () if self._lengths[row]]

    def ranked(
        self, words: Collection[str], count: int, accept: Callable[[str], bool] | None = None
    ) -> list[tuple[float, str]]:
        """Returns score and key of the `count` best of those accepted that have any of the words; equal ones by key."""
        scores = self._scores(words)
        rows = best_rows(self._np, scores, count, _SLACK, accept and (lambda row: accept(self._keys[row])))
        found = [(rounded(float(scores[row])), self._keys[row]) for row in rows]
        return sorted(found, key=lambda each: (-each[0], each[1]))[:count]

    def _scores(self, words: Collection[str]) -> NDArray[np.float64]:
        """Returns the score of each row; `NO_SCORE` where it has none of the words."""
        scores: NDArray[np.float64] = self._np.zeros(len(self._keys))
        lengths = self._np.frombuffer(self._lengths, self._np.intc) if self._keys else scores
        average = self._words / max(1, len(self._texts))
        for word in sorted(words):
            postings = self._postings.get(word)
            if postings is None:
                continue
            rows = self._np.frombuffer(postings.rows, self._np.intc)
            counts = self._np.frombuffer(postings.counts, self._np.intc)
            rarity = math.log(1 + (len(self._texts) - postings.held + 0.5) / (postings.held + 0.5))
            spread = counts + _K1 * (1 - _B + _B * lengths[rows] / average)
            scores[rows] += rarity * (counts * (_K1 + 1) / spread)
        scores[(scores == 0) | (lengths == 0)] = NO_SCORE
        return scores

    def _add(self, key: str, text: str) -> None:
        row = len(self._keys)
        words = words_in(text)
        for word, count in Counter(words).items():
            postings = self._postings.get(word)
            if postings is None:
                postings = self._postings[word] = _Postings()
            postings.add(row, count)
        self._texts[key] = text
        self._row_of[key] = row
        self._keys.append(key)
        self._lengths.append(len(words))
        self._words += len(words)


def _held(postings: _Postings | None) -> int:
    return postings.held if postings else 0
