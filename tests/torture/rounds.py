"""A round: processes at work in an arena while a nemesis strikes, then the truth is read, and all of it is the history."""

from __future__ import annotations

import time
from collections import Counter
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import ccs
from tests.support.waiting import eventually
from tests.torture.arenas import ARENAS, Arena
from tests.torture.diary import now, read_diaries
from tests.torture.history import History, Note
from tests.torture.nemesis.nemesis import Nemesis
from tests.torture.nemesis.schedule import Fault, schedule
from tests.torture.nemesis.troupe import Troupe
from tests.torture.truth import entries_of, journal_of
from tests.torture.workload.bounds import POLICIES
from tests.torture.workload.paths import CONTEXTS, FACTS
from tests.torture.workload.process import Part

__all__ = ["Plan", "Round", "play"]

NAMESPACE = "torture"
ADDRESSES = [*CONTEXTS, FACTS, "/tasks/m", "/sessions/m", "/actors/m"]


@dataclass(frozen=True)
class Plan:
    """What a round is to be: it is valid only with so many operations and faults."""

    topology: str
    seed: int
    operations: int
    faults: int
    processes: int = 10
    agents: int = 8
    watchers: int = 2
    kinds: tuple[str, ...] = ()
    longest: float = 3.0
    """The only kinds of faults, if there are any, and for how many seconds they last at most."""


@dataclass
class Round:
    """What a round was."""

    plan: Plan
    version: str = ""
    operations: int = 0
    seconds: float = 0.0
    faults: Counter[str] = field(default_factory=Counter)
    log: list[str] = field(default_factory=list)
    history: History = field(default_factory=History)

    @property
    def valid(self) -> bool:
        """Whether there were as many operations and faults as planned."""
        return self.operations >= self.plan.operations and self.faults.total() >= self.plan.faults


def play(plan: Plan, folder: Path) -> Round:
    """Plays a round in an empty folder, and reads the truth."""
    (folder / "servers").mkdir()
    (folder / "processes").mkdir()
    with ARENAS[plan.topology](folder / "servers", NAMESPACE) as arena:
        result = Round(plan, arena.version())
        began = time.monotonic()
        troupe = Troupe(folder / "processes", plan.processes, lambda *which: _part(plan, folder, arena, *which))
        try:
            _work(plan, arena, troupe, result)
        finally:
            troupe.end()
        result.seconds = time.monotonic() - began
        read_diaries(folder / "processes", result.history)
        result.operations = result.history.counts().total()
        _read_truth(arena, result.history)
    return result


def _part(plan: Plan, folder: Path, arena: Arena, slot: int, incarnation: int) -> Part:
    return Part(
        folder / "processes",
        arena.url(slot),
        NAMESPACE,
        ("blocking", "asyncio")[slot % 2],
        slot,
        incarnation,
        f"{plan.seed}/{plan.topology}",
        plan.agents,
        plan.watchers,
        (30.0, 2.0)[slot // 2 % 2],
        arena.durable,
    )


def _work(plan: Plan, arena: Arena, troupe: Troupe, result: Round) -> None:
    """The faults come evenly spread over the operations."""
    kinds = plan.kinds or arena.kinds
    faults: list[Fault] = schedule(f"{plan.seed}/{plan.topology}", kinds, plan.faults, plan.longest)
    prepare(arena)
    troupe.enter()
    eventually(lambda: troupe.progress() > 20 * plan.processes, 60, "all to be at work")
    nemesis = Nemesis(arena, troupe, ADDRESSES)
    try:
        for number, fault in enumerate(faults):
            _wait_for(troupe, plan.operations * number // (len(faults) + 1))
            nemesis.strike(fault)
        _wait_for(troupe, plan.operations)
        troupe.settle()
        nemesis.rest()
    finally:
        result.faults, result.log = nemesis.done, nemesis.log
        result.history.losses = nemesis.losses


def _wait_for(troupe: Troupe, operations: int) -> None:
    """Waits for so many operations in all, and for a little more than there were."""
    wanted = max(operations, troupe.progress() + 50)
    moved = time.monotonic(), troupe.progress()
    while (found := troupe.progress()) < wanted:
        troupe.check()
        if found > moved[1]:
            moved = time.monotonic(), found
        if time.monotonic() - moved[0] > 90:
            raise AssertionError(f"no progress since {now() - 90_000_000}: {found} of {wanted} operations")
        time.sleep(0.02)


def prepare(arena: Arena) -> None:
    """Makes the contexts, on all replicas, so that a failover finds them; and the policies that bind everybody."""
    with closing(ccs.connect(arena.url(0), namespace=NAMESPACE, agent="the harness")) as store:
        for address in ADDRESSES:
            task = store.context(address, ttl=None, keep_commits=100_000_000, keep_bytes=2**40)
            if address in CONTEXTS:
                for pattern, policy in POLICIES.items():
                    task.set_policy(pattern, policy)
            safe = task.durable(**arena.durable) if arena.durable else task
            safe.set("begun", True)


def _read_truth(arena: Arena, history: History) -> None:
    for address in ADDRESSES:
        client = arena.owner(address).client()
        history.journals[address] = journal_of(client, NAMESPACE, address)
        history.entries[address] = entries_of(client, NAMESPACE, address)
        client.close()
    history.notes.append(Note("the harness", now(), "end", {}))
