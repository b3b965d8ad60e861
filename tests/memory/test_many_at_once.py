"""Memories stored many at once, changed and counted, in both colours on every kind of server: G1, G4, G11."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import ccs
from tests.context.probes import Open, unchanged
from tests.memory.minds import contents, embed, newer, vector_of
from tests.support.waiting import aeventually


class Counted:
    """An embedder that notes what it was asked."""

    def __init__(self) -> None:
        self.asked: list[list[str]] = []

    def __call__(self, texts: list[str]) -> list[list[float]]:
        self.asked.append(list(texts))
        return embed(texts)


@pytest.fixture
def embedder() -> Counted:
    return Counted()


@pytest.fixture
async def mind(open_store: Open, embedder: Counted) -> Any:
    return (await open_store(embed=embedder)).task("t")


async def test_many_facts_are_one_commit_and_one_call_of_the_embedder(mind: Any, embedder: Counted) -> None:
    await mind.set("before", 1)
    before = await mind.revision()
    facts = [
        "one",
        {"content": "two", "id": "second", "metadata": {"n": 2}},
        {"content": "3", "embedding": vector_of("z")},
    ]
    ids = await mind.semantic.store_many(facts)
    assert embedder.asked == [["one", "two"]]
    assert ids[1] == "second"
    changes = [change for change in await mind.history("@semantic/*") if change.revision > before]
    assert {change.revision for change in changes} == {await mind.revision()}
    assert [(await mind.semantic.get(each)).content for each in ids] == ["one", "two", "3"]
    assert contents(await mind.semantic.query(vector_of("z"), 1)) == ["3"]
    assert await mind.semantic.store_many([]) == []
    assert await mind.semantic.store_many(f"{number}" for number in range(3)) != []


async def test_all_facts_are_stored_or_none(mind: Any, embedder: Counted) -> None:
    await mind.semantic.store("there", id="b")
    embedder.asked.clear()
    for wrong, error in (
        ([{"content": "x", "id": "a"}, {"content": "y", "id": "b"}], ccs.Conflict),
        ([{"content": "x", "id": "a"}, {"content": "y", "id": "a"}], ccs.InvalidValue),
        ([{"content": "x", "id": "a"}, {"content": "y", "embedding": [1, 2]}], ccs.InvalidValue),
        (["x", {"content": "y", "embedding": [0] * 8}], ccs.InvalidValue),
        (["x", {"content": "y", "supersedes": "nobody"}], ccs.InvalidValue),
        (["x", {"content": "y", "id": "n", "supersedes": "n"}], ccs.InvalidValue),
        ([{"content": "x", "id": "a"}, {"content": "y", "supersedes": "a"}], ccs.InvalidValue),
        ([{"content": "x", "supersedes": "b"}, {"content": "y", "supersedes": "b"}], ccs.InvalidValue),
        (["x", {"content": "y", "colour": "red"}], ccs.InvalidValue),
        (["x", {"id": "y"}], ccs.InvalidValue),
        (["x", {"content": 7}], ccs.InvalidValue),
        (["x", 7], ccs.InvalidValue),
        ("x", ccs.InvalidValue),
        (["x", {"content": "y", "id": ""}], ccs.InvalidPath),
        (["x", {"content": "y", "id": 7}], ccs.InvalidPath),
        (["x", {"content": "y", "metadata": {"a": object()}}], ccs.EncodingError),
        (["x" * (17 * 2**20)], ccs.ValueTooLarge),
        (["x" * (2**20 - 999) for _ in range(17)], ccs.ValueTooLarge),
    ):
        await unchanged(mind, mind.semantic.store_many(wrong), error)


async def test_facts_take_the_place_of_others_in_the_same_commit(mind: Any) -> None:
    await mind.semantic.store_many([{"content": name, "id": name} for name in ("a", "b", "c")])
    new = [{"content": "a2", "id": "a2", "supersedes": "a"}, "free", {"content": "b2", "id": "b2", "supersedes": "b"}]
    await mind.semantic.store_many(new)
    assert sorted(contents(await mind.semantic.query("a", 9))) == ["a2", "b2", "c", "free"]
    assert (await mind.semantic.get("a")).superseded_by == "a2"
    assert (await mind.semantic.get("b")).superseded_by == "b2"
    with pytest.raises(ccs.Conflict):
        await mind.semantic.store_many(["x", {"content": "b3", "supersedes": "b"}])


async def test_many_facts_have_deadlines_of_their_own(mind: Any) -> None:
    await mind.semantic.store_many(
        [{"content": "short", "ttl": 0.3}, {"content": "long", "ttl": timedelta(hours=1)}, "ever"]
    )
    assert await mind.semantic.count() == 3

    async def two() -> bool:
        return await mind.semantic.count() == 2

    await aeventually(two)
    assert sorted(contents(await mind.semantic.query("x"))) == ["ever", "long"]


async def test_two_that_store_the_same_ids_at_once_store_them_once(open_store: Open) -> None:
    tasks = [(await open_store(agent=f"a{number}", embed=embed)).task("t") for number in range(4)]
    facts = [{"content": f"{number}", "id": f"{number}"} for number in range(20)]
    told = await asyncio.gather(*(task.semantic.store_many(facts) for task in tasks), return_exceptions=True)
    assert sorted(type(each).__name__ for each in told) == ["Conflict"] * 3 + ["list"]
    assert len({fact.agent for fact in await tasks[0].semantic.list()}) == 1


# update


async def test_an_update_changes_what_is_given_and_nothing_else(mind: Any, open_store: Open) -> None:
    bob = (await open_store(agent="bob", embed=embed)).task("t")
    name = await mind.semantic.store("Ann lives in Delft", metadata={"a": 1, "b": {"c": 2, "d": 3}}, ttl=3600)
    before = await mind.semantic.get(name)
    fact = await bob.semantic.update(name, metadata={"a": None, "b": {"c": 4}, "e": 5})
    assert fact == await mind.semantic.get(name)
    assert fact.metadata == {"b": {"c": 4, "d": 3}, "e": 5}
    assert (fact.content, fact.agent, fact.stored_at, fact.expires_at) == (
        before.content,
        before.agent,
        before.stored_at,
        before.expires_at,
    )
    (match,) = await mind.semantic.query("Ann lives in Delft")
    assert (match.score, match.metadata) == (1.0, fact.metadata)


async def test_new_content_is_embedded_and_is_by_who_wrote_it(mind: Any, open_store: Open) -> None:
    bob = (await open_store(agent="bob", embed=embed)).task("t")
    name = await mind.semantic.store("Ann lives in Delft", metadata={"a": 1})
    await mind.semantic.update(name, metadata={"b": 2})
    before = await mind.semantic.get(name)
    fact = await bob.semantic.update(name, content="Ann lives in Bonn")
    assert fact == await mind.semantic.get(name)
    assert (fact.content, fact.metadata, fact.agent) == ("Ann lives in Bonn", {"a": 1, "b": 2}, "bob")
    assert fact.stored_at > before.stored_at
    assert [match.score for match in await mind.semantic.query("Ann lives in Bonn")] == [1.0]
    await bob.semantic.update(name, embedding=vector_of("elsewhere"))
    assert [match.score for match in await mind.semantic.query("elsewhere")] == [1.0]
    with pytest.raises(ccs.InvalidValue, match="numbers"):
        await bob.semantic.update(name, embedding=[1, 2])


async def test_an_update_moves_a_deadline_or_takes_it_away(mind: Any) -> None:
    name = await mind.semantic.store("x", ttl=3600)
    later = await mind.semantic.update(name, ttl=7200)
    assert later == await mind.semantic.get(name)
    assert 7100 < (later.expires_at - datetime.now(UTC)).total_seconds() < 7300
    forever = await mind.semantic.update(name, ttl=None)
    assert forever.expires_at is None
    assert await mind.semantic.get(name) == forever
    assert (await mind.semantic.update(name)).expires_at is None


async def test_an_update_of_nothing_or_with_nonsense_is_refused(mind: Any, open_store: Open) -> None:
    with pytest.raises(ccs.InvalidValue, match="no fact 'nobody' to update"):
        await mind.semantic.update("nobody", metadata={"a": 1})
    name = await mind.semantic.store("x", metadata={"a": 1})
    bare = (await open_store()).task("t")
    with pytest.raises(ccs.NoEmbedder):
        await bare.semantic.update(name, content="y")
    assert (await bare.semantic.update(name, content="y", embedding=vector_of("y"))).content == "y"
    for wrong in ({"content": 7}, {"metadata": [1]}, {"ttl": -1}, {"ttl": "soon"}, {"embedding": "text"}):
        await unchanged(mind, mind.semantic.update(name, **wrong), ccs.InvalidValue)


async def test_a_superseded_fact_stays_so(mind: Any) -> None:
    name = await mind.semantic.store("old", id="old", metadata={"a": 1})
    await mind.semantic.store("new", id="new", supersedes=name)
    before = await mind.semantic.get(name)
    after = await mind.semantic.update(name, metadata={"a": 2})
    assert (after.superseded_by, after.agent, after.stored_at) == ("new", before.agent, before.stored_at)
    await mind.semantic.update(name, content="older")
    assert contents(await mind.semantic.query("older")) == ["new"]


async def test_concurrent_updates_all_count(open_store: Open) -> None:
    tasks = [(await open_store(agent=f"a{number}", embed=embed)).task("t") for number in range(4)]
    name = await tasks[0].semantic.store("x", id="x")
    updates = [
        task.semantic.update(name, metadata={f"{who}-{n}": n}) for who, task in enumerate(tasks) for n in range(5)
    ]
    await asyncio.gather(*updates, tasks[0].semantic.reembed(newer))
    fact = await tasks[1].semantic.get(name)
    assert fact.metadata == {f"{who}-{n}": n for who in range(4) for n in range(5)}
    assert len(await tasks[2].semantic.query(newer(["x"])[0])) == 1


# list, count


async def test_facts_and_episodes_are_counted_and_listed_by_their_metadata(mind: Any) -> None:
    await mind.semantic.store_many([{"content": f"{n}", "id": f"{n}", "metadata": {"n": n}} for n in range(10)])
    await mind.semantic.store("new", id="new", supersedes="3")
    assert await mind.semantic.count() == 11
    assert await mind.semantic.count({"n": {"$lt": 5}}) == 5
    assert [fact.id for fact in await mind.semantic.list(where={"n": {"$lt": 5}}, limit=2, after="1")] == ["2", "3"]
    await mind.episodic.record_many([{"description": f"{n}", "id": f"{n}", "metadata": {"n": n}} for n in range(10)])
    assert await mind.episodic.count() == 10
    assert await mind.episodic.count({"n": {"$gte": 8}}) == 2
    assert [each.id for each in await mind.episodic.list(where={"n": {"$gte": 4}}, limit=3, after="5")] == [
        "6",
        "7",
        "8",
    ]
    await mind.episodic.forget("9")
    assert await mind.episodic.count({"n": {"$gte": 8}}) == 1
    with pytest.raises(ccs.InvalidValue):
        await mind.semantic.count({"n": {"$near": 5}})


# episodes and procedures


async def test_many_episodes_are_one_commit_in_their_order(mind: Any, embedder: Counted) -> None:
    before = await mind.revision()
    past = datetime(2025, 1, 1, tzinfo=UTC)
    ids = await mind.episodic.record_many(["a", "b", {"description": "c", "at": past, "id": "c"}, "d"])
    assert embedder.asked == [["a", "b", "c", "d"]]
    changes = [change for change in await mind.history("@episodes/**") if change.revision > before]
    assert len(changes) == 4
    assert len({change.revision for change in changes}) == 1
    assert [episode.description for episode in await mind.episodic.recent()] == ["d", "b", "a", "c"]
    assert sorted(ids[:2]) == ids[:2]
    for wrong, error in (
        (["x", {"description": "y", "id": "c"}], ccs.Conflict),
        ([{"description": "x", "id": "e"}, {"description": "y", "id": "e"}], ccs.InvalidValue),
        (["x", {"description": "y", "max_entries": 3}], ccs.InvalidValue),
        (["x", {"description": "y", "at": datetime(2025, 1, 1)}], ccs.InvalidValue),  # noqa: DTZ001  # that is the point
        (["x", None], ccs.InvalidValue),
    ):
        with pytest.raises(error):
            await mind.episodic.record_many(wrong)
    assert await mind.episodic.count() == 4
    assert await mind.episodic.record_many([]) == []


async def test_many_procedures_are_one_commit(mind: Any, embedder: Counted) -> None:
    given = [{"name": name, "steps": ["look", name], "id": name} for name in ("a", "b")]
    assert await mind.procedural.learn_many(given) == ["a", "b"]
    assert embedder.asked == [["a\nlook\na", "b\nlook\nb"]]
    assert [each.name for each in await mind.procedural.recall("a\nlook\na", 1)] == ["a"]
    assert await mind.procedural.count() == 2
    for wrong, error in (
        ([{"name": "c", "steps": ["x"]}, {"name": "d", "steps": ["x"], "id": "a"}], ccs.Conflict),
        ([{"name": "c", "steps": ["x"]}, {"name": "d"}], ccs.InvalidValue),
        ([{"name": "c", "steps": "x"}], ccs.InvalidValue),
        (["c"], ccs.InvalidValue),
        ([{"name": "c", "steps": ["x"], "confidence": 2}], ccs.InvalidValue),
    ):
        with pytest.raises(error):
            await mind.procedural.learn_many(wrong)
    assert await mind.procedural.count() == 2


# stats


async def test_what_a_memory_costs_is_told(mind: Any) -> None:
    empty = await mind.semantic.stats()
    assert (empty.facts, empty.superseded, empty.dimension) == (0, 0, 0)
    await mind.semantic.store_many([{"content": f"fact {n}", "id": f"{n}"} for n in range(300)])
    await mind.semantic.store("new", supersedes="7")
    begun = datetime.now(UTC)
    await mind.semantic.query("x")
    stats = await mind.semantic.stats()
    assert isinstance(stats, ccs.MemoryStats)
    assert (stats.facts, stats.superseded, stats.dimension) == (301, 1, 8)
    assert begun <= stats.loaded_at <= datetime.now(UTC)
    assert 300 * 8 * 4 < stats.bytes < 300 * 1000
    await mind.semantic.query("x", keywords="fact")
    assert (await mind.semantic.stats()).bytes > stats.bytes
