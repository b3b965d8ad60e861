"""Semantic memory, in both colours on every kind of server: G3, G4, G9, G10, G12."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import ccs
from tests.context.probes import Open, unchanged
from tests.memory.minds import check_found, contents, embed, ranking, vector_of
from tests.support.waiting import aeventually


@pytest.fixture
async def mind(open_store: Open) -> Any:
    """A task whose store has an embedder."""
    return (await open_store(embed=embed)).task("t")


async def test_a_fact_is_found_with_its_metadata_and_author(mind: Any) -> None:
    """G12."""
    name = await mind.semantic.store("the sky is blue", metadata={"source": "seen", "at": (1, 2)})
    (match,) = await mind.semantic.query("the sky is blue")
    (change,) = await mind.history("@semantic/*")
    assert match == ccs.Match(name, "the sky is blue", 1.0, {"source": "seen", "at": [1, 2]}, "test", change.at)
    fact = await mind.semantic.get(name)
    assert fact == ccs.Fact(name, "the sky is blue", {"source": "seen", "at": [1, 2]}, "test", change.at)


async def test_each_fact_has_an_id_of_its_own_if_none_is_given(mind: Any) -> None:
    ids = [await mind.semantic.store("the same") for _ in range(20)]
    assert len(set(ids)) == 20
    assert {match.id for match in await mind.semantic.query("the same", 100)} == set(ids)


async def test_the_best_come_first_with_exact_scores(mind: Any) -> None:
    vectors = {f"f{i}": vector_of(f"fact {i}") for i in range(300)}
    await asyncio.gather(*(mind.semantic.store(f"fact {i}", id=f"f{i}") for i in range(300)))
    for asked in ("fact 7", "something else"):
        expected = ranking(vector_of(asked), vectors)
        for count in (1, 5, 100, 300, 1000):
            check_found(await mind.semantic.query(asked, count), expected[:count])


async def test_equal_facts_come_in_the_order_of_their_ids(mind: Any, open_store: Open) -> None:
    for name in ("c", "a", "e", "b", "d"):
        await mind.semantic.store("equal", id=name)
    await mind.semantic.query("equal")
    for name in ("a", "e"):
        await mind.semantic.delete(name)
    await mind.semantic.store("equal", id="a")
    other = (await open_store(embed=embed)).task("t")
    for task in (mind, other):
        assert [match.id for match in await task.semantic.query("equal", 3)] == ["a", "b", "c"]


async def test_a_query_takes_an_embedding_or_a_text(mind: Any) -> None:
    await mind.semantic.store("x", embedding=[0, 0, 3, 0, 0, 0, 0, 0])
    await mind.semantic.store("y", embedding=(0, 0, 1, 1, 0, 0, 0, 0))
    matches = await mind.semantic.query([0, 0, 0.5, 0, 0, 0, 0, 0])
    assert [(match.content, match.score) for match in matches] == [("x", 1.0), ("y", 0.707106781187)]
    (opposite,) = await mind.semantic.query([0, 0, -9, 0, 0, 0, 0, 0], 1, where=None)
    assert (opposite.content, opposite.score) == ("y", -0.707106781187)


async def test_only_facts_with_the_metadata_asked_for_are_found(mind: Any) -> None:
    for i in range(60):
        await mind.semantic.store(f"fact {i}", metadata={"even": i % 2 == 0, "tags": ["a", i % 3]})
    even = await mind.semantic.query("fact 1", 100, where={"even": True})
    assert len(even) == 30
    assert all(match.metadata["even"] for match in even)
    assert len(await mind.semantic.query("fact 1", 100, where={"even": False, "tags": ("a", 0)})) == 10
    assert await mind.semantic.query("fact 1", where={"nothing": None}) == []
    assert await mind.semantic.query("fact 1", 3) == await mind.semantic.query("fact 1", 3, where={})


async def test_facts_that_score_less_than_min_score_are_left_out(mind: Any) -> None:
    await mind.semantic.store("one")
    await mind.semantic.store("two")
    assert contents(await mind.semantic.query("one", min_score=0.999)) == ["one"]
    assert contents(await mind.semantic.query("one", min_score=-1)) == ["one", "two"]


async def test_an_id_that_exists_is_a_conflict_unless_it_is_replaced(mind: Any) -> None:
    """G4."""
    await mind.semantic.store("old", id="x")
    error = await unchanged(mind, mind.semantic.store("new", id="x"), ccs.Conflict)
    assert (error.path, error.version, error.agent) == ("@semantic/x", 1, "test")
    assert await mind.semantic.store("new", id="x", replace=True) == "x"
    assert contents(await mind.semantic.query("old")) == ["new"]
    assert await mind.semantic.store("first", id="y", replace=True) == "y"


async def test_a_superseded_fact_is_no_longer_found_but_can_still_be_read(mind: Any) -> None:
    """G1: in the same commit."""
    old = await mind.semantic.store("it is day", metadata={"n": 1})
    before = await mind.semantic.get(old)
    new = await mind.semantic.store("it is night", supersedes=old)
    assert contents(await mind.semantic.query("it is day")) == ["it is night"]
    revisions = {change.revision for change in await mind.history("@semantic/*")}
    assert len(revisions) == 2
    after = await mind.semantic.get(old)
    assert after.superseded_by == new
    assert (after.content, after.metadata, after.agent, after.stored_at) == (
        "it is day",
        {"n": 1},
        before.agent,
        before.stored_at,
    )


async def test_of_a_chain_of_facts_only_the_last_is_found(mind: Any, open_store: Open) -> None:
    """And each of the others names the fact that superseded it."""
    chain = [await mind.semantic.store("fact 0")]
    for i in range(1, 6):
        chain.append(await mind.semantic.store(f"fact {i}", supersedes=chain[-1]))
    for task in (mind, (await open_store(embed=embed)).task("t")):
        assert contents(await task.semantic.query("fact 0", 100)) == ["fact 5"]
        assert [(await task.semantic.get(name)).superseded_by for name in chain] == [*chain[1:], None]
    await unchanged(mind, mind.semantic.store("fact 9", supersedes=chain[2]), ccs.Conflict)
    await mind.semantic.delete(chain[5])
    assert await mind.semantic.query("fact 5", 100) == []


async def test_superseding_does_not_change_the_author(mind: Any, open_store: Open) -> None:
    """G12."""
    old = await mind.semantic.store("it is day")
    other = (await open_store(agent="other", embed=embed)).task("t")
    new = await other.semantic.store("it is night", supersedes=old)
    assert [(await mind.semantic.get(name)).agent for name in (old, new)] == ["test", "other"]


async def test_a_fact_is_superseded_once(mind: Any) -> None:
    """G4: of many at once, one wins."""
    old = await mind.semantic.store("old")

    async def supersede(i: int) -> str | None:
        try:
            return str(await mind.semantic.store(f"new {i}", supersedes=old))
        except ccs.Conflict:
            return None

    won = [name for name in await asyncio.gather(*map(supersede, range(8))) if name]
    assert [match.id for match in await mind.semantic.query("old", 100)] == won
    assert (await mind.semantic.get(old)).superseded_by == won[0]
    await unchanged(mind, mind.semantic.store("late", supersedes=old), ccs.Conflict)


async def test_a_missing_fact_cannot_be_superseded(mind: Any) -> None:
    await mind.semantic.store("x", id="x")
    await unchanged(mind, mind.semantic.store("y", supersedes="nothing"), ccs.InvalidValue)
    await unchanged(mind, mind.semantic.store("y", id="x", replace=True, supersedes="x"), ccs.InvalidValue)


async def test_a_superseded_fact_keeps_its_deadline(mind: Any) -> None:
    await mind.semantic.store("old", id="old", ttl=3600)
    deadline = (await mind.semantic.get("old")).expires_at
    await mind.semantic.store("new", id="new", supersedes="old")
    assert deadline is not None
    assert (await mind.semantic.get("old")).expires_at == deadline
    assert (await mind.semantic.get("new")).expires_at is None


async def test_an_expired_fact_is_no_longer_found(mind: Any) -> None:
    """G9: not even before it is swept."""
    await mind.semantic.store("stays")
    await mind.semantic.store("goes", id="goes", ttl=0.2)
    assert len(await mind.semantic.query("goes")) == 2
    await aeventually(lambda: missing(mind, "goes"))
    assert contents(await mind.semantic.query("goes")) == ["stays"]


async def missing(task: Any, name: str) -> bool:
    return await task.semantic.get(name) is None


async def test_a_deleted_fact_is_gone(mind: Any) -> None:
    name = await mind.semantic.store("x")
    await mind.semantic.query("x")
    assert (await mind.semantic.delete(name), await mind.semantic.delete(name)) == (True, False)
    assert await mind.semantic.query("x") == []
    assert await mind.semantic.get(name) is None


async def test_a_query_sees_every_fact_stored_before(mind: Any, open_store: Open) -> None:
    """G3."""
    others = [(await open_store(agent=f"other {i}", embed=embed)).task("t") for i in range(2)]
    tasks = [mind, *others]
    for i in range(30):
        writer, reader = tasks[i % 3], tasks[(i + 1) % 3]
        name = await writer.semantic.store(f"fact {i}")
        for task in (reader, writer):
            assert (await task.semantic.query(f"fact {i}", 1))[0].id == name
        if i % 3 == 0:
            await reader.semantic.delete(name)
            assert name not in [match.id for match in await writer.semantic.query(f"fact {i}", 100)]


async def test_a_cancelled_query_leaves_nothing_half_read(aconnect: Any) -> None:
    """G14: wherever it is cancelled, while it loads or catches up."""
    writer, reader = aconnect(embed=embed).task("t"), aconnect(embed=embed).task("t")
    for steps in range(60):
        await writer.semantic.store(f"fact {steps}", id=f"{steps}")
        if steps % 3 == 0:
            reader = aconnect(embed=embed).task("t")
        query = asyncio.ensure_future(reader.semantic.query("x"))
        for _ in range(steps):
            await asyncio.sleep(0)
        query.cancel()
        await asyncio.gather(query, return_exceptions=True)
        assert {match.id for match in await reader.semantic.query("x", 100)} == {f"{i}" for i in range(steps + 1)}


async def test_other_entries_and_contexts_are_not_searched(mind: Any, shared: Any) -> None:
    await mind.semantic.store("here")
    await mind.set("semantic/x", {"content": "no"})
    await mind.episodic.record("no")
    await mind.procedural.learn("no", ["no"])
    assert contents(await mind.semantic.query("here")) == ["here"]
    assert await mind.store.task("other").semantic.query("here") == []


async def test_after_a_drop_only_later_facts_are_found(mind: Any, open_store: Open) -> None:
    """G10."""
    other = (await open_store(embed=embed)).task("t")
    await mind.semantic.store("old")
    assert contents(await other.semantic.query("x")) == ["old"]
    await mind.drop()
    assert await other.semantic.query("x") == []
    await mind.semantic.store("new")
    assert contents(await other.semantic.query("x")) == contents(await mind.semantic.query("x")) == ["new"]


async def test_the_facts_of_an_expired_context_are_not_found(open_store: Open) -> None:
    """G10: although no message says so."""
    task = (await open_store(embed=embed)).task("brief", ttl=0.3)
    await task.semantic.store("x")
    assert contents(await task.semantic.query("x")) == ["x"]

    async def forgotten() -> bool:
        return await task.semantic.query("x") == []

    await aeventually(forgotten)


async def test_a_finished_context_can_still_be_queried(mind: Any) -> None:
    await mind.semantic.store("x")
    await mind.finish("done")
    assert contents(await mind.semantic.query("x")) == ["x"]
    with pytest.raises(ccs.ContextFinished):
        await mind.semantic.store("y")


async def test_a_copy_that_the_journal_has_left_behind_is_loaded_again(mind: Any, open_store: Open) -> None:
    brief = (await open_store(embed=embed)).task("t", keep_commits=2)
    await brief.semantic.store("first")
    assert contents(await mind.semantic.query("first")) == ["first"]
    for i in range(60):
        await brief.semantic.store(f"fact {i}")
    await brief.semantic.delete((await brief.semantic.query("first", 1))[0].id)
    assert sorted(contents(await mind.semantic.query("x", 100))) == sorted(f"fact {i}" for i in range(60))


async def test_the_holder_of_a_lost_claim_stores_nothing(mind: Any) -> None:
    claim = mind.claim("c")
    await claim.acquire(timeout=5)
    fenced = claim.context
    await fenced.semantic.store("held")
    await claim.release()
    with pytest.raises(ccs.ClaimLost):
        await fenced.semantic.store("lost")
    assert contents(await mind.semantic.query("x")) == ["held"]


SENSELESS: list[dict[str, Any]] = [
    {"top_k": 0},
    {"top_k": True},
    {"top_k": 1.5},
    {"where": "x"},
    {"where": [1]},
    {"min_score": "0.5"},
    {"min_score": float("nan")},
    {"min_score": True},
]


@pytest.mark.parametrize("asked", SENSELESS, ids=map(str, SENSELESS))
async def test_a_query_that_makes_no_sense_is_refused(mind: Any, asked: dict[str, Any]) -> None:
    with pytest.raises(ccs.InvalidValue):
        await mind.semantic.query("x", **asked)
