"""Searches by words and by age, in both colours on every kind of server, held against plain arithmetic."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

import pytest

import ccs
from ccs._core.memory.search_tables import Table
from ccs._core.memory.words import words_in
from tests.context.probes import Open
from tests.core.test_words import bm25
from tests.memory.minds import contents, cosine, embed, vector_of
from tests.support.waiting import counts, scaled

WORDS = ("ant", "bee", "cow", "dog", "eel", "fox", "gnu")


@pytest.fixture
async def mind(open_store: Open) -> Any:
    return (await open_store(embed=embed)).task("t")


# words


async def test_keywords_keep_only_facts_that_have_all_of_them(mind: Any) -> None:
    texts = ["Ants carry leaves.", "Leaves of tea; ants!", "TEA for two", "東京 tea", ""]
    await mind.semantic.store_many(texts)
    for keywords, wanted in (
        ("ants", {0, 1}),
        ("ANTS leaves", {0, 1}),
        (["leaves", "tea"], {1}),
        ("ant", set()),
        ("京", {3}),
        ("東京", {3}),
        ("tea", {1, 2, 3}),
    ):
        assert set(contents(await mind.semantic.query("x", keywords=keywords))) == {texts[each] for each in wanted}
    assert [match.score for match in await mind.semantic.query("TEA for two", 1, keywords="tea")] == [1.0]
    assert contents(await mind.semantic.query("x", keywords="tea", where={"none": 1})) == []


async def test_words_follow_every_change(mind: Any) -> None:
    await mind.semantic.store("ants", id="a")
    assert len(await mind.semantic.query("x", keywords="ants")) == 1
    await mind.semantic.update("a", content="bees")
    assert await mind.semantic.query("x", keywords="ants") == []
    await mind.semantic.store("ants again", id="b")
    await mind.semantic.store("more bees", id="c", supersedes="a")
    assert [match.id for match in await mind.semantic.query("x", keywords="bees")] == ["c"]
    await mind.semantic.forget("c")
    assert await mind.semantic.query("x", keywords="bees") == []
    await mind.semantic.store("nothing of that", id="b", replace=True)
    assert await mind.semantic.query("x", keywords="ants") == []


async def test_what_cannot_be_searched_for_is_refused(mind: Any) -> None:
    await mind.semantic.store("x")
    for wrong in (
        {"keywords": ""},
        {"keywords": " - "},
        {"keywords": []},
        {"keywords": 7},
        {"mode": "words"},
        {"mode": None},
        {"recency": 0},
        {"recency": -1},
        {"recency": "1 h"},
        {"recency": 60, "weight": 1.5},
        {"recency": 60, "weight": -0.1},
        {"weight": 0.7},
    ):
        with pytest.raises(ccs.InvalidValue):
            await mind.semantic.query("x", **wrong)
    with pytest.raises(ccs.InvalidValue, match="ask with a text"):
        await mind.semantic.query(vector_of("x"), mode="hybrid")
    assert len(await mind.semantic.query(vector_of("x"), mode="hybrid", keywords="x")) == 1


def hybrid(
    asked: str, facts: Mapping[str, str], accepted: set[str] | None = None, must: Sequence[str] = ()
) -> list[tuple[float, str]]:
    """Score and name of each fact, by plain arithmetic."""
    may = {
        name
        for name, text in facts.items()
        if set(must) <= set(words_in(text)) and (accepted is None or name in accepted)
    }
    by_meaning = sorted((-round(cosine(vector_of(asked), vector_of(facts[name])), 12), name) for name in may)
    by_words = [each for each in bm25(facts, set(words_in(asked))) if each[1] in may]
    scores: dict[str, float] = {}
    for ranking in ([name for _, name in by_meaning], [name for _, name in by_words]):
        for rank, name in enumerate(ranking[:100], 1):
            scores[name] = scores.get(name, 0.0) + 1 / (60 + rank)
    return sorted(((round(score, 12), name) for name, score in scores.items()), key=lambda each: (-each[0], each[1]))


async def test_hybrid_is_what_plain_arithmetic_gives_in_every_store_after_any_changes(open_store: Open) -> None:
    """The same ids and the same digits, in a store that has followed everything and in one that has just loaded it."""
    dice = random.Random(7)
    old = (await open_store(embed=embed)).task("t")
    facts: dict[str, str] = {}
    for turn in range(counts(6, 60)):
        for _ in range(40):
            name = f"{dice.randrange(150)}"
            if dice.random() < 0.2 and name in facts:
                await old.semantic.forget(name)
                del facts[name]
                continue
            facts[name] = " ".join(dice.choices(WORDS, k=dice.randrange(1, 12)))
            await old.semantic.store(facts[name], id=name, metadata={"even": int(name) % 2 == 0}, replace=True)
        new = (await open_store(embed=embed)).task("t") if turn % 2 else old
        for mind in (old, new):
            asked = " ".join(dice.choices([*WORDS, "yak"], k=dice.randrange(1, 5)))
            even = {name for name in facts if int(name) % 2 == 0}
            for options, expected in (
                ({}, hybrid(asked, facts)),
                ({"where": {"even": True}}, hybrid(asked, facts, even)),
                ({"keywords": "cow"}, hybrid(asked, facts, must=["cow"])),
                ({"keywords": "cow", "where": {"even": True}}, hybrid(asked, facts, even, ["cow"])),
            ):
                found = await mind.semantic.query(asked, 20, mode="hybrid", **options)
                assert [(match.score, match.id) for match in found] == expected[:20]
        if new is not old:
            asked = dice.choice(WORDS)
            assert await new.semantic.query(asked, 200, mode="hybrid") == await old.semantic.query(
                asked, 200, mode="hybrid"
            )


async def test_an_expired_fact_changes_no_score_whether_it_was_swept_or_not(open_store: Open) -> None:
    old = (await open_store(embed=embed)).task("t")
    facts = {f"{n}": f"ant {WORDS[n % 7]} {n}" for n in range(20)}
    await old.semantic.store_many([{"content": text, "id": name} for name, text in facts.items()])
    await old.semantic.store_many([{"content": f"ant ant {n}", "ttl": 0.4} for n in range(30)])
    assert len(await old.semantic.query("ant bee", 100, mode="hybrid")) == 50
    await asyncio.sleep(0.5)
    new = (await open_store(embed=embed)).task("t")
    for mind in (old, new):
        found = await mind.semantic.query("ant bee", 100, mode="hybrid")
        assert [(match.score, match.id) for match in found] == hybrid("ant bee", facts)


# age


async def test_scores_fade_with_age_by_the_half_life(mind: Any) -> None:
    await mind.semantic.store_many([{"content": f"{n}", "id": f"{n}"} for n in range(5)])
    await asyncio.sleep(0.3)
    await mind.semantic.store("new", id="new")
    half_life, weight = timedelta(seconds=0.5), 0.25
    began = await server_time(mind)
    found = await mind.semantic.query("3", 10, recency=half_life, weight=weight)
    ended = await server_time(mind)
    assert [match.score for match in found] == sorted((match.score for match in found), reverse=True)
    for match in found:
        near = cosine(vector_of("3"), vector_of(match.content))
        most, least = (
            (1 - weight) * near + weight * 0.5 ** (max(0.0, (now - match.stored_at).total_seconds()) / 0.5)
            for now in (began - timedelta(milliseconds=2), ended + timedelta(milliseconds=2))
        )
        assert least - 1e-6 <= match.score <= most + 1e-6
    assert [match.id for match in await mind.semantic.query("3", 1, recency=0.01, weight=0.0)] == ["3"]
    assert [match.id for match in await mind.semantic.query("3", 1, recency=0.05, weight=1.0)] == ["new"]
    least = found[2].score
    assert len(await mind.semantic.query("3", 10, recency=3600, weight=1.0, min_score=0.99)) == 6
    assert len(await mind.semantic.query("3", 10, recency=half_life, weight=weight, min_score=least + 1)) == 0


async def server_time(mind: Any) -> datetime:
    """When the server writes, by its own clock."""
    entry = await mind.set("clock", 1)
    moment: datetime = entry.updated_at
    return moment


async def test_an_update_of_metadata_makes_nothing_new(mind: Any) -> None:
    await mind.semantic.store("a", id="a")
    await asyncio.sleep(0.2)
    await mind.semantic.store("b", id="b")
    await mind.semantic.update("a", metadata={"n": 1})
    assert [match.id for match in await mind.semantic.query("x", recency=0.05, weight=1.0)] == ["b", "a"]
    await mind.semantic.update("a", content="a2")
    assert [match.id for match in await mind.semantic.query("x", recency=0.05, weight=1.0)] == ["a", "b"]


# all scopes


async def test_facts_of_all_scopes_are_found_in_one_call(open_store: Open) -> None:
    asked: list[list[str]] = []

    def noted(texts: list[str]) -> list[list[float]]:
        asked.append(list(texts))
        return embed(texts)

    store = await open_store(embed=noted)
    memory = store.memory(workflow="w", session="s", actor="a")
    places = [store.task("w"), store.session("s"), store.actor("a"), store.global_context()]
    for number, place in enumerate(places):
        facts = [{"content": "same", "id": "x"}, {"content": f"of {number}", "id": "y", "metadata": {"n": number}}]
        await place.semantic.store_many(facts)
    await store.task("other").semantic.store("same")
    asked.clear()
    found = await memory.query("same", 4)
    assert asked == [["same"]]
    assert [(match.id, match.score, match.context) for match in found] == [
        ("x", 1.0, place.address) for place in places
    ]
    (match,) = await memory.query("of 2", 1)
    assert (match.content, match.context) == ("of 2", "/actors/a")
    assert [match.context for match in await memory.query("x", where={"n": {"$gte": 2}})] in (
        ["/actors/a", "/global"],
        ["/global", "/actors/a"],
    )
    assert len(await memory.query("x", 100, keywords="same")) == 4
    assert len(await memory.query("same", 100, min_score=0.999)) == 4
    newest = await memory.query("x", 2, recency=0.001, weight=1.0)
    assert len(newest) == 2
    assert await store.memory(workflow="nothing").query(vector_of("same"), 1) != []
    with pytest.raises(ccs.InvalidValue):
        await memory.query("x", 0)
    bare = (await open_store()).memory(workflow="w")
    with pytest.raises(ccs.NoEmbedder):
        await bare.query("x")


# interrupts


@pytest.mark.parametrize("handler", ["count", "stats", "query"])
def test_a_handler_on_top_of_a_search_is_refused_whatever_it_asks_of_the_same_facts(
    handler: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a search, when a signal handler on top of it asks the same copy, then it does not wait for its own thread."""
    told: list[object] = []
    real = Table.search

    def interrupted(table: Table, *args: Any) -> Any:
        if not told:
            told.append(None)
            try:
                getattr(facts, handler)(*[[1, 0]] * (handler == "query"))
            except ccs.Misuse as error:
                told.append(error)
        return real(table, *args)

    def search() -> None:
        facts.query([1, 0])

    with ccs.connect("memory://") as store:
        facts = store.task("t").semantic
        facts.store("a", embedding=[1, 0])
        facts.query([1, 0])
        monkeypatch.setattr(Table, "search", interrupted)
        thread = threading.Thread(target=search, daemon=True)
        thread.start()
        thread.join(scaled(10))
        assert not thread.is_alive()
    assert [type(each) for each in told] == [type(None), ccs.Misuse]


# hostile texts


@pytest.mark.parametrize(
    "text", ["", "\n\t -_.", "x" * (2**20 - 999), "\N{COMBINING ACUTE ACCENT}" * 99, "\x00\x1b[31m", "😀 👩‍👩‍👧"]
)
async def test_any_text_can_be_stored_and_searched(mind: Any, text: str) -> None:
    await mind.semantic.store_many([text, "ant bee"])
    for mode in ("vector", "hybrid"):
        assert contents(await mind.semantic.query(text, 1, mode=mode)) == [text]
    assert contents(await mind.semantic.query(text, keywords="ant")) == ["ant bee"]
