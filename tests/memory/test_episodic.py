"""Episodic memory, in both colours on every kind of server: G1, G3, G9, G12."""

from __future__ import annotations

import asyncio
import itertools
import random
import threading
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

import ccs
from tests.context.probes import Open, unchanged
from tests.memory.minds import check_found, contents, embed, ranking, vector_of
from tests.support.colours import Awaited
from tests.support.waiting import aeventually

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)


def minute(number: int) -> datetime:
    return NOON + timedelta(minutes=number)


def told(episodes: Iterable[ccs.Episode]) -> list[str]:
    return [episode.description for episode in episodes]


@pytest.fixture
async def mind(open_store: Open) -> Any:
    """A task whose store has an embedder."""
    return (await open_store(embed=embed)).task("t")


async def test_an_episode_is_shown_with_its_own_time_and_who_recorded_it(task: Any) -> None:
    """G12."""
    elsewhere = timezone(timedelta(hours=5, minutes=30))
    name = await task.episodic.record("met", at=minute(7).astimezone(elsewhere), metadata={"with": ["ann"]})
    assert await task.episodic.recent() == [ccs.Episode(name, "met", minute(7), "test", {"with": ["ann"]})]


async def test_without_a_time_it_happened_now_by_the_servers_clock(task: Any) -> None:
    await task.set("before", 1)
    await task.episodic.record("now")
    await task.set("after", 1)
    (episode,) = await task.episodic.recent()
    before, after = await task.entry("before"), await task.entry("after")
    assert before.updated_at <= episode.at <= after.updated_at


async def test_the_latest_come_first_whenever_they_were_recorded(task: Any, open_store: Open) -> None:
    minutes = list(range(40))
    random.Random(7).shuffle(minutes)
    for i in minutes:
        await task.episodic.record(f"{i}", at=minute(i))
    other = (await open_store()).task("t")
    for each in (task, other):
        assert told(await each.episodic.recent()) == [f"{i}" for i in range(39, 29, -1)]
        assert told(await each.episodic.recent(100)) == [f"{i}" for i in range(39, -1, -1)]
        assert told(await each.episodic.recent(3, since=minute(20))) == ["39", "38", "37"]
        assert told(await each.episodic.recent(100, since=minute(37))) == ["39", "38", "37"]
        assert told(await each.episodic.recent(100, since=minute(37) + timedelta(microseconds=1))) == ["39", "38"]
        assert await each.episodic.recent(since=minute(40)) == []


async def test_any_time_of_the_calendar_is_in_order(task: Any) -> None:
    moments = [
        datetime(1, 1, 2, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2025, 1, 1, 0, 0, 0, 1, tzinfo=UTC),
        datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
    ]
    for i in (3, 0, 4, 2, 1):
        await task.episodic.record(f"{i}", at=moments[i])
    assert [episode.at for episode in await task.episodic.recent()] == moments[::-1]


NO_MOMENTS: list[Any] = [
    datetime(2025, 1, 1),  # noqa: DTZ001
    datetime.min.replace(tzinfo=timezone(timedelta(hours=9))),
    datetime(2025, 1, 1, tzinfo=UTC).date(),
    "2025-01-01T00:00:00Z",
    1_735_689_600,
    0,
]


@pytest.mark.parametrize("at", NO_MOMENTS, ids=map(str, NO_MOMENTS))
async def test_a_time_without_a_zone_or_outside_of_the_calendar_is_refused(task: Any, at: datetime) -> None:
    await task.episodic.record("x", at=NOON)
    await unchanged(task, task.episodic.record("y", at=at), ccs.InvalidValue)
    await unchanged(task, task.episodic.prune(at), ccs.InvalidValue)
    with pytest.raises(ccs.InvalidValue):
        await task.episodic.recent(since=at)


