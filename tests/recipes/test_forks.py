"""Forks: a copy of one moment, and adopting what was found there, path by path, in one commit."""

from __future__ import annotations

import asyncio
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import ccs
from tests.support.waiting import aeventually, counts

FORK = "guess"


async def parted(task: Any, **values: Any) -> Any:
    """Sets the values, and forks the task."""
    await task.set_many(values)
    return await task.fork(FORK)


async def values_of(context: Any) -> dict[str, Any]:
    return {path: entry.value for path, entry in (await context.snapshot()).items()}


async def test_a_fork_has_the_entries_that_match_and_knows_where_they_come_from(task: Any) -> None:
    await task.set_many({"sources/a": {"n": 1}, "sources/b": b"\x00", "notes/c": None})
    fork = await task.fork(FORK, "sources/**")
    assert fork.address == f"/tasks/{FORK}"
    assert fork.agent == task.agent
    assert await values_of(fork) == {"sources/a": {"n": 1}, "sources/b": b"\x00"}
    assert (await fork.get("@fork/base"))["from"] == task.address


async def test_what_happens_in_a_fork_stays_there(task: Any) -> None:
    fork = await parted(task, a=1)
    await fork.set("a", 2)
    await task.set("b", 3)
    assert await values_of(task) == {"a": 1, "b": 3}
    assert await values_of(fork) == {"a": 2}


async def test_the_system_s_entries_are_not_copied_even_if_they_are_named(task: Any) -> None:
    await task.set("a", 1)
    await task.send("analyst", "hello")
    fork = await task.fork(FORK, "**", "@inbox/**")
    assert await fork.paths("**", "@fork/**", "@inbox/**") == ["@fork/base", "a"]


async def test_deadlines_are_copied(task: Any) -> None:
    kept = await task.set("kept", 1)
    short = await task.set("short", 1, ttl=100)
    fork = await task.fork(FORK)
    assert (await fork.entry("kept")).expires_at is kept.expires_at is None
    assert abs((await fork.entry("short")).expires_at - short.expires_at) < timedelta(seconds=5)


async def test_an_id_that_exists_is_a_conflict(task: Any, shared: Any) -> None:
    await shared.task(FORK).set("a", 1)
    await shared.task("empty").set("a", 1)
    await shared.task("empty").delete("a")
    for taken in (FORK, "empty"):
        with pytest.raises(ccs.Conflict) as refused:
            await task.fork(taken)
        assert refused.value.path == f"/tasks/{taken}"
    assert await values_of(shared.task(FORK)) == {"a": 1}


async def test_of_many_forks_of_one_name_one_is_made(task: Any) -> None:
    await task.set("a", 1)
    made = await asyncio.gather(*(task.fork(FORK) for _ in range(8)), return_exceptions=True)
    assert sorted(type(each).__name__ for each in made if isinstance(each, Exception)) == ["Conflict"] * 7


async def test_what_is_too_large_for_one_commit_is_not_forked(task: Any, shared: Any) -> None:
    for part in range(17):
        await task.set(f"part/{part}", b"x" * 1_000_000)
    with pytest.raises(ccs.ValueTooLarge):
        await task.fork(FORK)
    assert (await shared.task(FORK).info()).revision == 0
    some = await task.fork(FORK, "part/1*", "part/[2-8]")
    assert len(await some.paths()) == 15


async def test_the_ttl_of_a_fork_is_that_of_a_task_unless_it_is_given(task: Any) -> None:
    await task.set("a", 1)
    assert (await (await task.fork("f1")).info()).ttl == timedelta(days=1)
    assert (await (await task.fork("f2", ttl=60)).info()).ttl == timedelta(minutes=1)
    assert (await (await task.fork("f3", ttl=None)).info()).ttl is None


