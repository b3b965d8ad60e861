"""Where vectors come from, which are accepted, and what is stored without them; a hostile corpus."""

from __future__ import annotations

import array
import asyncio
import math
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import ccs
import ccs.aio
from tests.context.probes import Open, unchanged
from tests.memory.minds import DIMENSION, contents, embed
from tests.support.colours import COLOURS
from tests.support.waiting import scaled

PROJECT = Path(__file__).parents[2]
ONE = [1.0] + [0.0] * (DIMENSION - 1)

UNFIT = {
    "zeros": [0.0] * DIMENSION,
    "too small for float32": [1e-60] * DIMENSION,
    "NaN": [*ONE[:-1], math.nan],
    "infinity": [*ONE[:-1], -math.inf],
    "too large for float32": [*ONE[:-1], 1e300],
    "no number at all": [],
    "a matrix": [ONE],
    "words": ["a"] * DIMENSION,
    "a word": "a" * DIMENSION,
    "bytes": bytes(DIMENSION),
    "complex": [1j] * DIMENSION,
    "a number": 1.0,
    "a map": dict.fromkeys(map(float, range(DIMENSION)), 1.0),
    "a set": set(map(float, range(DIMENSION))),
    "nothing": [None] * DIMENSION,
    "too large for a float": [10**400] * DIMENSION,
    "an array of NaN": np.full(DIMENSION, np.nan),
    "an array of two dimensions": np.ones((1, DIMENSION)),
}

each_unfit = pytest.mark.parametrize("vector", UNFIT.values(), ids=list(UNFIT))


@pytest.fixture
async def mind(open_store: Open) -> Any:
    """A task whose store has an embedder."""
    return (await open_store(embed=embed)).task("t")


def remembering(task: Any, embedding: Any) -> list[Any]:
    """Every way to remember something with an embedding."""
    return [
        lambda: task.semantic.store("x", embedding=embedding),
        lambda: task.episodic.record("x", embedding=embedding),
        lambda: task.procedural.learn("x", ["y"], embedding=embedding),
    ]


def searching(task: Any, asked: Any) -> list[Any]:
    """Every way to search."""
    return [
        lambda: task.semantic.query(asked),
        lambda: task.episodic.recall_similar(asked),
        lambda: task.procedural.recall(asked),
    ]


@each_unfit
async def test_a_vector_without_a_direction_is_not_an_embedding(mind: Any, vector: Any) -> None:
    await mind.semantic.store("there", embedding=ONE)
    for remember in remembering(mind, vector):
        await unchanged(mind, remember(), ccs.InvalidValue)
    for search in searching(mind, vector):
        if not isinstance(vector, str):
            with pytest.raises(ccs.InvalidValue):
                await search()


async def test_embeddings_of_any_kind_are_taken(mind: Any) -> None:
    kinds = ONE, tuple(ONE), array.array("d", ONE), np.array(ONE), np.array(ONE, np.float32), np.array(ONE, np.int64)
    for kind in kinds:
        await mind.semantic.store("x", embedding=kind)
        assert len(await mind.semantic.query(kind)) == len(await mind.semantic.query("x"))
    assert [match.score for match in await mind.semantic.query(ONE)] == [1.0] * len(kinds)


async def test_vectors_of_any_length_are_compared_by_their_direction(mind: Any) -> None:
    for i, length in enumerate((1e-30, 1e-3, 1.0, 1e30)):
        await mind.semantic.store(f"{i}", id=f"{i}", embedding=[length, length, *[0.0] * (DIMENSION - 2)])
    matches = await mind.semantic.query(ONE)
    assert [(match.id, match.score) for match in matches] == [(f"{i}", 0.707106781187) for i in range(4)]


async def test_all_embeddings_of_a_context_have_one_dimension(mind: Any, open_store: Open) -> None:
    plain = (await open_store()).task("t")
    await mind.episodic.record("the first one decides")
    for task in (mind, plain):
        for remember in remembering(task, [1.0, 2.0]):
            error = await unchanged(task, remember(), ccs.InvalidValue)
            assert "2 numbers" in str(error)
            assert f"have {DIMENSION}" in str(error)
    with pytest.raises(ccs.InvalidValue, match="the query has 2 numbers"):
        await plain.episodic.recall_similar([1.0, 2.0])