async def test_events_of_one_moment_are_in_the_order_in_which_they_were_recorded(task: Any, open_store: Open) -> None:
    """Given generated ids; ids of callers have their own order."""
    other = (await open_store()).task("t")
    for i in range(20):
        await (task, other)[i % 2].episodic.record(f"{i}", at=NOON)
    for each in (task, other):
        assert told(await each.episodic.recent(20)) == [f"{i}" for i in range(19, -1, -1)]
    await task.episodic.record("20", at=NOON, max_entries=3)
    assert told(await other.episodic.recent(20)) == ["20", "19", "18"]
    for name in ("b", "c", "a"):
        await task.episodic.record(name, at=minute(1), id=name)
    assert told(await other.episodic.recent(3)) == ["c", "b", "a"]


async def test_all_see_at_once_what_any_agent_records(task: Any, open_store: Open) -> None:
    """G3."""
    other = (await open_store(agent="other")).task("t")
    for i in range(20):
        writer, reader = (task, other) if i % 2 else (other, task)
        await writer.episodic.record(f"{i}")
        assert told(await reader.episodic.recent(1)) == told(await writer.episodic.recent(1)) == [f"{i}"]


async def test_similar_episodes_are_found_as_facts_are(mind: Any) -> None:
    names = {await mind.episodic.record(f"event {i}", at=minute(i)): i for i in range(50)}
    vectors = {name: vector_of(f"event {i}") for name, i in names.items()}
    found = await mind.episodic.recall_similar("event 7", 5)
    check_found(found, ranking(vector_of("event 7"), vectors)[:5])
    assert (found[0].content, found[0].score, found[0].at) == ("event 7", 1.0, minute(7))
    await mind.semantic.store("event 7")
    assert await mind.episodic.recall_similar("event 7", 5) == found


async def test_recent_before_and_after_a_search_is_the_same(mind: Any) -> None:
    for i in range(5):
        await mind.episodic.record(f"{i}", at=minute(i))
    before = await mind.episodic.recent()
    await mind.episodic.recall_similar("2")
    assert await mind.episodic.recent() == before


async def test_an_id_is_given_once_whatever_the_time(task: Any) -> None:
    """G4."""
    await task.episodic.record("x", id="x", at=minute(1))
    for at in (minute(1), minute(2), None):
        await unchanged(task, task.episodic.record("y", id="x", at=at), ccs.Conflict)
    assert await task.episodic.prune(minute(2)) == 1
    await task.episodic.record("y", id="x", at=minute(3))
    assert told(await task.episodic.recent()) == ["y"]


async def test_an_expired_episode_is_no_longer_found_and_its_id_is_free(mind: Any) -> None:
    """G9."""
    await mind.episodic.record("stays", at=minute(1))
    await mind.episodic.record("goes", at=minute(2), ttl=0.2, id="x")
    assert told(await mind.episodic.recent()) == ["goes", "stays"]

    async def gone() -> bool:
        return told(await mind.episodic.recent()) == ["stays"]

    await aeventually(gone)
    assert contents(await mind.episodic.recall_similar("goes")) == ["stays"]
    await mind.episodic.record("again", at=minute(3), id="x")
    assert told(await mind.episodic.recent()) == ["again", "stays"]


async def test_the_earliest_of_too_many_episodes_go_in_the_same_commit(task: Any) -> None:
    """G1: no reader ever sees more."""
    minutes = list(range(30))
    random.Random(3).shuffle(minutes)
    for i in minutes:
        await task.episodic.record(f"{i}", at=minute(i), max_entries=5)
    assert told(await task.episodic.recent(100)) == ["29", "28", "27", "26", "25"]
    check_bound(await task.history("@episodes/**"), 5)


async def test_an_episode_older_than_all_that_are_kept_is_not_kept(task: Any) -> None:
    for i in range(1, 4):
        await task.episodic.record(f"{i}", at=minute(i), max_entries=3)
    revision = await task.revision()
    assert await task.episodic.record("early", at=minute(0), max_entries=3)
    assert await task.revision() == revision
    assert told(await task.episodic.recent()) == ["3", "2", "1"]


