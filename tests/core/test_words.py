"""Words, and their index without a server, compared with BM25 in plain arithmetic."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Mapping

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

import ccs
from ccs._core.memory import word_index
from ccs._core.memory.fusion import fused
from ccs._core.memory.word_index import WordIndex
from ccs._core.memory.words import wanted_words, words_in
from tests.support.waiting import counts


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        (" ,.!\n\t", []),
        ("Redis is FAST, isn't it?", ["redis", "is", "fast", "isn", "t", "it"]),
        ("snake_case and kebab-case 3.14", ["snake", "case", "and", "kebab", "case", "3", "14"]),
        ("Straße ﬁne Ⅷ ①", ["strasse", "fine", "viii", "1"]),
        ("東京に行く", ["東", "京", "に", "行", "く"]),
        ("abc東京def", ["abc", "東", "京", "def"]),
        ("한국어 텍스트", ["한국어", "텍스트"]),
        ("e\N{COMBINING ACUTE ACCENT}tude étude", ["étude", "étude"]),
        ("`x`: <b>y</b>", ["x", "b", "y", "b"]),
    ],
)
def test_a_text_is_cut_into_its_words(text: str, words: list[str]) -> None:
    assert words_in(text) == words


def test_what_must_be_there_is_a_text_or_several() -> None:
    assert (
        wanted_words("Ants, bees") == wanted_words(["bees ants"]) == wanted_words(("ants", "bees")) == {"ants", "bees"}
    )
    for wrong in ("", " - ", [], ["a", ""], [1], 7, b"ants", [None]):
        with pytest.raises(ccs.InvalidValue, match="keywords"):
            wanted_words(wrong)  # type: ignore[arg-type]


def bm25(texts: Mapping[str, str], wanted: Collection[str]) -> list[tuple[float, str]]:
    """Score and key of each text that has one of the words, the best first, equal ones by key."""
    words = {key: words_in(text) for key, text in texts.items()}
    average = sum(map(len, words.values())) / max(1, len(words))
    found = []
    for key, own in words.items():
        score = 0.0
        for word in sorted(wanted):
            frequency = Counter(own)[word]
            having = sum(word in each for each in words.values())
            rarity = math.log(1 + (len(words) - having + 0.5) / (having + 0.5))
            score += (
                rarity * frequency * 2.2 / (frequency + 1.2 * (0.25 + 0.75 * len(own) / average)) if frequency else 0
            )
        if set(own) & set(wanted):
            found.append((score, key))
    return sorted(found, key=lambda each: (-round(each[0], 12), each[1]))


class Machine(RuleBasedStateMachine):
    """An index, and a map of the same texts, of few words, so that many are equal."""

    def __init__(self) -> None:
        super().__init__()
        self.index = WordIndex()
        self.texts: dict[str, str] = {}

    names = st.sampled_from([f"{number}" for number in range(9)])
    words = st.sampled_from(["ant", "bee", "cow", "dog", "eel"])
    texts_of_words = st.lists(words, max_size=6).map(" ".join)

    @rule(texts=st.dictionaries(names, st.none() | texts_of_words, max_size=5))
    def update(self, texts: dict[str, str | None]) -> None:
        self.index.update(texts)
        for name, text in texts.items():
            self.texts.pop(name, None)
            if text is not None:
                self.texts[name] = text

    @rule()
    def tidy(self) -> None:
        self.index.tidy()

    @rule(name=names)
    def discard(self, name: str) -> None:
        self.index.discard(name)
        self.texts.pop(name, None)

    @rule(wanted=st.sets(words, min_size=1))
    def those_that_have_all(self, wanted: set[str]) -> None:
        having = [name for name, text in self.texts.items() if wanted <= set(words_in(text))]
        assert sorted(self.index.having(wanted)) == sorted(having)

    @rule(wanted=st.sets(words | st.just("fly")), most=st.integers(1, 9), accepted=st.none() | st.sets(names))
    def the_best(self, wanted: set[str], most: int, accepted: set[str] | None) -> None:
        found = self.index.ranked(wanted, most, accepted.__contains__ if accepted is not None else None)
        expected = [each for each in bm25(self.texts, wanted) if accepted is None or each[1] in accepted][:most]
        assert [key for _, key in found] == [key for _, key in expected]
        assert [score for score, _ in found] == pytest.approx([score for score, _ in expected])

    @invariant()
    def it_holds_as_many(self) -> None:
        assert len(self.index) == len(self.texts)


@pytest.mark.parametrize("few", [0, 1000], ids=["numbered anew all the time", "as it is"])
def test_an_index_finds_what_plain_arithmetic_finds(monkeypatch: pytest.MonkeyPatch, few: int) -> None:
    monkeypatch.setattr(word_index, "_FEW", few)
    run_state_machine_as_test(Machine, settings=settings(max_examples=counts(20, 500), deadline=None))


def test_what_is_removed_takes_no_room_for_ever() -> None:
    index = WordIndex()
    index.update({f"{number}": f"word{number} all" for number in range(2000)})
    full = index.size
    for number in range(8000):
        index.update({f"{number % 2000}": f"word{number} all"})
        index.tidy()
    assert len(index.having({"all"})) == 2000
    assert index.size < 4 * full
    index.update({f"{number}": None for number in range(2000)})
    assert index.having({"all"}) == []
    assert len(index) == 0


def test_two_rankings_are_fused_by_their_ranks() -> None:
    first = [(0.9, "a"), (0.8, "b"), (0.1, "c")]
    second = [(7.0, "c"), (5.0, "a")]
    scores = {"a": 1 / 61 + 1 / 62, "b": 1 / 62, "c": 1 / 63 + 1 / 61}
    assert fused(first, second) == [(round(scores[key], 12), key) for key in "acb"]
    assert fused(first, []) == [(round(1 / (60 + rank), 12), key) for rank, key in enumerate("abc", 1)]
    assert fused([(1.0, "b"), (0.5, "a")], [(1.0, "a"), (0.5, "b")])[0][1] == "a", "equal ones by their keys"