async def test_a_view_is_not_forked_and_adopts_only_what_it_may_write(task: Any) -> None:
    await task.set_many({"a": 1, "b": 1})
    with pytest.raises(ccs.Forbidden):
        await task.view(read="**", write="**").fork(FORK)
    fork = await task.fork(FORK)
    await fork.set_many({"a": 2, "b": 2})
    narrow = task.view(read=["**", "@forks/**"], write=["a", "@forks/**"])
    with pytest.raises(ccs.Forbidden):
        await narrow.adopt(fork)
    assert (await narrow.adopt(fork, "a")).applied == ("a",)
    with pytest.raises(ccs.Forbidden):
        await task.view(read="**", write="**").adopt(fork)
    # What a view of the fork does not show is not taken for removed.
    assert (await task.adopt(fork.view(read=["@fork/**", "a"]))).applied == ()
    assert await values_of(task) == {"a": 2, "b": 1}


async def test_adopting_writes_removes_and_creates_in_one_commit(task: Any) -> None:
    fork = await parted(task, a=1, b=1, same=1)
    await fork.set("a", 2)
    await fork.delete("b")
    await fork.set("c/d", [3])
    since = await task.revision()
    adopted = await task.adopt(fork)
    assert adopted.applied == ("a", "b", "c/d")
    assert adopted.conflicts == ()
    assert await values_of(task) == {"a": 2, "same": 1, "c/d": [3]}
    changes = await task.history("**", "@forks/**", since=since)
    assert {change.revision for change in changes} == {adopted.revision}


async def test_adopting_again_brings_only_what_is_new(task: Any) -> None:
    fork = await parted(task, a=1, b=1)
    await fork.set("a", 2)
    await task.adopt(fork)
    await task.set("a", 3)
    before = await task.revision()
    assert await task.adopt(fork) == ccs.Adopted(before, (), ())
    await fork.set("b", 2)
    assert (await task.adopt(fork)).applied == ("b",)
    assert await values_of(task) == {"a": 3, "b": 2}


async def test_adopting_some_patterns_moves_their_base_alone(task: Any) -> None:
    fork = await parted(task, a=1, b=1)
    await fork.set_many({"a": 2, "b": 2})
    assert (await task.adopt(fork, "a")).applied == ("a",)
    assert (await task.adopt(fork)).applied == ("b",)


async def test_a_path_that_changed_on_both_sides_is_reported_and_nothing_is_written(task: Any) -> None:
    fork = await parted(task, a=1, b=1, c=1)
    await fork.set_many({"a": "theirs", "b": 2})
    await fork.delete("c")
    await task.set_many({"a": "ours", "c": "ours"})
    before = await values_of(task), await task.revision()
    with pytest.raises(ccs.AdoptConflict) as refused:
        await task.adopt(fork)
    assert refused.value.paths == ("a", "c")
    assert isinstance(refused.value, ccs.CCSError)
    assert (await values_of(task), await task.revision()) == before


@pytest.mark.parametrize(
    ("decision", "expected"),
    [
        ("ours", {"a": "ours", "b": 2, "c": "ours"}),
        ("theirs", {"a": "theirs", "b": 2}),
        (
            lambda path, base, ours, theirs: [path, base, ours, theirs],
            {"a": ["a", 1, "ours", "theirs"], "b": 2, "c": ["c", 1, "ours", None]},
        ),
        (lambda path, base, ours, theirs: theirs, {"a": "theirs", "b": 2}),
    ],
    ids=["ours", "theirs", "a function", "a function that removes"],
)
async def test_conflicts_are_decided_as_asked(task: Any, decision: Any, expected: dict[str, Any]) -> None:
    fork = await parted(task, a=1, b=1, c=1)
    await fork.set_many({"a": "theirs", "b": 2})
    await fork.delete("c")
    await task.set_many({"a": "ours", "c": "ours"})
    adopted = await task.adopt(fork, on_conflict=decision)
    assert adopted.conflicts == ("a", "c")
    assert await values_of(task) == expected
    assert (await task.adopt(fork)).applied == (), "the decision was not remembered"