async def test_the_dimension_is_agreed_on_by_all_concurrent_writers(open_store: Open) -> None:
    """G4: of two dimensions one wins, and the writer with the other gets an error."""
    stores = [await open_store(agent=f"{i}") for i in range(4)]

    async def begin(task: Any, dimension: int) -> int:
        try:
            await task.semantic.store("x", embedding=[1.0] * dimension)
        except ccs.InvalidValue:
            return 0
        return dimension

    for turn in range(10):
        outcomes = await asyncio.gather(*(begin(store.task(f"{turn}"), 2 + i % 2) for i, store in enumerate(stores)))
        won = [dimension for dimension in outcomes if dimension]
        assert len(won) == 2
        assert len(set(won)) == 1
        assert len(await stores[0].task(f"{turn}").semantic.query([1.0] * won[0])) == 2


async def test_once_all_memories_are_forgotten_the_dimension_may_change(mind: Any, open_store: Open) -> None:
    plain = (await open_store()).task("t")
    name = await mind.semantic.store("x")
    await plain.semantic.query(ONE)
    await mind.semantic.delete(name)
    await plain.semantic.store("y", embedding=[1.0, 0.0])
    assert contents(await plain.semantic.query([1.0, 0.0])) == ["y"]
    await unchanged(mind, mind.semantic.store("x"), ccs.InvalidValue)
    await mind.drop()
    await mind.semantic.store("z")
    assert contents(await plain.semantic.query(ONE)) == ["z"]


async def test_without_an_embedder_texts_are_neither_stored_nor_searched(shared: Any) -> None:
    task = shared.task("t")
    await task.set("a", 1)
    for attempt in (task.semantic.store("x"), task.procedural.learn("x", ["y"])):
        await unchanged(task, attempt, ccs.NoEmbedder)
    for search in searching(task, "x"):
        with pytest.raises(ccs.NoEmbedder, match="embed="):
            await search()


async def test_without_an_embedder_embeddings_can_be_stored_and_searched(shared: Any, mind: Any) -> None:
    task = shared.task("t")
    await task.semantic.store("x", embedding=ONE)
    assert contents(await task.semantic.query(ONE)) == contents(await mind.semantic.query("x")) == ["x"]


async def test_an_episode_without_a_vector_is_recent_but_similar_to_nothing(shared: Any, mind: Any) -> None:
    await shared.task("t").episodic.record("plain")
    await mind.episodic.record("embedded")
    assert contents(await mind.episodic.recall_similar("plain")) == ["embedded"]
    assert [episode.description for episode in await mind.episodic.recent()] == ["embedded", "plain"]


@pytest.mark.parametrize("answer", [None, 1.0, [], [ONE, ONE], [[math.nan] * DIMENSION], ["x"], {"a": 1}])
async def test_an_embedder_that_returns_too_few_vectors_is_an_error(open_store: Open, answer: Any) -> None:
    task = (await open_store(embed=lambda texts: answer)).task("t")
    await task.set("a", 1)
    await unchanged(task, task.semantic.store("x"), ccs.InvalidValue)


async def test_an_error_of_the_embedder_reaches_the_caller(open_store: Open) -> None:
    def failing(texts: list[str]) -> Any:
        raise LookupError(texts)

    task = (await open_store(embed=failing)).task("t")
    await task.set("a", 1)
    error = await unchanged(task, task.semantic.store("x"), LookupError)
    assert error.args == (["x"],)


async def test_a_memory_that_is_refused_is_not_embedded(open_store: Open) -> None:
    asked: list[list[str]] = []

    def counting(texts: list[str]) -> Any:
        asked.append(texts)
        return embed(texts)

    task = (await open_store(embed=counting)).task("t")
    for content, options in (("x" * 2_000_000, {}), ("\ud800", {}), ("x", {"metadata": {"a": object()}}), (7, {})):
        with pytest.raises((ccs.ValueTooLarge, ccs.EncodingError, ccs.InvalidValue)):
            await task.semantic.store(content, **options)
    assert asked == []


