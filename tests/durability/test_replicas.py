"""Commits that return once replicas have them."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

import ccs
import ccs.aio
from ccs._core.names.keys import keys_of
from ccs._core.nodes.slots import slot_of
from tests.support.colours import COLOURS, connect_in
from tests.support.topologies import Cluster, Node, Replicated
from tests.support.waiting import aeventually, bounded, scaled

SOON = scaled(1.5)
"""Seconds in which what nobody holds up is done, though another one waits for longer."""


def blocked(node: Node) -> int:
    """How many clients a server keeps waiting."""
    with node.client() as client:
        return int(client.info("clients")["blocked_clients"])


def calls_of(node: Node, command: str) -> int:
    """How often a server was given a command."""
    with node.client() as client:
        return int(client.info("commandstats").get(f"cmdstat_{command}", {"calls": 0})["calls"])


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_commit_returns_once_the_replica_has_it(colour: str, replicated: Replicated, namespace: str) -> None:
    async with connect_in(colour, replicated.url, namespace=namespace) as store:
        safe = store.task("42").durable(disk=False, replicas=1)
        for number in range(20):
            await safe.set("a", number)
            assert replicated.replicas[0].ask("HLEN", f"{{{namespace}:/tasks/42}}:entries") == 1
        primary, replica = replicated.primary, replicated.replicas[0]
        journal = f"{{{namespace}:/tasks/42}}:journal"
        assert replica.ask("XLEN", journal) == primary.ask("XLEN", journal) == 20


@pytest.mark.parametrize("colour", COLOURS)
async def test_with_a_stopped_replica_it_says_what_was_reached_and_the_commit_stands(
    colour: str, replicated: Replicated, namespace: str
) -> None:
    async with connect_in(colour, replicated.url, namespace=namespace) as store:
        task = store.task("42")
        safe = task.durable(disk=False, replicas=1, timeout=0.4)
        await safe.set("a", 1)
        replicated.pause(replicated.replicas[0])
        began = time.monotonic()
        with pytest.raises(ccs.NotDurable) as caught:
            await safe.set("a", 2)
        assert 0.4 <= time.monotonic() - began < 0.4 + SOON
        entry = await task.entry("a")
        found = caught.value
        assert (entry.value, entry.revision) == (2, found.revision)
        assert (found.address, found.disk, found.replicas) == ("/tasks/42", None, 0)
        replicated.resume(replicated.replicas[0])
        await safe.set("a", 3)


@pytest.mark.parametrize("colour", COLOURS)
async def test_nobody_else_is_held_up_while_a_commit_waits_for_a_stopped_replica(
    colour: str, replicated: Replicated, namespace: str
) -> None:
    async with connect_in(colour, replicated.url, namespace=namespace) as store:
        task, other = store.task("42"), store.task("other")
        safe = task.durable(disk=False, replicas=1, timeout=scaled(4))
        await safe.set("a", 1)
        replicated.pause(replicated.replicas[0])
        waiting = asyncio.create_task(safe.set("a", 2))
        await aeventually(lambda: blocked(replicated.primary) == 1)
        began = time.monotonic()
        for number in range(10):
            await task.set("b", number)
            await other.set("b", number)
        assert await task.get("a") == 2
        assert time.monotonic() - began < SOON
        assert not waiting.done()
        with pytest.raises(ccs.NotDurable):
            await waiting


@pytest.mark.parametrize("colour", COLOURS)
async def test_ordinary_commits_in_the_batch_of_a_durable_one_are_answered_before_it(
    colour: str, replicated: Replicated, namespace: str
) -> None:
    async with connect_in(colour, replicated.url, namespace=namespace) as store:
        task = store.task("42")
        safe = task.durable(disk=False, replicas=1, timeout=scaled(4))
        await safe.set("a", 1)
        replicated.pause(replicated.replicas[0])
        pending = {asyncio.create_task((safe if number % 2 else task).increment("n")) for number in range(20)}
        done, waiting = await asyncio.wait(pending, timeout=SOON)
        assert sum(1 for each in done if not each.exception()) == 10
        assert len(waiting) == 10
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {ccs.NotDurable}
        assert await task.get("n") == 20


async def test_the_commits_of_a_batch_share_one_wait(replicated: Replicated, namespace: str) -> None:
    async with ccs.aio.connect(replicated.url, namespace=namespace) as store:
        safe = store.task("42").durable(disk=False, replicas=1)
        await safe.set("a", 1)
        before = calls_of(replicated.primary, "wait")
        await asyncio.gather(*(safe.increment("n") for _ in range(200)))
        assert 1 <= calls_of(replicated.primary, "wait") - before <= 4


async def test_durable_and_ordinary_commits_of_one_client_stay_in_the_order_in_which_they_were_made(
    replicated: Replicated, namespace: str
) -> None:
    async with ccs.aio.connect(replicated.url, namespace=namespace) as store:
        task = store.task("42")
        safe = task.durable(disk=False, replicas=1)
        safer = task.durable(disk=False, replicas=1, timeout=7)
        kinds: list[Any] = [task, safe, task, task, safer, safe, safe, task]
        for _ in range(10):
            entries = await asyncio.gather(*(kinds[index % 8].set(f"p/{index}", index) for index in range(64)))
            revisions = [entry.revision for entry in entries]
            assert revisions == sorted(revisions)


async def test_a_store_that_is_closed_says_that_it_does_not_know(replicated: Replicated, namespace: str) -> None:
    async with ccs.aio.connect(replicated.url, namespace=namespace) as store:
        safe = store.task("42").durable(disk=False, replicas=1, timeout=60)
        first = await safe.set("a", 1)
        replicated.pause(replicated.replicas[0])
        waiting = asyncio.create_task(safe.set("a", 2))
        await aeventually(lambda: safe.last_revision > first.revision)
    with pytest.raises(ccs.NotDurable):
        await bounded(waiting)


@pytest.mark.parametrize("colour", COLOURS)
async def test_in_a_cluster_each_commit_waits_for_a_replica_of_its_own_shard(
    colour: str, cluster: Cluster, namespace: str
) -> None:
    async with connect_in(colour, cluster.url, namespace=namespace) as store:
        contexts = [store.task(f"c{number}").durable(disk=False, replicas=1, timeout=0.5) for number in range(12)]
        await asyncio.gather(*(context.set("a", 1) for context in contexts))
        for replica in cluster.replicas_of(cluster.primaries[0]):
            cluster.pause(replica)
        outcomes = await asyncio.gather(*(context.set("a", 2) for context in contexts), return_exceptions=True)
        slots = [slot_of(keys_of(namespace, context.address).meta) for context in contexts]
        held_up = [cluster.owner(slot) is cluster.primaries[0] for slot in slots]
        assert [isinstance(outcome, ccs.NotDurable) for outcome in outcomes] == held_up
        assert any(held_up)
