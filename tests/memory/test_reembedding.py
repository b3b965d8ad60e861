"""Another embedder: the dimension changes when no vector of the old one is left, or when all memories are embedded again."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from anyio import to_thread

import ccs
import ccs.aio
from ccs._async.memory.embeddings import Embeddings
from ccs._core.codec import encode
from ccs._core.commits.operations import set_op
from tests.context.probes import Open, unchanged
from tests.memory.minds import DIMENSION, check_found, contents, embed, newer, ranking, vector_of
from tests.support.waiting import aeventually, scaled

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
AXES = [1.0, 0.0]


def shuffled(texts: list[str]) -> list[list[float]]:
    """Returns a vector of the same dimension with other numbers."""
    return [vector_of(text)[::-1] for text in texts]


async def break_off(task: Any) -> None:
    """Embeds the memories of a task again, with an embedder that fails at its second call."""
    calls = count()

    def failing(texts: list[str]) -> Any:
        if next(calls) == 1:
            raise ConnectionError("the provider is away")
        return newer(texts)

    with pytest.raises(ConnectionError):
        await task.semantic.reembed(failing)


@pytest.fixture
async def mind(open_store: Open) -> Any:
    """A task whose store has an embedder."""
    return (await open_store(embed=embed)).task("t")


async def remember_all(task: Any) -> tuple[str, str, str]:
    """Stores one memory of each kind, and one each without a vector. Returns the ids of the former."""
    await task.semantic.store("old fact", id="superseded")
    fact = await task.semantic.store("fact", supersedes="superseded", metadata={"n": 1})
    episode = await task.episodic.record("episode", at=NOON, id="e")
    procedure = await task.procedural.learn("procedure", ["one", 2])
    return fact, episode, procedure


def ways(task: Any) -> list[Any]:
    """Every way to remember something with an embedding of two numbers."""
    return [
        lambda: task.semantic.store("x", embedding=AXES),
        lambda: task.episodic.record("x", embedding=AXES),
        lambda: task.procedural.learn("x", ["y"], embedding=AXES),
    ]


@pytest.mark.parametrize("way", range(3))
async def test_the_dimension_can_change_when_no_vector_of_the_old_one_is_left(
    mind: Any, open_store: Open, way: int
) -> None:
    """Given that all memories with a vector are forgotten, then another dimension is accepted, and holds for all."""
    plain = (await open_store()).task("t")
    await plain.episodic.record("without a vector")
    fact, episode, procedure = await remember_all(mind)
    for memory, name in ((mind.semantic, fact), (mind.episodic, episode), (mind.procedural, procedure)):
        error = await unchanged(plain, ways(plain)[way](), ccs.InvalidValue)
        assert f"have {DIMENSION}" in str(error)
        assert "semantic.reembed" in str(error)
        assert await memory.forget(name)
    await ways(plain)[way]()
    await unchanged(mind, mind.semantic.store("of the old dimension"), ccs.InvalidValue)
    for remember in ways(mind):
        await remember()
    assert contents(await plain.semantic.query(AXES)) == ["x"] * (2 if way == 0 else 1)
    assert len(await plain.episodic.recent()) == (3 if way == 1 else 2)
    assert [fact.superseded_by for fact in await plain.semantic.list(after="superseded", limit=1)] != [fact]


async def test_an_expired_vector_does_not_count(mind: Any, open_store: Open) -> None:
    """G9: whether or not it was swept."""
    plain = (await open_store()).task("t")
    await mind.semantic.store("brief", ttl=0.02)

    async def attempt() -> bool:
        try:
            await plain.semantic.store("x", embedding=AXES)
        except ccs.InvalidValue:
            return False
        return True

    await aeventually(attempt)
    assert contents(await plain.semantic.query(AXES)) == ["x"]


async def test_of_two_concurrent_changes_of_the_dimension_one_wins(open_store: Open) -> None:
    """G4: afterwards all vectors have one dimension, and all that was acknowledged is found."""
    stores = [await open_store() for _ in range(4)]
    for number in range(10):
        task = stores[0].task(f"t{number}")
        await task.semantic.store("old", id="old", embedding=[1.0] * 7)
        await task.episodic.record("without a vector")
        await task.semantic.forget("old")

        async def store(agent: int, name: str = f"t{number}") -> int:
            try:
                await stores[agent].task(name).semantic.store("x", embedding=[1.0] * (2 + agent % 3))
            except ccs.InvalidValue:
                return 0
            return 2 + agent % 3

        taken = await asyncio.gather(*map(store, range(4)))
        (dimension,) = {each for each in taken if each}
        found = await task.semantic.query([1.0] * dimension)
        assert len(found) == sum(each == dimension for each in taken)


@pytest.mark.parametrize("look", [0, 1], ids=["before it is closed", "while it is closed"])
async def test_a_vector_that_comes_between_the_look_and_the_commit_is_not_overlooked(
    valkey: str, namespace: str, monkeypatch: pytest.MonkeyPatch, look: int
) -> None:
    """G4: given a store that finds nothing of the old dimension, when another one stores such a vector just then."""
    has_others, looks = Embeddings._has_others, count()

    async def looks_and_is_overtaken(embeddings: Embeddings, width: int) -> bool:
        found = await has_others(embeddings, width)
        if next(looks) == look:
            await theirs.semantic.store("just then", embedding=[1.0] * 7)
        return found

    async with (
        ccs.aio.connect(valkey, namespace=namespace) as one,
        ccs.aio.connect(valkey, namespace=namespace) as other,
    ):
        mine, theirs = one.task("t"), other.task("t")
        await mine.semantic.forget(await theirs.semantic.store("old", embedding=[1.0] * 7))
        monkeypatch.setattr(Embeddings, "_has_others", looks_and_is_overtaken)
        with pytest.raises(ccs.InvalidValue, match="the others in /tasks/t have 7"):
            await mine.semantic.store("new", embedding=AXES)
        assert contents(await mine.semantic.query([1.0] * 7)) == ["just then"]
        await theirs.semantic.store("another", embedding=[1.0] * 7)


async def test_a_store_that_knew_another_dimension_looks_again(mind: Any, open_store: Open) -> None:
    """Given a store that stored with the old dimension, when another process embeds again, then it can store with the new one."""
    knowing = (await open_store()).task("t")
    for i in range(150):
        await knowing.semantic.store(f"{i}", id=f"{i:03}", embedding=[1.0] * DIMENSION)
    await break_off(mind)
    await knowing.semantic.store("new", embedding=[1.0] * 3)
    await unchanged(knowing, knowing.semantic.store("new", embedding=[1.0] * DIMENSION), ccs.InvalidValue)
    assert await knowing.semantic.reembed(lambda texts: [[1.0] * 5] * len(texts)) == 151
    assert await mind.semantic.reembed() == 151


async def test_a_process_that_closed_the_dimension_and_died_blocks_no_other(mind: Any, open_store: Open) -> None:
    """Given a process that was killed between closing and opening, then any other process can go on."""
    for next_one in (None, AXES):
        await mind.semantic.store("old", id="old")
        await close(mind)
        if next_one:
            fresh = (await open_store()).task("t")
            await unchanged_but_open(fresh, fresh.semantic.store("x", embedding=next_one))
        await mind.semantic.store("of the same")
        assert len(await mind.semantic.query("old")) == 2
        await mind.drop()
    await mind.semantic.store("old", id="old")
    await mind.semantic.forget("old")
    await close(mind)
    fresh = (await open_store()).task("t")
    await fresh.semantic.store("x", embedding=AXES)
    assert contents(await fresh.semantic.query(AXES)) == ["x"]


async def close(task: Any) -> None:
    """Writes what a process leaves behind that dies while it changes the dimension."""
    operation = set_op("@embeddings", encode({"dimension": DIMENSION, "closed": True}))
    if hasattr(task, "blocking"):
        await to_thread.run_sync(lambda: task.blocking.handle.commit([operation]))
    else:
        await task.handle.commit([operation])


async def unchanged_but_open(task: Any, attempt: Any) -> None:
    before = await task.semantic.list()
    with pytest.raises(ccs.InvalidValue):
        await attempt
    assert await task.semantic.list() == before


@pytest.mark.parametrize("embedder", [newer, shuffled])
async def test_all_memories_that_can_be_searched_are_embedded_again(mind: Any, open_store: Open, embedder: Any) -> None:
    """G11, G12: they keep their fields, authors and times."""
    plain = await open_store(agent="plain")
    await plain.task("t").episodic.record("without a vector")
    fact, episode, procedure = await remember_all(mind)
    await mind.procedural.reinforce(procedure, True)
    brief = await mind.semantic.store("brief", ttl=3600)
    first, before = await mind.semantic.get(fact), await everything(mind)
    assert await (await open_store(agent="other")).task("t").semantic.reembed(embedder) == 4
    assert await everything(mind) == before
    facts = {fact: embedder(["fact"])[0], brief: embedder(["brief"])[0]}
    for store in (await open_store(embed=embedder), await open_store(embed=embedder)):
        task = store.task("t")
        check_found(await task.semantic.query("fact", 9), ranking(embedder(["fact"])[0], facts))
        assert [(match.id, match.score) for match in await task.episodic.recall_similar("episode")] == [(episode, 1.0)]
        assert [(each.id, each.score) for each in await task.procedural.recall("procedure\none\n2")] == [
            (procedure, 1.0)
        ]
    await task.semantic.store("newest", id="newest", supersedes=fact)
    after = await mind.semantic.get(fact)
    assert (after.agent, after.stored_at, after.superseded_by) == ("test", first.stored_at, "newest")


async def everything(task: Any) -> Any:
    return await task.semantic.list(), await task.episodic.list(), await task.procedural.list()


async def test_the_embedder_of_the_store_is_the_one_unless_another_is_given(open_store: Open) -> None:
    plain, task = (await open_store()).task("t"), (await open_store(embed=newer)).task("t")
    await plain.semantic.store("given", embedding=AXES)
    with pytest.raises(ccs.NoEmbedder):
        await plain.semantic.reembed()
    assert await task.semantic.reembed() == 1
    assert [match.score for match in await task.semantic.query("given")] == [1.0]
    assert await task.semantic.reembed(None) == 1


async def test_without_memories_nothing_is_embedded(mind: Any, open_store: Open) -> None:
    await mind.set("a", 1)
    assert await unchanged_by(mind, mind.semantic.reembed(newer)) == 0
    await mind.semantic.store("x", id="x")
    await mind.semantic.forget("x")
    assert await unchanged_by(mind, mind.semantic.reembed(newer)) == 0
    assert contents(await (await open_store(embed=newer)).task("t").semantic.query("x")) == []


async def unchanged_by(task: Any, attempt: Any) -> Any:
    before = await task.revision()
    result = await attempt
    assert await task.revision() == before
    return result


@pytest.mark.parametrize(
    "broken",
    [
        lambda texts: [],
        lambda texts: [[0.0]] * len(texts),
        lambda texts: None,
        lambda texts: [[1.0]] * (len(texts) + 1),
    ],
    ids=["nothing", "zeros", "None", "too many"],
)
async def test_an_embedder_that_fails_changes_nothing(mind: Any, broken: Any) -> None:
    await remember_all(mind)
    await unchanged(mind, mind.semantic.reembed(broken), ccs.InvalidValue)
    await unchanged(mind, mind.semantic.reembed("no function"), ccs.InvalidValue)

    def raising(texts: list[str]) -> Any:
        raise KeyError("model")

    await unchanged(mind, mind.semantic.reembed(raising), KeyError)
    assert len(await mind.semantic.query("fact")) == 1


async def test_an_interrupted_run_can_be_repeated(mind: Any, open_store: Open) -> None:
    """Given an embedder that fails halfway, then each search finds its own part; after another run, all are found."""
    for i in range(150):
        await mind.semantic.store(f"{i}", id=f"{i:03}")
    await break_off(mind)
    task = (await open_store(embed=newer)).task("t")
    old = {match.id for match in await mind.semantic.query("1", 1000)}
    new = {match.id for match in await task.semantic.query("1", 1000)}
    assert not old & new
    assert (len(old | new), bool(old), bool(new)) == (150, True, True)
    await unchanged(mind, mind.semantic.store("of the old dimension"), ccs.InvalidValue)
    await task.semantic.store("of the new dimension", id="new")
    assert await task.semantic.reembed() == 151
    check_found(
        await task.semantic.query("1", 1000),
        ranking(
            newer(["1"])[0],
            {f"{i:03}": newer([f"{i}"])[0] for i in range(150)} | {"new": newer(["of the new dimension"])[0]},
        ),
    )
    with pytest.raises(ccs.InvalidValue, match="the query has 8 numbers, the embeddings here have 3"):
        await mind.semantic.query("1")


async def test_other_processes_go_on_while_all_memories_are_embedded_again(mind: Any, open_store: Open) -> None:
    """G3, G4: given others that store, replace, forget, reinforce and supersede meanwhile, then no change of theirs is lost."""
    task = (await open_store(embed=newer)).task("t")
    for i in range(80):
        await mind.semantic.store(f"{i}", id=f"{i:03}")
    procedures = [await mind.procedural.learn(f"{i}", []) for i in range(20)]

    async def go_on() -> None:
        for i in range(0, 80, 4):
            await mind.semantic.forget(f"{i:03}")
            await store_when_possible(task, f"replaced {i}", id=f"{i + 1:03}", replace=True)
            await store_when_possible(task, f"newer {i}", id=f"n{i:02}", supersedes=f"{i + 2:03}")
            for procedure in procedures[: i // 4]:
                await mind.procedural.reinforce(procedure, True)

    await asyncio.gather(task.semantic.reembed(), go_on())
    expected = {f"{i + 1:03}": f"replaced {i}" for i in range(0, 80, 4)}
    expected |= {f"n{i:02}": f"newer {i}" for i in range(0, 80, 4)}
    expected |= {f"{i + 3:03}": f"{i + 3}" for i in range(0, 80, 4)}
    check_found(
        await task.semantic.query("1", 1000),
        ranking(newer(["1"])[0], {name: newer([text])[0] for name, text in expected.items()}),
    )
    trusted = {each.id: each.successes for each in await task.procedural.recall("1", 100)}
    assert trusted == {name: 19 - i for i, name in enumerate(procedures)}


async def store_when_possible(task: Any, content: str, **options: Any) -> None:
    """Retries: until the first batch has changed the dimension, it is refused."""
    async with asyncio.timeout(scaled(20)):
        while True:
            try:
                await task.semantic.store(content, **options)
            except ccs.InvalidValue:
                await asyncio.sleep(0.001)
            else:
                return


async def test_of_two_runs_with_different_dimensions_one_fails_and_none_are_mixed(mind: Any, open_store: Open) -> None:
    """Given a run that is halfway, when another one runs, then the first one fails."""
    for i in range(150):
        await mind.semantic.store(f"{i}")
    other = (await open_store()).task("t")
    calls = count()

    def four(texts: list[str]) -> list[list[float]]:
        return [[*vector, 1.0] for vector in newer(texts)]

    async def interrupted(texts: list[str]) -> list[list[float]]:
        if next(calls) == 1:
            assert await other.semantic.reembed(four) == 150
        return newer(texts)

    def interrupted_too(texts: list[str]) -> list[list[float]]:
        if next(calls) == 1:
            assert other.blocking.semantic.reembed(four) == 150
        return newer(texts)

    blocking = hasattr(mind, "blocking")
    with pytest.raises(ccs.InvalidValue, match="the embedding has 3 numbers"):
        await mind.semantic.reembed(interrupted_too if blocking else interrupted)
    assert len(await mind.semantic.query([1.0] * 4, 1000)) == 150
    with pytest.raises(ccs.InvalidValue, match=r"the embeddings here have 4$"):
        await mind.semantic.query([1.0] * 3)


async def test_large_memories_are_embedded_in_batches_that_a_commit_can_hold(mind: Any) -> None:
    for i in range(9):
        await mind.semantic.store("x" * 1_000_000, id=f"{i}", embedding=[1.0] * DIMENSION)
    assert await mind.semantic.reembed(newer) == 9
    assert len(await mind.semantic.query(newer(["x" * 1_000_000])[0], 100)) == 9
    assert await mind.semantic.delete_matching({"n": {"$exists": False}}) == 9
    assert await mind.semantic.list() == []