async def test_an_arrays_of_arrays_is_as_good_as_lists_from_an_embedder(open_store: Open) -> None:
    task = (await open_store(embed=lambda texts: np.array(embed(texts), np.float32))).task("t")
    await task.semantic.store("x")
    assert [match.score for match in await task.semantic.query("x")] == [1.0]


async def test_in_asyncio_a_plain_embedder_runs_off_the_loop(aconnect: Any) -> None:
    threads = set()

    def plain(texts: list[str]) -> Any:
        threads.add(threading.get_ident())
        return embed(texts)

    task = aconnect(embed=plain).task("t")
    await task.semantic.store("x")
    assert contents(await task.semantic.query("x")) == ["x"]
    assert threads
    assert threading.get_ident() not in threads


async def test_in_asyncio_an_embedder_may_be_a_coroutine_function(aconnect: Any) -> None:
    async def remote(texts: list[str]) -> Any:
        return embed(texts)

    task = aconnect(embed=remote).task("t")
    await task.semantic.store("x")
    assert contents(await task.semantic.query("x")) == ["x"]


def test_a_blocking_store_refuses_an_embedder_that_it_could_not_await() -> None:
    async def remote(texts: list[str]) -> Any:
        return embed(texts)

    with pytest.raises(ccs.InvalidValue, match="coroutine function"):
        ccs.connect("memory://", embed=remote)


@pytest.mark.parametrize("library", [ccs, ccs.aio])
@pytest.mark.parametrize("embedder", [5, "all-MiniLM-L6-v2", []])
def test_an_embedder_is_a_function(library: Any, embedder: Any) -> None:
    with pytest.raises(ccs.InvalidValue):
        library.connect("memory://", embed=embedder)


HOSTILE_TEXTS = [
    "",
    " ",
    "\x00",
    "日本語 🦊 \u202e right to left",
    "e\u0301 is not é",
    "@semantic/x",
    "line\nbreak\r\n\u2028",
    "'; DROP TABLE facts; --",
    "{ccs:/tasks/t}:entries",
    "a" * 1_000_000,
]


@pytest.mark.parametrize("text", HOSTILE_TEXTS, ids=range(len(HOSTILE_TEXTS)))
async def test_any_text_is_remembered_as_it_is(mind: Any, text: str) -> None:
    """G11."""
    await mind.semantic.store(text, metadata={text[:100]: text[:100]})
    await mind.episodic.record(text)
    await mind.procedural.learn(text[:100], [text])
    (fact,), (episode,) = await mind.semantic.query(text), await mind.episodic.recent()
    assert (fact.content, fact.score, fact.metadata) == (text, 1.0, {text[:100]: text[:100]})
    assert episode.description == text
    assert [procedure.steps for procedure in await mind.procedural.recall(f"{text[:100]}\n{text}")] == [[text]]


async def test_a_fact_of_a_mebibyte_fits_where_the_limit_allows_it(open_store: Open) -> None:
    text = "é" * (1 << 19)
    small = (await open_store(embed=embed)).task("t")
    with pytest.raises(ccs.ValueTooLarge):
        await small.semantic.store(text)
    large = (await open_store(embed=embed, max_value_bytes=1 << 21)).task("t")
    await large.semantic.store(text)
    for _ in "again", "and again":
        assert contents(await small.semantic.query(text)) == [text]


HOSTILE_IDS = ["a/b", "..", ".", "/", "//", "%", "\x00", "🦊", " ", "@semantic", "*", "[x]", "a" * 700]