async def test_a_lower_bound_than_before_applies_from_its_commit_on(task: Any) -> None:
    for i in range(10):
        await task.episodic.record(f"{i}", at=minute(i), id=f"{i}")
    await task.episodic.record("10", at=minute(10), max_entries=3)
    assert told(await task.episodic.recent(100)) == ["10", "9", "8"]
    await task.episodic.record("0 again", at=minute(11), id="0", max_entries=3)
    assert told(await task.episodic.recent(100)) == ["0 again", "10", "9"]


async def test_expired_episodes_take_no_place(task: Any) -> None:
    for i in range(3):
        await task.episodic.record(f"old {i}", at=minute(i))
    for i in range(3):
        await task.episodic.record(f"brief {i}", at=minute(10 + i), ttl=0.001)

    async def expired() -> bool:
        return len(await task.episodic.recent()) == 3

    await aeventually(expired)
    await task.episodic.record("new", at=minute(20), max_entries=4)
    assert told(await task.episodic.recent()) == ["new", "old 2", "old 1", "old 0"]


async def test_a_bound_holds_under_many_concurrent_records(open_store: Open) -> None:
    """G1: and under concurrent prunes."""
    tasks = [(await open_store(agent=f"{i}")).task("t") for i in range(4)]

    async def record(i: int) -> None:
        await tasks[i % 4].episodic.record(f"{i}", at=minute(i), max_entries=6)
        if i % 8 == 0:
            await tasks[i % 3].episodic.prune(minute(i))

    await asyncio.gather(*map(record, range(48)))
    assert (await tasks[0].episodic.recent(1))[0].description == "47"
    check_bound(await tasks[0].history("@episodes/**"), 6)


def check_bound(changes: Iterable[ccs.Change], most: int) -> None:
    """Checks that there were never more than that, after any commit."""
    alive = 0
    for _, commit in itertools.groupby(changes, lambda change: change.revision):
        alive += sum(1 if change.op == "set" else -1 for change in commit)
        assert alive <= most


async def test_pruning_removes_what_happened_before(task: Any) -> None:
    """Given more than one commit prunes."""
    await asyncio.gather(
        *(task.episodic.record(f"{i}", at=minute(i), id=f"{i}" if i % 2 else None) for i in range(300))
    )
    assert await task.episodic.prune(minute(280)) == 280
    assert told(await task.episodic.recent(100)) == [f"{i}" for i in range(299, 279, -1)]
    assert await task.episodic.prune(minute(280)) == 0
    assert len(await task.paths("@episodes/**", "@episode-ids/**")) == 20 + 10


def test_large_episodes_are_pruned_too(valkey: str, namespace: str) -> None:
    """Given more than one commit can hold: with a summary, that is an error and nothing is removed."""
    with ccs.connect(valkey, namespace=namespace) as store:
        task = store.task("t")
        for i in range(20):
            task.episodic.record("x" * 1_000_000, at=minute(i))
        with pytest.raises(ccs.ValueTooLarge):
            task.episodic.prune(minute(19), summarize=_count)
        assert len(task.episodic.recent(100)) == 20
        assert task.episodic.prune(minute(19)) == 19
        assert len(task.episodic.recent(100)) == 1


def test_an_episode_that_is_larger_than_a_batch_is_pruned_too(namespace: str) -> None:
    with ccs.connect("memory://", namespace=namespace, max_value_bytes=8_000_000) as store:
        task = store.task("t")
        for i in range(3):
            task.episodic.record("x" * 5_000_000, at=minute(i))
        assert task.episodic.prune(minute(2)) == 2
        assert len(task.episodic.recent()) == 1


