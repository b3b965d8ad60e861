"""A commit that is sent again is as durable as one that is not: wherever the connection breaks, whoever serves by then."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Callable

import pytest

import ccs
import ccs.aio
from tests.faults.chaos import faults, seed
from tests.support.colours import COLOURS, connect_in
from tests.support.interrupts import Interrupt
from tests.support.journal import check_continuous, records
from tests.support.proxy import Proxy, once
from tests.support.threads import run_threads
from tests.support.topologies import Replicated
from tests.support.waiting import aeventually, bounded, counts, scaled

SCRIPT = b"+1"
"""What the answer to a commit holds; that to a WAIT does not."""


def answer_to_wait(count: int, chunk: bytes) -> str:
    """Swallows what is behind the answer of a script."""
    return "pass" if SCRIPT in chunk or not chunk.startswith(b":") else "drop"


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_commit_whose_answer_was_lost_is_not_durable_while_the_replica_is_stopped(
    colour: str, replicated: Replicated, before_primary: Proxy, namespace: str
) -> None:
    """Given its kept answer, which needs no write, when it is sent again, then WAIT counts for the commit all the same."""
    async with connect_in(colour, before_primary.url, namespace=namespace) as store:
        task = store.task("42")
        safe = task.durable(disk=False, replicas=1, timeout=scaled(0.7))
        await safe.increment("n")
        replicated.pause(replicated.replicas[0])
        before_primary.fault = once(SCRIPT, "drop")
        with pytest.raises(ccs.NotDurable) as caught:
            await safe.increment("n")
        assert caught.value.replicas == 0
        assert await task.get("n") == 2


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_commit_whose_answer_was_lost_is_durable_and_applied_once(
    colour: str, before_primary: Proxy, replicated: Replicated, namespace: str
) -> None:
    async with connect_in(colour, before_primary.url, namespace=namespace) as store:
        safe = store.task("42").durable(disk=False, replicas=1)
        for number in range(1, 6):
            before_primary.fault = once(SCRIPT, "drop")
            assert await safe.increment("n") == number


@pytest.mark.parametrize("colour", COLOURS)
async def test_where_only_the_answer_to_the_wait_is_lost_it_is_asked_for_again(
    colour: str, before_primary: Proxy, replicated: Replicated, namespace: str
) -> None:
    async with connect_in(colour, before_primary.url, namespace=namespace) as store:
        safe = store.task("42").durable(disk=False, replicas=1)
        assert await safe.increment("n") == 1
        before_primary.fault = once(b":1\r\n", "drop")
        assert await safe.increment("n") == 2
        replicated.pause(replicated.replicas[0])
        before_primary.fault = once(b":0\r\n", "drop")
        with pytest.raises(ccs.NotDurable):
            await store.task("42").durable(disk=False, replicas=1, timeout=scaled(0.5)).increment("n")
        assert await store.task("42").get("n") == 3


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_wait_that_is_cut_is_asked_for_again_although_later_commits_were_made(
    colour: str, before_primary: Proxy, replicated: Replicated, namespace: str
) -> None:
    """Given answers that are kept no more, the journal tells whether the commit stands."""
    async with connect_in(colour, before_primary.url, namespace=namespace) as store:
        task = store.task("42")
        safe = task.durable(disk=False, replicas=1, timeout=scaled(8))
        await safe.set("a", 1)
        replicated.pause(replicated.replicas[0])
        waiting = asyncio.create_task(safe.set("a", 2))
        await aeventually(lambda: task_has(replicated, namespace, 2))
        for number in range(5):
            await task.set("b", number)
        before_primary.cut_all()
        await task.set("b", 5)
        assert not waiting.done()
        await asyncio.to_thread(replicated.resume, replicated.replicas[0])
        assert (await bounded(waiting)).value == 2
        assert [record.revision for record in records(replicated.url, namespace, "/tasks/42")][
            1
        ] == waiting.result().revision


def task_has(replicated: Replicated, namespace: str, count: int) -> bool:
    return bool(replicated.primary.ask("XLEN", f"{{{namespace}:/tasks/42}}:journal") == count)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("later", [False, True])
async def test_a_commit_that_a_failover_has_lost_is_made_again_or_reported(
    colour: str, before_primary: Proxy, replicated: Replicated, namespace: str, later: bool
) -> None:
    """Given a replica without the commit, when it takes over, then nobody is told that the commit is durable in vain."""
    primary, replica = replicated.nodes
    if replicated.primary is not primary:
        primary, replica = replica, primary
    async with connect_in(colour, before_primary.url, namespace=namespace) as store:
        task = store.task("42")
        safe = task.durable(disk=False, replicas=1, timeout=scaled(8))
        await safe.set("a", 1)
        replicated.pause(replica)
        waiting = asyncio.create_task(safe.set("a", 2))
        await aeventually(lambda: task_has(replicated, namespace, 2))
        before_primary.refuse()
        if later:
            # Made while nobody answers: the next batch, which reaches the new primary first or second.
            following = asyncio.create_task(task.set("b", 1))
        primary.kill()
        replica.resume()
        before_primary.target = ("127.0.0.1", replica.port)
        await asyncio.to_thread(promote, replicated, primary, replica)
        before_primary.refuse(False)
        outcome = (await asyncio.gather(bounded(waiting, 20), return_exceptions=True))[0]
        if later:
            await bounded(following)
        if isinstance(outcome, ccs.NotDurable):
            assert later
        else:
            assert await task.get("a") == 2
            journal = f"{{{namespace}:/tasks/42}}:journal"
            assert replicated.replicas[0].ask("XLEN", journal) >= 2


def promote(replicated: Replicated, primary: object, replica: object) -> None:
    """Makes the replica the primary, and what was the primary its replica."""
    replica.ask("REPLICAOF", "NO", "ONE")  # type: ignore[attr-defined]
    replicated.primary = replica  # type: ignore[assignment]
    primary.start()  # type: ignore[attr-defined]
    replicated._mend()
    replicated.wait_until_ok()


FAULTS = [("drop",), ("drop", "cut")]


def check(url: str, namespace: str, told: list[int], wrote: int) -> None:
    """Every commit is there once, in order, also those of which it is not known how safe they are."""
    found = records(url, namespace, "/tasks/42")
    check_continuous(found)
    assert len(found) == wrote
    assert {record.revision for record in found} >= set(told)


@pytest.mark.parametrize("kinds", FAULTS, ids="+".join)
async def test_under_faults_fifty_tasks_half_of_them_durable_write_once_and_in_order(
    before_primary: Proxy, namespace: str, kinds: tuple[str, ...], answer_within: Callable[[float], None]
) -> None:
    answer_within(0.4)
    for _ in range(counts(1, 20)):
        chosen, namespace = seed(), namespace + "x"
        told: list[int] = []

        async def write(context: ccs.aio.Context, writer: int, told: list[int] = told) -> None:
            last = 0
            for number in range(8):
                entry = await context.set(f"p/{writer}", number)
                assert entry.revision > last
                assert entry.version == number + 1
                last = entry.revision
                told.append(last)

        async with ccs.aio.connect(before_primary.url, namespace=namespace) as store:
            task = store.task("42")
            safe = task.durable(disk=False, replicas=1, timeout=30)
            before_primary.fault = faults(random.Random(chosen), 0.04, kinds)
            await bounded(asyncio.gather(*(write(safe if n % 2 else task, n) for n in range(50))), 60)
            before_primary.fault = faults(random.Random(chosen), 0.0, kinds)
        check(before_primary.url, namespace, told, 400)


@pytest.mark.parametrize("kinds", FAULTS, ids="+".join)
def test_under_faults_fifty_threads_half_of_them_durable_write_once_and_in_order(
    before_primary: Proxy, namespace: str, kinds: tuple[str, ...], answer_within: Callable[[float], None]
) -> None:
    answer_within(0.4)
    for _ in range(counts(1, 20)):
        chosen, namespace = seed(), namespace + "x"
        told: list[list[int]] = [[] for _ in range(50)]
        with ccs.connect(before_primary.url, namespace=namespace) as store:
            task = store.task("42")
            safe = task.durable(disk=False, replicas=1, timeout=30)

            def write(
                writer: int, task: ccs.Context = task, safe: ccs.Context = safe, told: list[list[int]] = told
            ) -> None:
                for number in range(8):
                    entry = (safe if writer % 2 else task).set(f"p/{writer}", number)
                    assert entry.version == number + 1
                    told[writer].append(entry.revision)

            before_primary.fault = faults(random.Random(chosen), 0.04, kinds)
            run_threads(write, 50)
            before_primary.fault = faults(random.Random(chosen), 0.0, kinds)
        assert all(each == sorted(each) for each in told)
        check(before_primary.url, namespace, [revision for each in told for revision in each], 400)


def test_a_thread_that_is_interrupted_as_it_waits_for_all_leaves_that_to_another_one(
    replicated: Replicated, namespace: str, alarm: Callable[[float], None]
) -> None:
    with ccs.connect(replicated.url, namespace=namespace) as store:
        task = store.task("42")
        safe = task.durable(disk=False, replicas=1, timeout=scaled(10))
        safe.set("a", 0)
        replicated.pause(replicated.replicas[0])
        outcomes: list[object] = []

        def write(writer: int) -> None:
            outcomes.append(safe.set(f"p/{writer}", writer))

        threads = [threading.Thread(target=write, args=(writer,)) for writer in range(8)]
        for thread in threads:
            thread.start()
        alarm(scaled(0.3))
        with pytest.raises(Interrupt):
            safe.set("mine", 1)
        assert task.get("mine") == 1
        replicated.resume(replicated.replicas[0])
        for thread in threads:
            thread.join(scaled(20))
        assert len(outcomes) == 8