async def test_a_function_gets_the_base_of_the_last_adoption(task: Any) -> None:
    fork = await parted(task, a=1)
    await fork.set("a", 2)
    await task.adopt(fork)
    await fork.set("a", 3)
    await task.set("a", 4)
    await task.adopt(fork, on_conflict=lambda *seen: list(seen))
    assert await task.get("a") == ["a", 2, 4, 3]


async def test_the_same_change_on_both_sides_is_no_conflict(task: Any) -> None:
    fork = await parted(task, a=1, b=1)
    for side in (task, fork):
        await side.set("a", 2)
        await side.delete("b")
    assert (await task.adopt(fork)).applied == ()
    assert await values_of(task) == {"a": 2}


async def test_what_expired_in_a_fork_was_not_removed_there(task: Any) -> None:
    await task.set("a", 1, ttl=0.3)
    fork = await task.fork(FORK)
    await task.renew("a", None)

    async def expired() -> bool:
        return not await fork.exists("a")

    await aeventually(expired, what="the copy to expire")
    assert (await task.adopt(fork)).applied == ()
    assert await task.get("a") == 1


async def test_a_deadline_is_adopted_with_its_value(task: Any) -> None:
    fork = await parted(task, a=1)
    await fork.set("a", 2, ttl=100)
    await task.adopt(fork)
    assert (await task.entry("a")).expires_at is not None


async def test_only_a_fork_of_this_context_is_adopted(task: Any, shared: Any) -> None:
    fork = await parted(task, a=1)
    other = shared.task("other")
    await other.set("a", 2)
    with pytest.raises(ccs.InvalidValue, match="not a fork"):
        await task.adopt(other)
    with pytest.raises(ccs.InvalidValue, match="not a fork"):
        await other.adopt(fork)
    with pytest.raises(ccs.InvalidValue, match="on_conflict"):
        await task.adopt(fork, on_conflict="mine")
    await fork.drop()
    with pytest.raises(ccs.ContextGone):
        await task.adopt(fork)


async def test_a_fork_that_was_made_again_under_the_same_name_has_a_base_of_its_own(task: Any) -> None:
    fork = await parted(task, a=1)
    await fork.set("a", 2)
    await task.adopt(fork)
    await fork.drop()
    await task.set("a", 1)
    again = await task.fork(FORK)
    await again.set("a", 2)
    assert (await task.adopt(again)).applied == ("a",)


async def test_records_of_forks_that_are_gone_are_removed_by_later_adoptions(task: Any) -> None:
    await task.set("a", 0)
    forks = [await task.fork(f"{FORK}/{number} % ") for number in range(12)]
    for number, fork in enumerate(forks, 1):
        await fork.set("a", number)
        await task.adopt(fork, on_conflict="theirs")
    assert len(await task.paths("@forks/**")) == 12
    for fork in forks[1:]:
        await fork.drop()
    for number in range(13, 15):
        await forks[0].set("a", number)
        assert (await task.adopt(forks[0], on_conflict="theirs")).applied == ("a",)
    assert len(await task.paths("@forks/**")) == 1
    await forks[0].set("b", 1)
    assert (await task.adopt(forks[0])).applied == ("b",), "the record of a fork that is there was removed"


async def test_policies_bind_an_adoption(task: Any) -> None:
    fork = await parted(task, a=1)
    await task.set_policy("a", "write-once")
    await fork.set("a", 2)
    with pytest.raises(ccs.Conflict) as refused:
        await task.adopt(fork)
    assert refused.value.policy == "write-once"
    assert await task.get("a") == 1


# Against a small model: the values of the base, of ours and of theirs, by path.

