"""Large writes keep others waiting no longer than they take themselves."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest

import ccs
import ccs.aio
from tests.support.colours import COLOURS, connect_in
from tests.support.threads import run_threads
from tests.support.waiting import aeventually, counts, eventually, scaled

LARGE, MANY, ON_THEIR_WAY = bytes(900_000), 30, 2


async def test_a_task_with_a_small_write_waits_only_for_what_is_on_its_way(
    aconnect: Callable[..., ccs.aio.Store],
) -> None:
    """Given a queue of large writes, when a small one is asked for, then it goes before what was not sent yet."""
    store = aconnect()
    large, small, done = store.task("large"), store.task("small"), []

    async def write(number: int) -> None:
        done.append(await large.set(f"p/{number}", LARGE))

    writers = [asyncio.create_task(write(number)) for number in range(MANY)]
    await aeventually(lambda: len(done) >= 3)
    before = len(done)
    await small.set("p", 1)
    meanwhile = len(done) - before
    await asyncio.gather(*writers)
    assert meanwhile <= ON_THEIR_WAY + 1
    assert len(await large.paths()) == MANY


def test_a_thread_with_a_small_write_waits_only_for_what_is_on_its_way(connect: Callable[..., ccs.Store]) -> None:
    """Given a queue of large writes of threads, when another one asks for a small one, then it does not queue up."""
    store, done = connect(), []
    large, small, meanwhile = store.task("large"), store.task("small"), []

    def write(number: int) -> None:
        if number < MANY:
            done.append(large.set(f"p/{number}", LARGE))
            return
        eventually(lambda: len(done) >= 3)
        before = len(done)
        small.set("p", 1)
        meanwhile.append(len(done) - before)

    run_threads(write, MANY + 1)
    assert meanwhile[0] < MANY // 2
    assert len(large.paths()) == MANY


SIZES = [4_000, 8_001]
"""Around what Lua unpacks in one piece."""


@pytest.fixture(params=COLOURS)
async def large(request: pytest.FixtureRequest, valkey: str, namespace: str) -> AsyncIterator[Any]:
    """A context on a real server, in either colour."""
    async with connect_in(request.param, valkey, namespace=namespace) as store:
        yield store.task("large")


async def check_whole(task: Any, prefix: str, size: int) -> None:
    """Sets that many entries in one commit, which all readers see complete, and deletes them in another one."""
    values = {f"{prefix}/k/{i}": i for i in range(size)}
    async with task.watch(f"{prefix}/**") as changes:
        revision = await task.set_many(values)
        assert (await changes.receive(timeout=scaled(10))).revision == revision
    assert await task.revision() == revision
    assert {path: entry.value for path, entry in (await task.snapshot(f"{prefix}/**")).items()} == values
    assert len(await task.history(f"{prefix}/**")) == size
    assert await task.delete_matching(f"{prefix}/**") == size
    assert await task.paths() == []


async def test_commits_of_any_number_of_entries_are_whole(large: Any) -> None:
    """Given limits within the script, when as many entries are set in one commit, then all see all of them."""
    for size in counts(SIZES, [1, 1_999, 3_999, 4_001, *SIZES, 50_000, 100_000]):
        await check_whole(large, f"of {size}", size)


async def test_a_large_commit_is_whole_on_every_server(task: Any) -> None:
    await check_whole(task, "of many", 4_001)


async def test_many_entries_with_deadlines_and_events_are_one_commit(large: Any) -> None:
    async with large.transaction() as tx:
        for i in range(4_001):
            tx.set(f"k/{i}", i, ttl=1000)
            tx.publish(f"topic/{i}", i)
    assert len({change.revision for change in await large.history("k/*")}) == 1
    assert len(await large.paths()) == 4_001


async def test_a_commit_that_is_too_large_is_refused_whole(large: Any) -> None:
    """Given 16 MiB that do not fit, or more operations than a command can carry, then nothing of it is written."""
    revision = await large.set_many({"a": 1})
    with pytest.raises(ccs.ValueTooLarge):
        await large.set_many({f"k/{i}": bytes(900_000) for i in range(19)})
    with pytest.raises(ccs.ValueTooLarge, match="guards and operations"):
        await large.set_many(dict.fromkeys(map(str, range(250_001)), 1))
    assert await large.revision() == revision
    assert await large.paths() == ["a"]


async def test_a_commit_over_thousands_of_entries_that_are_due_expires_each_of_them_once(large: Any) -> None:
    """Given many unswept entries, when all are set again, then no other client waits for a sweep of each."""
    values = {f"k/{i}": i for i in range(4_001)}
    await large.set_many(values, ttl=0.02)
    await asyncio.sleep(0.025)
    await large.set_many(values)
    assert len(await large.paths()) == len(values)
    told = Counter(change.op for change in await large.history("k/*"))
    assert told == {"set": 2 * len(values), "expire": len(values)}