async def test_a_summary_replaces_its_episodes_in_one_commit(mind: Any) -> None:
    """G1."""
    for i in range(5):
        await mind.episodic.record(f"{i}", at=minute(i))
    given: list[ccs.Episode] = []

    def summarize(episodes: list[ccs.Episode]) -> str:
        given.extend(episodes)
        return "to three"

    before = await mind.revision()
    assert await mind.episodic.prune(minute(3), summarize=summarize) == 3
    assert told(given) == ["0", "1", "2"]
    after, before_last = await mind.episodic.recent(), await mind.history("@episodes/**", since=before)
    assert told(after) == ["4", "3", "to three"]
    assert (after[-1].at, after[-1].metadata) == (minute(3), {"summarizes": 3})
    assert len({change.revision for change in before_last}) == 1
    assert sorted(change.op for change in before_last) == ["delete", "delete", "delete", "set"]
    assert contents(await mind.episodic.recall_similar("to three", 1)) == ["to three"]
    assert await mind.episodic.prune(minute(3), summarize=summarize) == 0


async def test_an_episode_that_comes_while_others_are_summarized_is_not_lost(task: Any) -> None:
    for i in range(3):
        await task.episodic.record(f"{i}", at=minute(i))
    blocking = task.blocking if isinstance(task, Awaited) else None

    async def summarize(episodes: list[ccs.Episode]) -> str:
        await task.episodic.record("meanwhile", at=minute(1))
        return f"{len(episodes)}"

    def summarize_blocking(episodes: list[ccs.Episode]) -> str:
        assert blocking
        blocking.episodic.record("meanwhile", at=minute(1))
        return f"{len(episodes)}"

    assert await task.episodic.prune(minute(5), summarize=summarize_blocking if blocking else summarize) == 3
    assert told(await task.episodic.recent()) == ["3", "meanwhile"]


async def test_episodes_that_two_prune_at_once_are_counted_once(open_store: Open) -> None:
    tasks = [(await open_store(agent=f"{i}")).task("t") for i in range(3)]
    for i in range(100):
        await tasks[0].episodic.record(f"{i}", at=minute(i))
    pruned = await asyncio.gather(*(task.episodic.prune(minute(90)) for task in tasks))
    assert sum(pruned) == 90
    assert len(await tasks[0].episodic.recent(100)) == 10


async def test_episodes_that_two_summarize_at_once_are_summarized_once(open_store: Open) -> None:
    tasks = [(await open_store(agent=f"{i}")).task("t") for i in range(3)]
    for i in range(10):
        await tasks[0].episodic.record(f"{i}", at=minute(i))
    pruned = await asyncio.gather(*(task.episodic.prune(minute(20), summarize=_count) for task in tasks))
    assert sorted(pruned) == [0, 0, 10]
    assert told(await tasks[0].episodic.recent(100)) == ["10"]


def _count(episodes: list[ccs.Episode]) -> str:
    return f"{len(episodes)}"


async def test_a_summary_that_fails_removes_nothing(task: Any) -> None:
    await task.episodic.record("x", at=minute(1))

    def failing(episodes: list[ccs.Episode]) -> str:
        raise LookupError

    await unchanged(task, task.episodic.prune(minute(2), summarize=failing), LookupError)
    await unchanged(task, task.episodic.prune(minute(2), summarize=lambda episodes: None), ccs.InvalidValue)


async def test_in_asyncio_a_plain_summary_runs_off_the_loop(aconnect: Any) -> None:
    task, threads = aconnect().task("t"), []
    await task.episodic.record("x", at=minute(1))

    def summarize(episodes: list[ccs.Episode]) -> str:
        threads.append(threading.get_ident())
        return "summary"

    await task.episodic.prune(minute(2), summarize=summarize)
    assert threads
    assert threading.get_ident() not in threads


@pytest.mark.parametrize("options", [{"max_entries": 0}, {"max_entries": True}, {"ttl": 0}, {"metadata": [1]}])
async def test_a_record_that_makes_no_sense_is_refused(task: Any, options: dict[str, Any]) -> None:
    await task.set("a", 1)
    await unchanged(task, task.episodic.record("x", **options), ccs.InvalidValue)


async def test_changing_the_arguments_later_does_not_change_the_memory(task: Any) -> None:
    metadata = {"with": ["ann"]}
    await task.episodic.record("x", metadata=metadata, at=minute(1))
    metadata["with"].append("bob")
    assert (await task.episodic.recent())[0].metadata == {"with": ["ann"]}