@pytest.mark.parametrize("name", HOSTILE_IDS, ids=range(len(HOSTILE_IDS)))
async def test_any_text_is_an_id(mind: Any, name: str) -> None:
    assert await mind.semantic.store("x", id=name) == name
    assert await mind.episodic.record("x", id=name) == name
    assert await mind.procedural.learn("x", ["y"], id=name) == name
    assert [match.id for match in await mind.semantic.query("x")] == [name]
    assert [episode.id for episode in await mind.episodic.recent()] == [name]
    assert [match.id for match in await mind.episodic.recall_similar("x")] == [name]
    assert [procedure.id for procedure in await mind.procedural.recall("x")] == [name]
    assert (await mind.semantic.get(name)).id == name
    assert await mind.procedural.reinforce(name, True) == 0.6
    for again in (
        mind.semantic.store("x", id=name),
        mind.episodic.record("x", id=name, at=datetime(2020, 1, 1, tzinfo=UTC)),
        mind.procedural.learn("x", ["y"], id=name),
    ):
        await unchanged(mind, again, ccs.Conflict)


@pytest.mark.parametrize("name", ["", 7, b"x", "\ud800", "a" * 2000])
async def test_a_value_that_cannot_be_an_id_is_refused(mind: Any, name: Any) -> None:
    await mind.set("a", 1)
    for attempt in (
        mind.semantic.store("x", id=name),
        mind.semantic.store("x", supersedes=name),
        mind.episodic.record("x", id=name),
        mind.procedural.learn("x", ["y"], id=name),
    ):
        await unchanged(mind, attempt, ccs.InvalidPath)


WITHOUT_NUMPY = """
import sys
sys.modules["numpy"] = None
from tests.support.blocked import open_in
with open_in(sys.argv[1], "memory://", embed=lambda texts: [[1.0, 2.0] for _ in texts]) as store:
    task = store.task("t")
    name = task.semantic.store("fact", metadata={"a": 1})
    assert task.semantic.get(name).content == "fact"
    task.episodic.record("event")
    assert [episode.description for episode in task.episodic.recent()] == ["event"]
    assert task.procedural.reinforce(task.procedural.learn("p", ["s"]), True) == 0.6
    for search in (task.semantic.query, task.episodic.recall_similar, task.procedural.recall):
        try:
            search("fact")
        except ImportError as error:
            assert "collaborative-context-store[semantic]" in str(error), error
        else:
            raise AssertionError("searched without numpy")
    assert [episode.description for episode in task.episodic.recent()] == ["event"]
"""


@pytest.mark.parametrize("colour", COLOURS)
def test_all_but_searching_works_without_numpy(colour: str) -> None:
    command = [sys.executable, "-c", WITHOUT_NUMPY, colour]
    done = subprocess.run(command, capture_output=True, text=True, timeout=scaled(60), cwd=PROJECT)
    assert done.returncode == 0, done.stderr


IMPORTED_WHERE = """
import asyncio, sys, threading
import ccs.aio as ccs

class Watching:
    seen = []
    def find_spec(self, name, path=None, target=None):
        if name == "numpy":
            self.seen.append(threading.current_thread() is threading.main_thread())

async def main():
    sys.meta_path.insert(0, Watching())
    async with ccs.connect(sys.argv[1], namespace=sys.argv[2]) as store:
        memory = getattr(store.task("t"), sys.argv[3])
        assert await getattr(memory, sys.argv[4])([1.0, 0.0]) == []

asyncio.run(main())
assert Watching.seen == [False], Watching.seen
"""


@pytest.mark.parametrize("search", ["semantic.query", "episodic.recall_similar", "procedural.recall"])
def test_the_first_search_does_not_import_numpy_on_the_event_loop(search: str, valkey: str, namespace: str) -> None:
    command = [sys.executable, "-c", IMPORTED_WHERE, valkey, namespace, *search.split(".")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=scaled(60), cwd=PROJECT)
    assert done.returncode == 0, done.stderr


def test_the_vector_travels_as_float32_little_endian() -> None:
    with ccs.connect("memory://") as store:
        task = store.task("t")
        task.semantic.store("x", id="x", embedding=[1.0, -2.5])
        value = task.get("@semantic/x")
    assert value == {
        "content": "x",
        "metadata": {},
        "dimension": 2,
        "vector": np.array([1.0, -2.5], "<f4").tobytes(),
    }
