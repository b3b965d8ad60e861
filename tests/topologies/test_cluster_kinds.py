"""Clusters of every kind: of one node, with nodes that name each other in other ways or not at all, with TLS, with few rights."""

from __future__ import annotations

import asyncio
import multiprocessing
import subprocess
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import ccs
import ccs.aio
from ccs._core.names.keys import keys_of
from ccs._core.nodes.slots import slot_of
from tests.support.colours import COLOURS, connect_in
from tests.support.servers import binary_of, free_port
from tests.support.topologies import Cluster, SharedTopologies
from tests.support.waiting import aeventually, bounded, counts, scaled
from tests.transport.test_servers import PASSWORD, authority

__all__ = ["authority"]


def of_one_node(folder: Path) -> Cluster:
    return Cluster(folder, primaries=1, replicas=0)


@pytest.fixture
def alone(shared_topologies: SharedTopologies) -> Iterator[Cluster]:
    """A Cluster of one node."""
    with shared_topologies.lent(of_one_node) as cluster:
        yield cluster


async def all_works(colour: str, url: str, namespace: str, **options: Any) -> None:
    """Contexts on all shards are written, watched, listed, and ended."""
    async with (
        connect_in(colour, url, namespace=namespace, **options) as store,
        store.watch("/tasks/*/a") as changes,
    ):
        tasks = [store.task(f"t{number}") for number in range(12)]
        for task in tasks:
            await task.set("a", 1)
        heard = [(await changes.receive(timeout=scaled(10))).context for _ in tasks]
        assert sorted(heard) == sorted(task.address for task in tasks)
        assert [info.address for info in await store.contexts()] == sorted(heard)
        async with tasks[0].watch("**") as of_one:
            await tasks[0].increment("n")
            assert (await of_one.receive(timeout=scaled(10))).path == "n"
        async with tasks[1].claim("c", ttl=scaled(10)) as claim:
            assert claim.held
        await tasks[2].durable(disk=False, replicas=0).set("a", 2)
        for task in tasks:
            await task.drop()


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("form", ["redis://{}", "redis+cluster://{}"])
async def test_a_cluster_of_one_node_is_a_cluster(colour: str, form: str, alone: Cluster, namespace: str) -> None:
    """It names itself by no host, as it has never heard which one it has."""
    await all_works(colour, form.format(alone.nodes[0].place), namespace)


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("kind", ["unknown-endpoint", "hostname", "no hostname"])
async def test_nodes_are_found_however_they_name_each_other(
    colour: str, kind: str, cluster: Cluster, namespace: str
) -> None:
    """A node without a known endpoint is on the host of the one that was asked; a redirection leads there too."""
    hostname = "localhost" if kind == "hostname" else ""
    try:
        for node in cluster.nodes:
            node.ask("CONFIG", "SET", "cluster-preferred-endpoint-type", kind.removeprefix("no "))
            node.ask("CONFIG", "SET", "cluster-announce-hostname", hostname)
        named = {b"hostname": b"localhost", b"no hostname": b"?"}.get(kind.encode())
        await aeventually(lambda: _names(cluster) == {named})
        await all_works(colour, cluster.url, namespace)
        async with connect_in(colour, cluster.url, namespace=namespace) as store, store.task("m").watch("a") as changes:
            task = store.task("m")
            await task.set("a", 0)
            here = slot_of(keys_of(namespace, task.address).meta)
            for number, at_once in enumerate((True, False), 1):
                to = next(node for node in cluster.primaries if node is not cluster.owner(here))
                await asyncio.to_thread(cluster.move_slot, here, to, at_once=at_once)
                await task.set("a", number)
            assert [(await changes.receive(timeout=scaled(10))).value for _ in range(3)] == [0, 1, 2]
    finally:
        for node in cluster.running:
            node.ask("CONFIG", "SET", "cluster-preferred-endpoint-type", "ip")
            node.ask("CONFIG", "SET", "cluster-announce-hostname", "")


def _names(cluster: Cluster) -> set[bytes | None]:
    """How any node names any primary."""
    return {slots[2][0] for node in cluster.nodes for slots in node.ask("CLUSTER", "SLOTS")}


@pytest.fixture
def with_tls(authority: Path, tmp_path: Path) -> Iterator[list[int]]:
    """The ports of a Cluster where clients need certificates; skips where no binary can."""
    kinds = [kind for kind in ("valkey", "redis") if _has_tls(binary_of(kind))]
    if not kinds:
        pytest.skip("neither server was built with TLS")
    ports: list[int] = []

    def options() -> tuple[str, ...]:
        ports.append(free_port())
        files = f"--tls-cert-file {authority}/server.pem --tls-key-file {authority}/server.key"
        return (*f"{files} --tls-ca-cert-file {authority}/ca.pem --tls-cluster yes --tls-port {ports[-1]}".split(),)

    with Cluster(tmp_path, 3, 0, kinds[0], options):
        yield ports


