"""A Cluster behaves as one server does, whatever its slots and nodes do."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import ccs
from ccs._core.names.keys import keys_of
from ccs._core.nodes.slots import slot_of
from tests.support.colours import COLOURS, connect_in
from tests.support.servers import PrivateServer, binary_of, free_port
from tests.support.topologies import Cluster, Node
from tests.support.waiting import aeventually, counts, scaled
from tests.topologies.writers import traffic

pytestmark = pytest.mark.parametrize("colour", COLOURS)


def owner(cluster: Cluster, namespace: str, task: Any) -> Node:
    return cluster.owner(slot(namespace, task))


def slot(namespace: str, task: Any) -> int:
    return slot_of(keys_of(namespace, task.address).meta)


def another(cluster: Cluster, than: Node) -> Node:
    return next(node for node in cluster.primaries if node is not than)


async def in_thread(call: Any, *args: Any, **options: Any) -> Any:
    return await asyncio.to_thread(partial(call, *args, **options))


async def test_one_node_of_any_role_is_enough_to_find_all(colour: str, cluster: Cluster, namespace: str) -> None:
    for number, node in enumerate(cluster.nodes):
        async with connect_in(colour, node.url, namespace=namespace) as store:
            task = store.task(f"t{number}")
            await task.set("a", number)
            assert await task.get("a") == number
            assert len(await store.contexts()) == number + 1


async def test_some_seeds_may_be_down(colour: str, cluster: Cluster, namespace: str) -> None:
    victim = cluster.replicas_of(cluster.primaries[0])[0]
    victim.kill()
    places = [victim.place, *(node.place for node in cluster.running[:2])]
    async with connect_in(colour, f"redis+cluster://{','.join(places)}", namespace=namespace) as store:
        assert (await store.task("t").set("a", 1)).version == 1


async def test_what_spans_contexts_spans_all_shards(colour: str, cluster: Cluster, namespace: str) -> None:
    async with connect_in(colour, cluster.url, namespace=namespace) as store, store.watch("/*/*/status") as changes:
        tasks = [store.task(f"t{number}") for number in range(30)]
        for task in tasks:
            await task.set("status", "open")
        assert len({owner(cluster, namespace, task).port for task in tasks}) == 3
        heard = [(await changes.receive(timeout=scaled(10))).context for _ in tasks]
        assert sorted(heard) == sorted(task.address for task in tasks)
        assert [info.address for info in await store.contexts()] == sorted(heard)
        memory = store.memory(workflow="t3", session="s", actor="a")
        await memory.set("key", "wide", scope="global")
        await memory.set("key", "narrow", scope="actor", ttl=100)
        assert (await memory.get("key"), await memory.get("status")) == ("narrow", "open")
        await tasks[0].drop()
        await store.task("t0").set("status", "again")
        ends = [await changes.receive(timeout=scaled(10)) for _ in range(2)]
        assert [(change.op, change.value) for change in ends] == [("gone", None), ("set", "again")]


async def test_a_store_watch_resumes_on_every_shard(colour: str, cluster: Cluster, namespace: str) -> None:
    async with connect_in(colour, cluster.url, namespace=namespace) as store:
        tasks = [store.task(f"t{number}") for number in range(9)]
        async with store.watch() as changes:
            for task in tasks:
                await task.set("a", 1)
            for _ in tasks:
                await changes.receive(timeout=scaled(10))
            cursor = changes.revision
        for task in tasks:
            await task.set("a", 2)
        await store.task("later").set("a", 2)
        async with store.watch(since=dict(cursor)) as changes:
            found = [await changes.receive(timeout=scaled(10)) for _ in range(10)]
            assert {change.value for change in found} == {2}
            assert len({change.context for change in found}) == 10


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_slot_moves_and_nobody_notices(colour: str, at_once: bool, cluster: Cluster, namespace: str) -> None:
    async with connect_in(colour, cluster.url, namespace=namespace) as store:
        async with traffic(store, writers=counts(3, 8)) as found:
            for task in found.tasks[: counts(2, 6)]:
                here = owner(cluster, namespace, task)
                for to in (another(cluster, here), here):
                    await in_thread(cluster.move_slot, slot(namespace, task), to, at_once=at_once)
        histories = await found.histories()
        assert found.seen == found.seen_by_all == histories
        assert {address: sorted(revisions) for address, revisions in found.acknowledged.items()} == histories


async def test_what_is_between_two_nodes_is_read_and_written(colour: str, cluster: Cluster, namespace: str) -> None:
    async with connect_in(colour, cluster.url, namespace=namespace, retry_for=10) as store:
        task = store.task("t")
        await task.set("a", 1)
        source = owner(cluster, namespace, task)
        with cluster.moving(slot(namespace, task), another(cluster, source)) as _:
            assert await task.get("a") == 1
            cluster.move_keys(slot(namespace, task), another(cluster, source), *_some_keys(namespace, task))
            writing = asyncio.create_task(task.set("a", 2))
            await asyncio.sleep(0.3)
        assert (await writing).version == 2
        assert await task.get("a") == 2


def _some_keys(namespace: str, task: Any) -> tuple[str, ...]:
    keys = keys_of(namespace, task.address)
    return keys.meta, keys.entries


async def test_a_failover_that_is_agreed_loses_nothing(colour: str, cluster: Cluster, namespace: str) -> None:
    async with connect_in(colour, cluster.url, namespace=namespace) as store:
        async with traffic(store) as found:
            for primary in cluster.primaries[: counts(1, 3)]:
                await in_thread(cluster.failover, cluster.replicas_of(primary)[0])
        histories = await found.histories()
        assert found.seen == found.seen_by_all == histories
        assert not found.forked


async def test_a_primary_that_hangs_is_left(colour: str, cluster: Cluster, namespace: str) -> None:
    """What the replica did not have yet is lost, and every watch is told so; nothing else is."""
    async with connect_in(colour, cluster.url, namespace=namespace) as store:
        async with traffic(store) as found:
            await asyncio.sleep(0.3)
            victim = owner(cluster, namespace, found.tasks[0])
            await in_thread(cluster.pause, victim)
            await aeventually(lambda: owner(cluster, namespace, found.tasks[0]) is not victim, 15)
            await asyncio.sleep(scaled(3))
        assert found.slowest < scaled(6)
        assert found.complaints(await found.histories()) == []


@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_a_shard_that_fails_holds_up_no_other(colour: str, how: str, cluster: Cluster, namespace: str) -> None:
    """Given a store watch that has to read all journals while a primary fails, then what the others have comes at once."""
    async with connect_in(colour, cluster.url, namespace=namespace) as store, store.watch("/tasks/*/n") as changes:
        tasks = [store.task(f"t{number}") for number in range(12)]
        for task in tasks:
            await task.set("n", 0)
            await changes.receive(timeout=scaled(10))
        victim = owner(cluster, namespace, tasks[0])
        others = [task for task in tasks if owner(cluster, namespace, task) is not victim]
        await in_thread(getattr(cluster, how), victim)
        getattr(changes, "blocking", changes).resync()
        slowest = 0.0
        for number in range(1, 20):
            for task in others[:3]:
                began = time.monotonic()
                await task.set("n", number)
                while (await changes.receive(timeout=scaled(10))).value != number:
                    pass
                slowest = max(slowest, time.monotonic() - began)
            await asyncio.sleep(0.02)
        assert slowest < scaled(1)
        await tasks[0].set("n", "after")
        while (await changes.receive(timeout=scaled(10))).value != "after":
            pass


@pytest.mark.parametrize("how", ["kill", "pause"])
async def test_contexts_are_listed_whole_while_a_primary_fails(
    colour: str, how: str, cluster: Cluster, namespace: str
) -> None:
    """Given a primary that does not come back, then each listing waits for its successor at most, and has no gap."""
    async with connect_in(colour, cluster.url, namespace=namespace) as store:
        tasks = [store.task(f"t{number}") for number in range(30)]
        for task in tasks:
            await task.set("a", 1)
        await in_thread(_await_replicas, cluster)
        victim = owner(cluster, namespace, tasks[0])
        await in_thread(getattr(cluster, how), victim)
        began = time.monotonic()
        while time.monotonic() < began + 3:
            asked = time.monotonic()
            listed = [info.address for info in await store.contexts()]
            assert listed == sorted(task.address for task in tasks)
            assert time.monotonic() - asked < scaled(6)


def _await_replicas(cluster: Cluster) -> None:
    for primary in cluster.primaries:
        primary.ask("WAIT", 1, 5000)


async def test_contexts_are_listed_whole_while_their_slots_move(colour: str, cluster: Cluster, namespace: str) -> None:
    async with connect_in(colour, cluster.url, namespace=namespace) as store:
        tasks = [store.task(f"t{number}") for number in range(30)]
        for task in tasks:
            await task.set("a", 1)
        moving = asyncio.create_task(_move_about(cluster, namespace, tasks[: counts(3, 12)]))
        while not moving.done():
            listed = [info.address for info in await store.contexts()]
            assert listed == sorted(task.address for task in tasks)
        await moving


async def _move_about(cluster: Cluster, namespace: str, tasks: list[Any]) -> None:
    for number, task in enumerate(tasks):
        to = another(cluster, owner(cluster, namespace, task))
        await in_thread(cluster.move_slot, slot(namespace, task), to, at_once=number % 2 == 0)


async def test_a_store_watch_is_told_of_each_life_of_a_context(colour: str, cluster: Cluster, namespace: str) -> None:
    """Given contexts that come, go and come again, then each birth and each end is delivered, and in order."""
    lives = counts(4, 20)
    async with connect_in(colour, cluster.url, namespace=namespace) as store, store.watch("/tasks/*/born") as changes:
        tasks = [store.task(f"t{number}") for number in range(20)]
        living = asyncio.gather(*(_live(task, lives) for task in tasks))
        told: dict[str, list[Any]] = {task.address: [] for task in tasks}
        for _ in range(len(tasks) * lives * 2):
            change = await changes.receive(timeout=scaled(10))
            told[change.context].append(change.value if change.op == "set" else change.op)
        await living
        expected = [each for life in range(lives) for each in (life, "gone")]
        assert told == {task.address: expected for task in tasks}


async def _live(task: Any, lives: int) -> None:
    for life in range(lives):
        await task.set("born", life)
        await asyncio.sleep(scaled(0.25))  # a life that is over before its channel is heard may be missed
        await task.drop()


async def test_a_claim_survives_the_move_of_its_slot(colour: str, cluster: Cluster, namespace: str) -> None:
    async with connect_in(colour, cluster.url, namespace=namespace) as store:
        task = store.task("t")
        async with task.claim("job", ttl=2.0) as claim:
            here = owner(cluster, namespace, task)
            await in_thread(cluster.move_slot, slot(namespace, task), another(cluster, here), at_once=True)
            await asyncio.sleep(3)
            assert claim.held
            await claim.context.set("done", True)


async def test_only_a_store_that_watches_asks_for_the_layout_without_a_reason(
    colour: str, cluster: Cluster, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("ccs._async.background.failover_watch.ROUTINE", 0.1)
    async with connect_in(colour, cluster.url, namespace=namespace) as store:
        task = store.task("t")
        await task.set("a", 1)
        before = _asked_for_layout(cluster)
        await asyncio.sleep(0.5)
        assert _asked_for_layout(cluster) == before
        async with task.watch("a"):
            await aeventually(lambda: _asked_for_layout(cluster) >= before + 3)


def _asked_for_layout(cluster: Cluster) -> int:
    """How often any node was asked for the slots."""
    found = 0
    for node in cluster.nodes:
        with node.client() as client:
            found += int(client.info("commandstats").get("cmdstat_cluster|slots", {"calls": 0})["calls"])
    return found


async def test_a_database_of_a_cluster_is_refused(colour: str, cluster: Cluster) -> None:
    with pytest.raises(ccs.CCSError, match=r"DB index|database"):
        async with connect_in(colour, f"{cluster.url}/3", retry_for=2):
            pass


@pytest.fixture
def slotless(tmp_path: Path) -> Iterator[PrivateServer]:
    # By default the port of its bus is among those of outgoing connections, one of which may have it.
    options = ("--cluster-enabled", "yes", "--cluster-port", str(free_port()))
    server = PrivateServer(binary_of("valkey"), tmp_path, *options).start()
    yield server
    server.kill()


async def test_a_cluster_without_slots_is_unavailable(colour: str, slotless: PrivateServer) -> None:
    with pytest.raises(ccs.Unavailable, match="no node of the Cluster serves a slot"):
        async with connect_in(colour, slotless.url, retry_for=0.5) as store:
            await store.contexts()


async def test_a_cluster_that_is_gone_is_unavailable_to_listings(colour: str, cluster: Cluster, namespace: str) -> None:
    async with connect_in(colour, cluster.url, namespace=namespace, retry_for=1) as store:
        await store.task("t").set("a", 1)
        await in_thread(cluster.stop)
        with pytest.raises(ccs.Unavailable, match="no node of the Cluster says"):
            await store.contexts()
