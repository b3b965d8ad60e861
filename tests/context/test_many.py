"""Many of everything: contexts, entries that are removed at once, callers that wait for one claim."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import ccs
import ccs.aio
from ccs._core.commits.commit import COMMIT_LIMIT, removals
from ccs._core.commits.entry import RawEntry
from tests.context.conftest import Open
from tests.support.colours import COLOURS, connect_in
from tests.support.servers import PrivateServer
from tests.support.waiting import aeventually, counts, scaled

CONTEXTS = counts(300, 10_000)


def sent(server: PrivateServer) -> int:
    """How many commands clients have sent, but for what scripts do."""
    with server.client() as client:
        return int(client.info("stats")["total_reads_processed"])


@pytest.mark.parametrize("colour", COLOURS)
async def test_contexts_are_listed_in_a_few_round_trips_in_order_and_up_to_a_limit(
    own_server: PrivateServer, colour: str
) -> None:
    async with ccs.aio.connect(own_server.url) as writer:
        await asyncio.gather(*(writer.task(f"t{number}").set("a", number) for number in range(CONTEXTS)))
    async with connect_in(colour, own_server.url) as store:
        await store.contexts("/tasks/t1")
        before = sent(own_server)
        found = await store.contexts()
        assert sent(own_server) - before < CONTEXTS / 10, "not a round trip a context"
        assert [info.address for info in found] == sorted(f"/tasks/t{number}" for number in range(CONTEXTS))
        assert all(info.entries == 1 for info in found)
        assert await store.contexts(limit=7) == found[:7]
        assert await store.contexts(limit=0) == []
        assert await store.contexts("/tasks/t1*", limit=2) == found[1:3]


async def test_a_context_that_has_ended_takes_no_place_of_the_limit(open_store: Open) -> None:
    store = await open_store()
    for name in ("a", "b", "c"):
        await store.task(name).set("x", 1)
    await store.task("a").drop()
    assert [info.address for info in await store.contexts(limit=2)] == ["/tasks/b", "/tasks/c"]


@pytest.mark.parametrize("limit", [-1, True, 1.5, "3"])
def test_a_limit_that_is_no_number_of_contexts_is_refused(store: ccs.Store, limit: Any) -> None:
    with pytest.raises(ccs.InvalidValue, match="limit"):
        store.contexts(limit=limit)


async def test_entries_that_one_commit_cannot_hold_are_removed_in_several(open_store: Open) -> None:
    """Given 20 MB of values, when all are removed, then that takes two commits, and every change is delivered."""
    store = await open_store()
    task = store.task("x", keep_bytes=100_000_000)
    for number in range(20):
        await task.set(f"large/{number:02}", bytes(1_000_000))
    await task.set("other", 1)
    before = await task.revision()
    assert await task.delete_matching("large/**") == 20
    changes = await task.history("large/**", since=before)
    assert [change.op for change in changes] == ["delete"] * 20
    assert len({change.revision for change in changes}) == 2
    assert await task.paths() == ["other"]


async def test_what_one_commit_holds_is_removed_by_one(open_store: Open) -> None:
    store = await open_store()
    task = store.task("x", keep_bytes=100_000_000)
    for number in range(16):
        await task.set(f"large/{number:02}", bytes(1_000_000))
    before = await task.revision()
    assert await task.delete_matching("large/**") == 16
    assert len({change.revision for change in await task.history(since=before)}) == 1


async def test_a_reserved_path_among_many_is_refused_before_anything_is_removed(open_store: Open) -> None:
    store = await open_store()
    task = store.task("x")
    await task.set("a", 1)
    async with task.claim("r"):
        with pytest.raises(ccs.ReservedPath):
            await task.delete_matching("**", "@claims/**")
    assert await task.get("a") == 1


def test_steps_hold_everything_once_and_in_order() -> None:
    entries = {f"p/{number}": RawEntry(1, 1, 1, 1, 0, "me", bytes(5_000_000)) for number in range(7)}
    steps = list(removals(entries))
    assert [list(step) for step in steps] == [["p/0", "p/1", "p/2"], ["p/3", "p/4", "p/5"], ["p/6"]]
    assert max(sum(len(raw.value) for raw in step.values()) for step in steps) < COMMIT_LIMIT
    assert list(removals({})) == []


WAITERS = counts(50, 500)


async def in_line(task: Any, count: int) -> None:
    async def all_there() -> bool:
        return len(await task.paths("@waiting/**")) == count

    await aeventually(all_there, 20, f"{count} to wait")


async def test_many_tasks_get_a_claim_one_after_the_other(valkey: str, namespace: str) -> None:
    async with ccs.aio.connect(valkey, namespace=namespace) as store:
        task = store.task("x")
        inside, order = 0, []

        async def take(number: int) -> None:
            nonlocal inside
            async with task.claim("r", wait=scaled(60)) as claim:
                inside += 1
                assert inside == 1
                order.append((claim.token, number))
                inside -= 1

        async with task.claim("r"):
            waiting = [asyncio.create_task(take(number)) for number in range(WAITERS)]
            await in_line(task, WAITERS)
        await asyncio.gather(*waiting)
    assert [number for _, number in order] == list(range(WAITERS)), "first come, first served"
    assert sorted(order) == order


def test_many_threads_get_a_claim_one_after_the_other(valkey: str, namespace: str) -> None:
    with ccs.connect(valkey, namespace=namespace) as store:
        task = store.task("x")
        tokens: list[int] = []

        def take() -> None:
            with task.claim("r", wait=scaled(60)) as claim:
                tokens.append(claim.token)

        with task.claim("r"):
            threads = [threading.Thread(target=take) for _ in range(WAITERS)]
            for thread in threads:
                thread.start()
        for thread in threads:
            thread.join(scaled(60))
    assert len(tokens) == WAITERS
    assert sorted(tokens) == tokens


async def test_the_leader_of_a_line_may_leave_it(valkey: str, namespace: str) -> None:
    """Given five waiters, when the first, which reads for all, is cancelled, then the others get their turn."""
    async with ccs.aio.connect(valkey, namespace=namespace) as store:
        task, order = store.task("x"), []

        async def take(number: int) -> None:
            async with task.claim("r", wait=scaled(20)):
                order.append(number)

        async with task.claim("r"):
            waiting = []
            for number in range(5):
                waiting.append(asyncio.create_task(take(number)))
                await in_line(task, number + 1)
            waiting[0].cancel()
            await asyncio.wait([waiting[0]])
        await asyncio.gather(*waiting[1:])
    assert order == [1, 2, 3, 4]


@pytest.mark.parametrize("colour", COLOURS)
async def test_one_in_the_line_may_run_out_of_time_and_the_others_do_not(
    valkey: str, namespace: str, colour: str
) -> None:
    async with (
        connect_in(colour, valkey, namespace=namespace) as store,
        ccs.aio.connect(valkey, namespace=namespace) as other,
    ):
        task = store.task("x")
        async with other.task("x").claim("r"):
            with pytest.raises(ccs.AlreadyClaimed):
                await task.claim("r").acquire(timeout=0.2)
            second = asyncio.ensure_future(task.claim("r").acquire(timeout=scaled(20)))
            with pytest.raises(ccs.AlreadyClaimed):
                await task.claim("r").acquire(timeout=0.3)
        assert (await second).held