def _has_tls(binary: str) -> bool:
    return "libssl" in subprocess.run(["ldd", binary], capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_cluster_with_tls_is_spoken_to_by_tls_alone(
    colour: str, with_tls: list[int], authority: Path, namespace: str
) -> None:
    ours = f"ssl_ca_certs={authority}/ca.pem&ssl_certfile={authority}/client.pem"
    theirs = f"ssl_keyfile={authority}/client.key&ssl_password={PASSWORD}&ssl_check_hostname=false"
    for start in (f"rediss://127.0.0.1:{with_tls[0]}", f"rediss+cluster://127.0.0.1:{with_tls[1]}"):
        await all_works(colour, f"{start}?{ours}&{theirs}", namespace)


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_user_of_one_context_is_enough_on_a_cluster(colour: str, cluster: Cluster, namespace: str) -> None:
    """Given rights for the keys and channels of one context, then all works there, and what is missing is named."""
    mine = keys_of(namespace, "/tasks/mine").channel
    rules = ("reset", "on", ">pw", "+@all", f"~{mine}:*", f"&{mine}")
    for node in cluster.nodes:
        node.ask("ACL", "SETUSER", "app", *rules, f"&{mine}:*")
    try:
        url = cluster.url.replace("://", "://app:pw@")
        async with connect_in(colour, url, namespace=namespace) as store, store.task("mine").watch("**") as changes:
            await store.task("mine").set("a", 1)
            assert (await changes.receive(timeout=scaled(10))).value == 1
            with pytest.raises(ccs.Forbidden, match="/tasks/other"):
                await store.task("other").set("a", 1)
            await store.task("mine").drop()
            for node in cluster.nodes:
                node.ask("ACL", "SETUSER", "app", *rules)
            with pytest.raises(ccs.Forbidden, match=r"PUBLISH on the channel .*:new"):
                await store.task("mine").set("a", 1)
            assert await store.task("mine").get("a") is None
    finally:
        for node in cluster.running:
            node.ask("ACL", "DELUSER", "app")


def test_a_store_that_was_not_used_yet_is_each_forked_childs_own(cluster: Cluster, namespace: str) -> None:
    store = ccs.connect(cluster.url, namespace=namespace)
    fork = multiprocessing.get_context("fork")
    children = [fork.Process(target=_in_child, args=(store, number)) for number in range(counts(3, 8))]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # that there are threads: so there are in user programs
        for child in children:
            child.start()
    for child in children:
        child.join(scaled(30))
    assert [child.exitcode for child in children] == [0] * len(children)
    with store:
        for number in range(6):
            assert len(store.task(f"t{number}").paths("child/*")) == len(children)


def _in_child(store: ccs.Store, number: int) -> None:
    with store:
        for context in range(6):
            task = store.task(f"t{context}")
            with task.watch("child/*") as changes:
                task.set(f"child/{number}", number)
                while changes.receive(timeout=scaled(10)).value != number:
                    pass


def test_hundreds_of_threads_with_a_node_that_hangs_are_told_in_time(alone: Cluster, namespace: str) -> None:
    """Given a node that hangs and has no replica, then each of 300 calls ends with `retry_for`, and later ones go on."""
    node, patience = alone.nodes[0], 2.0
    with ccs.connect(alone.url, namespace=namespace, retry_for=patience) as store:
        task = store.task("t")
        task.set("a", 1)
        took: list[float] = []

        def write() -> None:
            began = time.monotonic()
            with pytest.raises(ccs.Unavailable):
                task.set("a", 2)
            took.append(time.monotonic() - began)

        threads = [threading.Thread(target=write) for _ in range(300)]
        node.pause()
        try:
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join(scaled(30))
        finally:
            node.resume()
        assert len(took) == 300
        assert max(took) < patience + scaled(1.5)
        assert task.set("a", 3).value == 3


async def test_a_cancelled_caller_leaves_its_connection_as_it_was(cluster: Cluster, namespace: str) -> None:
    """Given callers that give up in the middle of redirections, or with a node that hangs, then nobody else notices."""
    async with ccs.aio.connect(cluster.url, namespace=namespace, retry_for=scaled(20)) as store:
        tasks = [store.task(f"t{number}") for number in range(6)]
        for task in tasks:
            await task.set("n", 0)
        moving = asyncio.create_task(_move_there_and_back(cluster, namespace, tasks[: counts(2, 6)]))
        given_up = 0
        while not moving.done():
            given_up += await _give_up(tasks, 0.001)
        await moving
        victim = cluster.owner(slot_of(keys_of(namespace, tasks[0].address).meta))
        victim.pause()
        for _ in range(20):
            given_up += await _give_up(tasks, 0.05)
        assert given_up > 0
        await bounded(asyncio.gather(*(task.set("last", 1) for task in tasks)), 30)
        counted = {name.get_name() for name in asyncio.all_tasks() if "ccs" in name.get_name()}
        assert "ccs dial" not in counted
        for task in tasks:
            assert await task.get("last") == 1
            history = await task.history("n")
            assert [change.value for change in history] == list(range(len(history)))
    assert not [each for each in asyncio.all_tasks() if "ccs" in each.get_name()]


async def _move_there_and_back(cluster: Cluster, namespace: str, tasks: list[Any]) -> None:
    for number, task in enumerate(tasks):
        slot = slot_of(keys_of(namespace, task.address).meta)
        here = cluster.owner(slot)
        other = next(node for node in cluster.primaries if node is not here)
        for to in (other, here):
            await asyncio.to_thread(cluster.move_slot, slot, to, at_once=number % 2 == 0)


async def _give_up(tasks: list[Any], after: float) -> int:
    """Writes everywhere, and cancels what has not been answered by then. Returns how many were."""
    calls = [asyncio.create_task(task.increment("n")) for task in tasks]
    _, waiting = await asyncio.wait(calls, timeout=after)
    for call in waiting:
        call.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    return len(waiting)
