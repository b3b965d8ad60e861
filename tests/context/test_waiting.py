"""Waiting for several entries, or for so many: decided at one moment, whatever comes and goes meanwhile."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Awaitable
from typing import Any

import pytest
from pydantic import BaseModel

import ccs
from tests.context.probes import Open
from tests.support.waiting import aeventually, bounded, counts, scaled

PATIENCE = scaled(10)


async def begun(*waiting: Awaitable[Any]) -> list[Any]:
    """The waits as tasks, each of which has had a chance to look."""
    started = [asyncio.ensure_future(each) for each in waiting]
    await asyncio.sleep(0)
    return started


async def test_what_is_there_already_counts(task: Any) -> None:
    revision = await task.set_many({"a": 1, "b": None, "c": 3})
    found = await task.wait_for(["b", "a"], timeout=PATIENCE)
    assert ({path: entry.value for path, entry in found.items()}, found.revision) == ({"b": None, "a": 1}, revision)
    assert found["a"] == await task.entry("a")
    assert (await task.wait_for(("a",), {"a": 1}, timeout=PATIENCE)).keys() == {"a"}
    assert await task.wait_for_count("*", 2, timeout=PATIENCE) == 3
    assert await task.wait_for_count("x/*", 0, timeout=PATIENCE) == 0


async def test_it_waits_for_the_last_of_them(open_store: Open) -> None:
    task, other = (await open_store()).task("t"), (await open_store("other")).task("t")
    waits = await begun(
        task.wait_for(["a", "b"], timeout=PATIENCE),
        task.wait_for(["a", "b"], lambda found: sum(found.values()) == 5, timeout=PATIENCE),
        task.wait_for_count("[ab]", 2, timeout=PATIENCE),
    )
    first = await other.set("a", 1)
    await other.set("elsewhere", 7)
    second = await other.set("b", 2)
    third = await other.set("b", 4)
    both, summed, count = await bounded(asyncio.gather(*waits))
    assert both.revision >= second.revision
    assert ({path: entry.value for path, entry in summed.items()}, summed.revision) == (
        {"a": 1, "b": 4},
        third.revision,
    )
    assert summed["a"].revision == first.revision
    assert count == 2


async def test_a_moment_that_passed_is_seen_but_never_half_of_a_commit(open_store: Open) -> None:
    """Given pairs that are always equal after a commit, and 7 for one commit only, then no look finds a pair unequal."""
    task, other = (await open_store()).task("t"), (await open_store("other")).task("t")
    unequal = []

    def seven(found: dict[str, int]) -> bool:
        if len(set(found.values())) > 1:
            unequal.append(found)
        return found.get("a") == 7

    await other.set_many({"a": 0, "b": 0})
    looked: list[bool] = []
    (waiting,) = await begun(task.wait_for(["a", "b"], lambda found: looked.append(True) or seven(found)))
    await aeventually(lambda: looked)
    for number in range(counts(15, 300)):
        await other.set_many({"a": number, "b": number})
    found = await bounded(waiting)
    assert ([entry.value for entry in found.values()], unequal) == ([7, 7], [])


async def test_what_is_removed_or_has_expired_no_longer_counts(task: Any) -> None:
    await task.set_many({"q/1": 1, "q/2": 2})
    await task.set("q/3", 3, ttl=0.15)
    (waiting,) = await begun(task.wait_for_count("q/*", 4, timeout=PATIENCE))
    await task.delete("q/1")
    await aeventually(lambda: _expired(task))
    await task.set_many({"q/4": 4, "q/5": 5})
    await task.set("q/1", 1)
    assert await bounded(waiting) == 4


async def _expired(task: Any) -> bool:
    return "expire" in [change.op for change in await task.history("q/3")]


async def test_a_condition_may_look_up_what_is_not_there_yet(task: Any) -> None:
    seen: list[Any] = []

    def both(values: Any) -> bool:
        seen.append((dict(values), values["b"], "b" in values, values.get("b", 7)))
        with pytest.raises(KeyError):
            values["c"]
        return values["a"] == 1 and values["b"] == 2

    await task.set("a", 1)
    (waiting,) = await begun(task.wait_for(["a", "b"], both, timeout=PATIENCE))
    await aeventually(lambda: seen, what="a first look")
    await task.set("b", 2)
    assert (await bounded(waiting))["b"].value == 2
    assert (seen[0], seen[-1]) == (({"a": 1}, None, False, 7), ({"a": 1, "b": 2}, 2, True, 2))


@pytest.mark.parametrize("until", [5, "done", True, [1, 2]])
async def test_what_cannot_hold_for_several_paths_is_refused_at_once(task: Any, until: Any) -> None:
    with pytest.raises(ccs.InvalidValue, match="give a function of the dict of their values"):
        await bounded(task.wait_for(["a", "b"], until))


async def test_it_gives_up_and_says_what_is_missing(task: Any) -> None:
    await task.set("a", 1)
    with pytest.raises(TimeoutError, match=r"\['a', 'b'\] in /tasks/t to exist; \['b'\] are not there"):
        await task.wait_for(["a", "b"], timeout=0.01)
    with pytest.raises(TimeoutError, match="to satisfy the condition; all are there"):
        await task.wait_for(["a"], lambda found: False, timeout=0.01)
    with pytest.raises(TimeoutError, match=r"3 entries that match '\*' in /tasks/t; there are 1"):
        await task.wait_for_count("*", 3, timeout=0.01)


async def test_the_end_of_the_context_ends_the_wait(task: Any) -> None:
    await task.set("a", 1)
    waits = await begun(task.wait_for(["a", "b"]), task.wait_for_count("*", 2))
    await aeventually(lambda: task.revision())
    await task.finish("done")
    for error in await bounded(asyncio.gather(*waits, return_exceptions=True)):
        assert isinstance(error, ccs.ContextFinished)
    with pytest.raises(ccs.ContextFinished):
        await task.wait_for_count("*", 2)


async def test_values_are_validated_and_bad_arguments_refused(task: Any) -> None:
    class Source(BaseModel):
        url: str

    await task.set("a", {"url": "x"})
    found = await task.wait_for(["a"], lambda found: found["a"].url == "x", type=Source, timeout=PATIENCE)
    assert found["a"].value == Source(url="x")
    await task.set("a", 1)
    for error, wait in (
        (ccs.InvalidValue, task.wait_for(["a"], type=Source)),
        (ccs.InvalidValue, task.wait_for([])),
        (ccs.InvalidValue, task.wait_for(7)),
        (ccs.InvalidPath, task.wait_for(["a", "/b"])),
        (ccs.InvalidValue, task.wait_for_count("*", -1)),
        (ccs.InvalidValue, task.wait_for_count("*", True)),
        (ccs.InvalidPattern, task.wait_for_count("[", 1)),
    ):
        with pytest.raises(error):
            await wait


async def test_counts_agree_with_a_model_while_entries_come_and_go(open_store: Open) -> None:
    """Given writers that race, whoever waits for n entries gets an answer only when so many had been there at once."""
    stores = [await open_store(f"agent {index}") for index in range(2)]
    tasks, dice = [store.task("t") for store in stores], random.Random(7)
    waits = await begun(*(tasks[n % 2].wait_for_count("q/*", n, timeout=scaled(20)) for n in range(1, 7)))

    async def write(task: Any) -> None:
        for _ in range(counts(25, 400)):
            path = f"q/{dice.randrange(7)}"
            await (task.delete(path) if dice.random() < 0.4 else task.set(path, 1))

    await bounded(asyncio.gather(*map(write, tasks)), 30)
    await tasks[0].set_many({f"q/{number}": 1 for number in range(7)})
    found = await bounded(asyncio.gather(*waits), 30)
    sizes, there = set[int](), set[str]()
    for change in await tasks[0].history("q/*"):
        (there.add if change.op == "set" else there.discard)(change.path)
        sizes.add(len(there))
    assert all(wanted <= got and got in sizes for wanted, got in zip(range(1, 7), found, strict=True))
