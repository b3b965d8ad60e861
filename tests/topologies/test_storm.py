"""A storm: contexts come and go under writers, while slots move and primaries are killed. A store watch is told of all of it."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter, defaultdict
from contextlib import nullcontext
from functools import partial
from typing import Any

import pytest

import ccs
from ccs._core.names.keys import keys_of
from ccs._core.nodes.slots import slot_of
from tests.faults.chaos import seed
from tests.support.colours import COLOURS, connect_in
from tests.support.topologies import Cluster
from tests.support.waiting import counts, scaled
from tests.topologies.failing_over import cut_off

ALL_REPLICAS = {"disk": False, "replicas": 1, "timeout": scaled(0.3)}


class Told:
    """What a store watch has told: revisions, and what it has missed."""

    def __init__(self) -> None:
        self.delivered: dict[str, set[int]] = defaultdict(set)
        self.ops: Counter[str] = Counter()
        self.gaps: dict[str, list[tuple[int, int]]] = defaultdict(list)
        """From which revision on, up to which one, commits may not have been delivered; "" is any context."""

    async def receive(self, watch: Any, over: asyncio.Event) -> None:
        while True:
            last = over.is_set()
            try:
                self._take(await watch.receive(timeout=scaled(3) if last else 0.2))
            except TimeoutError:
                if last:
                    return
            except (ccs.HistoryForked, ccs.HistoryCompacted) as error:
                self.ops[type(error).__name__] += 1
                goes_on = error.last if isinstance(error, ccs.HistoryForked) else error.oldest
                self.gaps[error.address].append((error.since, goes_on))
            except ccs.Unavailable:
                self.ops["Unavailable"] += 1

    def _take(self, change: Any) -> None:
        self.ops[change.op] += 1
        if change.op == "missed":
            for address in change.value or [""]:
                self.gaps[address].append((0, time.time_ns() // 1000))
        elif change.op != "gone":
            self.delivered[change.context].add(change.revision)

    def silent_about(self, address: str, revision: int) -> bool:
        gaps = self.gaps.get(address, []) + self.gaps.get("", [])
        return revision not in self.delivered[address] and not any(low < revision <= high for low, high in gaps)


class Storm:
    """Writers of contexts that come and go, and what was acknowledged: by all replicas, so no failover loses it."""

    def __init__(self, cluster: Cluster, namespace: str, store: Any, dice: random.Random) -> None:
        self.cluster = cluster
        self.namespace = namespace
        self.dice = dice
        self.tasks = [store.task(f"t{number}").durable(**ALL_REPLICAS) for number in range(20)]
        self.acknowledged: list[tuple[str, int]] = []
        self.unsure = 0
        self.over = asyncio.Event()

    async def live(self, task: Any) -> None:
        """Births, writes and drops, one after the other."""
        while not self.over.is_set():
            for number in range(self.dice.randint(1, 8)):
                await self._try(partial(self._set, task, number))
                await asyncio.sleep(self.dice.choice([0, 0, 0.005, 0.02]))
            if self.dice.random() < 0.7:
                await self._try(task.drop)

    async def _set(self, task: Any, number: int) -> None:
        entry = await task.set(f"n{number}", number)
        self.acknowledged.append((task.address, entry.revision))

    async def _try(self, call: Any) -> None:
        try:
            await call()
        except ccs.NotDurable:
            self.unsure += 1

    async def blow(self) -> None:
        """Slots move both ways, and primaries are killed and come back."""
        for _ in range(counts(1, 12)):
            for _ in range(3):
                await asyncio.sleep(self.dice.random())
                slot = slot_of(keys_of(self.namespace, self.dice.choice(self.tasks).address).meta)
                owner = self.cluster.owner(slot)
                to = self.dice.choice([node for node in self.cluster.primaries if node is not owner])
                await asyncio.to_thread(partial(self.cluster.move_slot, slot, to, at_once=self.dice.random() < 0.5))
            await asyncio.to_thread(self._kill_one)

    def _kill_one(self) -> None:
        victim = self.dice.choice(self.cluster.primaries)
        replica = self.cluster.replicas_of(victim)[0]
        with cut_off(self.cluster, victim) if self.dice.random() < 0.5 else nullcontext():
            time.sleep(0.1)
            self.cluster.kill(victim)
        deadline = time.monotonic() + scaled(15)
        while not replica.primary:
            assert time.monotonic() < deadline
            time.sleep(0.02)
        self.cluster.repair()


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_store_watch_is_never_silent_about_a_commit(colour: str, cluster: Cluster, namespace: str) -> None:
    """Each commit that all replicas had is delivered; or the watch says that it missed some there, or that history forked."""
    told = Told()
    async with connect_in(colour, cluster.url, namespace=namespace, retry_for=scaled(20)) as store:
        storm = Storm(cluster, namespace, store, random.Random(seed()))
        async with store.watch("/tasks/*/n*") as watch, asyncio.TaskGroup() as group:
            group.create_task(told.receive(watch, storm.over))
            for task in storm.tasks:
                group.create_task(storm.live(task))
            await storm.blow()
            storm.over.set()
    silent = [(address, revision) for address, revision in storm.acknowledged if told.silent_about(address, revision)]
    delivered = sum(map(len, told.delivered.values()))
    counted = f"{len(storm.acknowledged)} acknowledged, {storm.unsure} unsure, {delivered} delivered"
    print(f"{counted}; told: {dict(told.ops)}")  # noqa: T201
    assert delivered > 0
    assert silent == []