PATHS = ("a", "b", "c/d")
SIDES = st.sampled_from(["ours", "theirs"])
WRITES = st.tuples(st.just("write"), SIDES, st.sampled_from(PATHS), st.one_of(st.none(), st.integers(0, 2)))
ADOPTIONS = st.tuples(
    st.just("adopt"), st.sampled_from(["raise", "ours", "theirs", "both"]), st.sampled_from([*PATHS, "**"])
)


def both(path: str, base: Any, ours: Any, theirs: Any) -> Any:
    return f"{base} {ours} {theirs}"


class Model:
    """Three-way merging, of values that are never None."""

    def __init__(self, values: dict[str, Any]) -> None:
        self.base, self.ours, self.theirs = dict(values), dict(values), dict(values)

    def adopt(self, how: str, pattern: str) -> tuple[list[str], list[str]] | None:
        """What is applied and decided; None: nothing, as there are conflicts."""
        results = dict(self.ours)
        decided = []
        for path in PATHS if pattern == "**" else (pattern,):
            base, ours, theirs = (side.get(path) for side in (self.base, self.ours, self.theirs))
            if theirs in (base, ours):
                continue
            result = theirs
            if ours != base:
                decided.append(path)
                result = {"ours": ours, "theirs": theirs, "both": both(path, base, ours, theirs), "raise": None}[how]
            put(results, path, result)
        if decided and how == "raise":
            return None
        applied = [path for path in PATHS if results.get(path) != self.ours.get(path)]
        self.ours = results
        for path in PATHS if pattern == "**" else (pattern,):
            put(self.base, path, self.theirs.get(path))
        return applied, decided


def put(values: dict[str, Any], path: str, value: Any) -> None:
    values.pop(path, None) if value is None else values.update({path: value})


@settings(max_examples=counts(25, 400), deadline=None, suppress_health_check=list(HealthCheck))
@given(
    start=st.dictionaries(st.sampled_from(PATHS), st.integers(0, 2)), steps=st.lists(WRITES | ADOPTIONS, max_size=12)
)
async def test_it_is_three_way_merging(shared: Any, start: dict[str, Any], steps: list[Any]) -> None:
    number = await shared.global_context().increment("runs")
    task = shared.task(f"origin-{number}")
    await task.set_many({"seed": 0, **start})
    fork = await task.fork(f"fork-{number}")
    model = Model(start)
    sides = {"ours": (task, model.ours), "theirs": (fork, model.theirs)}
    for kind, *step in steps:
        sides = {"ours": (task, model.ours), "theirs": (fork, model.theirs)}
        if kind == "write":
            side, path, value = step
            context, values = sides[side]
            await (context.delete(path) if value is None else context.set(path, value))
            put(values, path, value)
            continue
        how, pattern = step
        expected = model.adopt(how, pattern)
        try:
            adopted = await task.adopt(fork, pattern, on_conflict=both if how == "both" else how)
            assert (list(adopted.applied), list(adopted.conflicts)) == expected
        except ccs.AdoptConflict:
            assert expected is None
        assert await values_of(task) == {"seed": 0, **model.ours}


async def test_with_writers_on_both_sides_nothing_is_lost(task: Any) -> None:
    """Each side writes paths of its own, and one that both write; whatever the fork wrote last is adopted in the end."""
    fork = await parted(task, shared=0)
    rounds = counts(15, 100)

    async def write(side: Any, name: str) -> None:
        for number in range(rounds):
            await side.set_many({f"{name}/{number % 4}": number, "shared": f"{name} {number}"})

    async def adopt() -> None:
        for _ in range(rounds):
            await task.adopt(fork, on_conflict=lambda path, base, ours, theirs: ours)

    await asyncio.gather(write(task, "ours"), write(fork, "theirs"), adopt(), adopt())
    await task.adopt(fork, on_conflict="ours")
    found = await values_of(task)
    last = {f"{name}/{number % 4}": number for name in ("ours", "theirs") for number in range(rounds)}
    assert {path: value for path, value in found.items() if path != "shared"} == last
    assert (await task.adopt(fork)).applied == ()
