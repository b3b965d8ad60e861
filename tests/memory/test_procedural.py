"""Procedural memory, in both colours on every kind of server: G3, G4, G12."""

from __future__ import annotations

import asyncio
import itertools
from typing import Any

import pytest

import ccs
from tests.context.probes import Open, unchanged
from tests.memory.minds import check_found, embed, ranking, vector_of
from tests.support.blocked import open_in
from tests.support.colours import COLOURS
from tests.support.threads import run_threads


@pytest.fixture
async def mind(open_store: Open) -> Any:
    """A task whose store has an embedder."""
    return (await open_store(embed=embed)).task("t")


async def test_a_procedure_is_recalled_with_its_steps_and_who_learned_it(mind: Any) -> None:
    """G12."""
    name = await mind.procedural.learn("deploy", ["build", {"run": "tests"}], confidence=0.7)
    (found,) = await mind.procedural.recall("deploy\nbuild\n{'run': 'tests'}")
    assert found == ccs.Procedure(name, "deploy", ["build", {"run": "tests"}], 0.7, "test", 1.0)


async def test_the_most_similar_come_first(mind: Any) -> None:
    for i in range(30):
        await mind.procedural.learn(f"p{i}", [], id=f"p{i}")
    expected = ranking(vector_of("p7"), {f"p{i}": vector_of(f"p{i}") for i in range(30)})
    check_found(await mind.procedural.recall("p7"), expected[:5])
    check_found(await mind.procedural.recall("p7", 30), expected)


async def test_only_procedures_with_enough_confidence_are_recalled(mind: Any) -> None:
    for i in range(11):
        await mind.procedural.learn(f"p{i}", ["x"], id=f"p{i}", confidence=i / 10)
    found = await mind.procedural.recall("p0", 100, min_confidence=0.8)
    assert sorted(each.id for each in found) == ["p10", "p8", "p9"]
    await mind.procedural.reinforce("p7", True)
    await mind.procedural.reinforce("p8", False)
    found = await mind.procedural.recall("p0", 100, min_confidence=0.8)
    assert sorted(each.id for each in found) == ["p10", "p7", "p9"]


async def test_confidence_grows_and_shrinks_in_exact_steps(mind: Any) -> None:
    name = await mind.procedural.learn("p", ["x"])
    outcomes = [True, True, False, True, False, False]
    assert [await mind.procedural.reinforce(name, each) for each in outcomes] == [0.6, 0.7, 0.65, 0.75, 0.7, 0.65]
    (found,) = await mind.procedural.recall("p")
    assert (found.confidence, found.successes, found.failures) == (0.65, 3, 3)


async def test_confidence_stays_between_0_and_1(mind: Any) -> None:
    high = await mind.procedural.learn("high", ["x"], confidence=0.95)
    low = await mind.procedural.learn("low", ["x"], confidence=0.02)
    assert [await mind.procedural.reinforce(high, True) for _ in range(2)] == [1.0, 1.0]
    assert [await mind.procedural.reinforce(low, False) for _ in range(2)] == [0.0, 0.0]
    assert [await mind.procedural.reinforce(low, True) for _ in range(10)][-1] == 1.0


async def test_reinforcing_does_not_change_the_author(mind: Any, open_store: Open) -> None:
    """G12."""
    name = await mind.procedural.learn("p", ["x"])
    await (await open_store(agent="other")).task("t").procedural.reinforce(name, True)
    assert [found.agent for found in await mind.procedural.recall("p")] == ["test"]
    assert [change.agent for change in await mind.history("@procedures/*")] == ["test", "other"]


async def test_many_concurrent_reinforcements_all_count(mind: Any, open_store: Open) -> None:
    """G4."""
    name = await mind.procedural.learn("p", ["x"], confidence=0.0)
    tasks = [(await open_store(agent=f"{i}")).task("t") for i in range(3)]
    await asyncio.gather(*(tasks[i % 3].procedural.reinforce(name, i % 3 > 0) for i in range(60)))
    (found,) = await mind.procedural.recall("p")
    assert (found.successes, found.failures) == (40, 20)
    assert len(await mind.history(f"@procedures/{name}")) == 61


@pytest.mark.parametrize("colour", COLOURS)
def test_eight_threads_reinforce_a_hundred_times_each(valkey: str, namespace: str, colour: str) -> None:
    """G4: each counts, and each builds on the one before."""
    with open_in(colour, valkey, namespace=namespace, embed=embed) as store:
        task = store.task("t")
        name = task.procedural.learn("p", ["x"])

        def work(_: int) -> None:
            for turn in range(100):
                task.procedural.reinforce(name, turn % 3 == 0)

        run_threads(work, 8)
        (found,) = task.procedural.recall("p")
        steps = [change.value["confidence"] for change in task.history("@procedures/*", limit=1000)]
    assert (found.successes, found.failures) == (8 * 34, 8 * 66)
    assert len(steps) == 801
    for before, after in itertools.pairwise(steps):
        assert after in (round(min(1.0, before + 0.1), 10), round(max(0.0, before - 0.05), 10))
    assert found.confidence == steps[-1]


async def test_a_missing_procedure_cannot_be_reinforced(mind: Any) -> None:
    await mind.procedural.learn("p", ["x"])
    error = await unchanged(mind, mind.procedural.reinforce("nothing", True), ccs.InvalidValue)
    assert "'nothing'" in str(error)


async def test_an_id_that_exists_is_a_conflict(mind: Any) -> None:
    """G4."""
    await mind.procedural.learn("p", ["x"], id="p")
    await unchanged(mind, mind.procedural.learn("q", ["y"], id="p"), ccs.Conflict)


UNFIT: list[dict[str, Any]] = [
    {"steps": "a text"},
    {"steps": b"bytes"},
    {"steps": {"a": 1}},
    {"steps": {"a"}},
    {"steps": 7},
    {"name": 7},
    {"confidence": 1.1},
    {"confidence": -0.1},
    {"confidence": float("nan")},
    {"confidence": True},
    {"confidence": "0.5"},
]


@pytest.mark.parametrize("unfit", UNFIT, ids=map(str, UNFIT))
async def test_a_bad_procedure_is_not_learned(mind: Any, unfit: dict[str, Any]) -> None:
    await mind.set("a", 1)
    given = {"name": "p", "steps": ["x"], **unfit}
    await unchanged(mind, mind.procedural.learn(given.pop("name"), given.pop("steps"), **given), ccs.InvalidValue)


@pytest.mark.parametrize("asked", [{"top_k": 0}, {"min_confidence": 2}, {"min_confidence": None}])
async def test_a_recall_that_makes_no_sense_is_refused(mind: Any, asked: dict[str, Any]) -> None:
    with pytest.raises(ccs.InvalidValue):
        await mind.procedural.recall("x", **asked)


async def test_changing_a_recalled_procedure_does_not_change_the_memory(mind: Any) -> None:
    await mind.procedural.learn("p", [["x"]])
    (await mind.procedural.recall("p"))[0].steps[0].append("y")
    assert (await mind.procedural.recall("p"))[0].steps == [["x"]]
