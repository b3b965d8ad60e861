"""Reading, listing and forgetting memories, by id and by metadata, in both colours on every kind of server."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

import ccs
from tests.context.probes import Open, unchanged
from tests.memory.minds import contents, embed
from tests.support.waiting import aeventually

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
HOSTILE = ("a", "a/b", "a//b", ".", "..", "%", "%2E", "*", "{x}", "[", "\x00", "é", "@semantic", "a b", "!")

Remember = Callable[[Any, str], Awaitable[str]]


@pytest.fixture
async def mind(open_store: Open) -> Any:
    """A task whose store has an embedder."""
    return (await open_store(embed=embed)).task("t")


def kinds(task: Any) -> list[tuple[Any, Callable[..., Awaitable[str]]]]:
    """Each memory, and how something is remembered in it under an id."""
    return [
        (task.semantic, lambda name=None: task.semantic.store("content", id=name)),
        (task.episodic, lambda name=None: task.episodic.record("content", id=name)),
        (task.procedural, lambda name=None: task.procedural.learn("content", ["step"], id=name)),
    ]


async def test_a_memory_can_be_read_and_forgotten_by_its_id(mind: Any) -> None:
    for memory, remember in kinds(mind):
        for name in (None, *HOSTILE):
            chosen = await remember(name)
            found = await memory.get(chosen)
            assert (found.id, found.agent) == (chosen, "test")
            assert await memory.forget(chosen)
            assert not await memory.forget(chosen)
            assert await memory.get(chosen) is None
            assert await remember(chosen) == chosen  # nothing of it is left that would be in the way
            assert await memory.get(chosen) is not None
            assert await memory.forget(chosen)


async def test_a_memory_is_read_as_it_was_stored(mind: Any) -> None:
    """G11, G12."""
    episode = await mind.episodic.record("it rained", id="e", at=NOON, metadata={"mm": 3})
    assert await mind.episodic.get(episode) == ccs.Episode("e", "it rained", NOON, "test", {"mm": 3})
    procedure = await mind.procedural.learn("deploy", [{"run": "make"}, "ship"], confidence=0.2)
    await mind.procedural.reinforce(procedure, True)
    assert await mind.procedural.get(procedure) == ccs.Procedure(
        procedure, "deploy", [{"run": "make"}, "ship"], 0.3, "test", None, 1, 0
    )
    fact = await mind.semantic.store("it is wet", metadata={"n": 1}, ttl=60)
    found = await mind.semantic.get(fact)
    assert (found.content, found.metadata) == ("it is wet", {"n": 1})
    assert abs(found.expires_at - found.stored_at - timedelta(seconds=60)) <= timedelta(milliseconds=1)


async def test_a_forgotten_memory_is_found_by_no_process(mind: Any, open_store: Open) -> None:
    """G3: also by no process whose copy held it, from the acknowledgement on."""
    other = (await open_store(embed=embed)).task("t")
    fact, episode = await mind.semantic.store("x"), await mind.episodic.record("x")
    procedure = await mind.procedural.learn("x", [])
    for task in (mind, other):
        assert await task.semantic.query("x")
        assert await task.episodic.recall_similar("x")
        assert await task.procedural.recall("x")
    await mind.semantic.forget(fact)
    await mind.episodic.forget(episode)
    await mind.procedural.forget(procedure)
    for task in (other, mind):
        assert await task.semantic.query("x") == await task.episodic.recall_similar("x") == []
        assert await task.procedural.recall("x") == await task.episodic.recent() == []
        assert (await task.info()).entries == 1  # @embeddings
    with pytest.raises(ccs.InvalidValue, match="no procedure"):
        await mind.procedural.reinforce(procedure, True)


async def test_of_many_concurrent_forgets_one_returns_true(mind: Any, open_store: Open) -> None:
    """G4."""
    other = (await open_store(embed=embed)).task("t")
    for (memory, remember), (theirs, _) in zip(kinds(mind), kinds(other), strict=True):
        for name in (None, "given"):
            chosen = await remember(name)
            assert sum(await asyncio.gather(*(each.forget(chosen) for each in (memory, theirs) * 4))) == 1


async def test_a_generated_id_is_taken_too(mind: Any, open_store: Open) -> None:
    """Given an episode, when its id is given to another one, then that is a `Conflict`, as for any id."""
    other = (await open_store(embed=embed)).task("t")
    await mind.episodic.record("old", at=NOON)
    await mind.episodic.prune(NOON + timedelta(minutes=1), summarize=lambda old: "summary")
    await mind.episodic.record("new")
    for task in (mind, other):
        for each in await mind.episodic.list():
            await unchanged(task, task.episodic.record("again", id=each.id), ccs.Conflict)
    assert len(await mind.episodic.list()) == 2


async def test_an_episode_recorded_again_at_another_moment_is_the_one_that_is_read(mind: Any, open_store: Open) -> None:
    other = (await open_store(embed=embed)).task("t")
    for minutes in (5, 1, 9):
        await mind.episodic.record(f"at {minutes}", id="e", at=NOON + timedelta(minutes=minutes))
        for task in (mind, other):
            assert (await task.episodic.get("e")).description == f"at {minutes}"
            assert [each.id for each in await task.episodic.list()] == ["e"]
        assert await other.episodic.forget("e")
        assert await mind.episodic.list() == await other.episodic.list() == []


async def test_episodes_that_are_pruned_or_too_many_are_no_longer_read(mind: Any) -> None:
    ids = [await mind.episodic.record(f"{i}", at=NOON + timedelta(minutes=i), max_entries=3) for i in range(5)]
    assert [each.id for each in await mind.episodic.list()] == ids[2:]
    await mind.episodic.prune(NOON + timedelta(minutes=3, seconds=30), summarize=lambda old: "summary")
    assert [await mind.episodic.get(each) is not None for each in ids] == [False, False, False, False, True]
    (summary,) = [each for each in await mind.episodic.list() if each.id != ids[4]]
    assert await mind.episodic.get(summary.id) == summary
    assert await mind.episodic.forget(summary.id)


async def test_an_expired_memory_is_neither_read_nor_listed(mind: Any) -> None:
    """G9."""
    fact = await mind.semantic.store("brief", ttl=0.05)
    episodes = [await mind.episodic.record("brief", ttl=0.05, id=name) for name in (None, "given")]

    async def expired() -> bool:
        left = [await mind.semantic.get(fact), *[await mind.episodic.get(each) for each in episodes]]
        return left == [None] * 3

    await aeventually(expired)
    assert await mind.semantic.list() == await mind.episodic.list() == []


@pytest.mark.parametrize("limit", [1, 3, 4, 1000])
async def test_pages_show_each_once_though_each_page_is_forgotten(mind: Any, limit: int) -> None:
    """Given some of each kind, when they are listed page by page, twice, the second time forgetting each page."""
    for memory, remember in kinds(mind):
        ids = {await remember(name) for name in (*HOSTILE, *[None] * 5)}
        for forgetting in (False, True):
            seen: list[str] = []
            while page := [each.id for each in await memory.list(limit=limit, after=seen[-1] if seen else None)]:
                assert len(page) <= limit
                seen += page
                if forgetting:
                    assert all([await memory.forget(each) for each in page])
            assert (set(seen), len(seen)) == (ids, len(ids))
        assert await memory.list() == []


async def test_lists_come_in_the_order_of_ids(mind: Any) -> None:
    for memory, remember in kinds(mind):
        for name in ("m", "b", "z", "a", "é"):
            await remember(name)
        assert [each.id for each in await memory.list()] == ["a", "b", "m", "z", "é"]
        assert [each.id for each in await memory.list(after="c")] == ["m", "z", "é"]
        assert [each.id for each in await memory.list(after="b", limit=2)] == ["m", "z"]
    ours = [await mind.episodic.record(f"{i}", at=NOON - timedelta(minutes=i)) for i in range(3)]
    assert [each.id for each in await mind.episodic.list(limit=3)] == ours


async def test_facts_are_listed_by_metadata_superseded_ones_too(mind: Any) -> None:
    for i in range(300):
        await mind.semantic.store(f"{i}", id=f"{i:03}", metadata={"n": i}, embedding=[1, 2])
    assert [fact.id for fact in await mind.semantic.list(where={"n": {"$gte": 297}})] == ["297", "298", "299"]
    assert [fact.id for fact in await mind.semantic.list(where={"n": {"$gte": 3}}, limit=2, after="280")] == [
        "281",
        "282",
    ]
    assert len(await mind.semantic.list()) == 100
    assert len(await mind.semantic.list(limit=1000)) == 300
    await mind.semantic.store("newer", id="999", supersedes="298", embedding=[1, 2])
    assert [(fact.id, fact.superseded_by) for fact in await mind.semantic.list(where={"n": 298})] == [("298", "999")]


async def test_facts_are_removed_by_their_metadata(mind: Any, open_store: Open) -> None:
    """G3: superseded ones too, and no other fact."""
    other = (await open_store(embed=embed)).task("t")
    for i in range(150):
        await mind.semantic.store(f"{i}", id=f"{i:03}", metadata={"even": i % 2 == 0, "n": i})
    await mind.semantic.store("newer", supersedes="004", metadata={"n": -1})
    await mind.set("even", True)
    await mind.episodic.record("even", metadata={"even": True})
    assert await other.semantic.query("3", 1)
    assert await mind.semantic.delete_matching({"even": 1}) == 0
    assert await mind.semantic.delete_matching({"even": True, "n": {"$lt": 100}}) == 50
    assert await mind.semantic.delete_matching({"even": True, "n": {"$lt": 100}}) == 0
    for task in (other, mind):
        assert len(await task.semantic.query("3", 1000)) == 101
        assert await task.semantic.get("004") is None
        assert await task.semantic.delete_matching({"nothing": 1}) == 0
    assert await mind.get("even")
    assert len(await mind.episodic.recent()) == 1


async def test_a_fact_stored_during_a_removal_is_removed_or_stays(mind: Any, open_store: Open) -> None:
    """G4: no fact is removed after it has changed and no longer matches."""
    other = (await open_store(embed=embed)).task("t")
    for i in range(40):
        await mind.semantic.store("old", id=f"{i}", metadata={"old": True})

    async def renew() -> None:
        for i in range(40):
            await other.semantic.store("new", id=f"{i}", metadata={"old": False}, replace=True)

    removed, _ = await asyncio.gather(mind.semantic.delete_matching({"old": True}), renew())
    assert 0 <= removed <= 40
    assert contents(await mind.semantic.query("new", 100)) == ["new"] * 40


@pytest.mark.parametrize("where", [{}, None, {"a": {"$like": 1}}, {"$or": []}, "a"], ids=repr)
async def test_removing_by_no_condition_or_a_bad_one_removes_nothing(mind: Any, where: Any) -> None:
    await mind.semantic.store("there", metadata={"a": 1})
    await unchanged(mind, mind.semantic.delete_matching(where), ccs.InvalidValue)
    if where:
        for search in (mind.semantic.query("there", where=where), mind.semantic.list(where=where)):
            with pytest.raises(ccs.InvalidValue):
                await search


async def test_bad_arguments_are_refused(mind: Any) -> None:
    for memory, remember in kinds(mind):
        await remember()
        for wrong in (None, "", 5, b"a"):
            await unchanged(mind, memory.get(wrong), ccs.InvalidPath)
            await unchanged(mind, memory.forget(wrong), ccs.InvalidPath)
        for options in ({"limit": 0}, {"limit": None}, {"limit": True}, {"after": ""}, {"after": 5}):
            with pytest.raises((ccs.InvalidValue, ccs.InvalidPath)):
                await memory.list(**options)


async def test_a_finished_context_forgets_nothing(mind: Any) -> None:
    ids = [await remember() for _, remember in kinds(mind)]
    await mind.finish()
    for (memory, _), each in zip(kinds(mind), ids, strict=True):
        await unchanged(mind, memory.forget(each), ccs.ContextFinished)
        assert await memory.get(each) is not None
