"""A process of the workload: one store of a colour, its agents, watchers and a mirror."""

from __future__ import annotations

import asyncio
import json
import logging
import mmap
import os
import random
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ccs._clock import Moment, ServerClock
from tests.support.colours import connect_in
from tests.torture.diary import Diary
from tests.torture.workload.agent import EXPECTED, Agent, mark_of
from tests.torture.workload.bounds import BOUNDS, visit
from tests.torture.workload.callbacks import called_back, called_back_by_memory
from tests.torture.workload.memories import MEMORIES
from tests.torture.workload.moves import MOVES, maybe, wrote
from tests.torture.workload.recipes import RECIPES
from tests.torture.workload.store_watches import StoreWatcher, watch_lives
from tests.torture.workload.watchers import Watcher, mirror

__all__ = ["DRAIN", "SETTLE", "Part", "clock_file", "live", "settled_file"]

SETTLE, DRAIN = "settle", "drain"
"""Files that appear when all are to stop making calls, and when their watches are to receive what is left."""


def clock_file(slot: int) -> str:
    """The file that says by how many microseconds the clock of a process is to be wrong."""
    return f"clock-{slot}"


def settled_file(process: str) -> str:
    """The file by which a process says that it makes no more calls."""
    return f"settled-{process}"


@dataclass(frozen=True)
class Part:
    """The part that a process plays: where, as what, with which seed. `replicas`: all that a durable commit waits for."""

    folder: Path
    url: str
    namespace: str
    colour: str
    slot: int
    incarnation: int
    seed: str
    agents: int
    watchers: int
    retry_for: float
    durable: dict[str, Any] | None

    @property
    def process(self) -> str:
        """Its name."""
        return f"p{self.slot}.{self.incarnation}"


class Process:
    """One process at work."""

    def __init__(self, part: Part) -> None:
        self.part = part
        self.diary = Diary(part.folder, part.process)
        self.dice = random.Random(f"{part.seed}/{part.slot}/{part.incarnation}")
        with (part.folder / "progress").open("r+b") as file:
            self._counts = memoryview(mmap.mmap(file.fileno(), 0)).cast("Q")
        self._settling = self._draining = False
        self._parent = os.getppid()

    def _progress(self) -> None:
        self._counts[self.part.slot] += 1

    async def live(self) -> None:
        """Works until all have to stop."""
        part = self.part
        async with await self._store() as store:
            looking = [asyncio.create_task(each) for each in self._watchers(store)]
            guide = asyncio.create_task(self._obey())
            await asyncio.gather(*(self._work(self._agent(store, number)) for number in range(part.agents)))
            (part.folder / settled_file(part.process)).touch()
            await asyncio.gather(*looking)
            await guide

    async def _store(self) -> Any:
        """A store, once the servers let it in."""
        part = self.part
        options = {"namespace": part.namespace, "agent": f"w{part.slot}", "retry_for": part.retry_for}
        while True:
            store = connect_in(part.colour, part.url, **options)
            try:
                await store.contexts(limit=1)
            except EXPECTED:
                await asyncio.sleep(0.2)
            else:
                return store

    def _agent(self, store: Any, number: int) -> Agent:
        dice = random.Random(self.dice.random())
        return Agent(store, f"w{self.part.slot}.{number}", self.diary, dice, self._progress)

    def _watchers(self, store: Any) -> list[Any]:
        def over() -> bool:
            return self._draining

        dice = [random.Random(self.dice.random()) for _ in range(self.part.watchers + 2)]
        looking: list[Any] = [
            Watcher(store, self.diary, f"watch{number}", dice[number], over).look_on()
            for number in range(self.part.watchers)
        ]
        looking += [
            StoreWatcher(store, self.diary, dice[-2], over).look_on(),
            watch_lives(store, self.diary, over),
            called_back(self._agent(store, self.part.agents), over),
            called_back_by_memory(self._agent(store, self.part.agents + 1), over),
            mirror(store, self.diary, "mirror", dice[-1], over),
        ]
        return looking

    async def _work(self, agent: Agent) -> None:
        moves: dict[Callable[[Agent], Any], float] = {**MOVES, **RECIPES, **MEMORIES, **BOUNDS}
        if self.part.durable:
            moves[self._durable] = 1
        if "://" in self.part.url:  # a folder grants nothing
            moves[self._visit] = 0.05
        made, weights = list(moves), list(moves.values())
        while not self._settling:
            for move in agent.dice.choices(made, weights, k=10):
                try:
                    await move(agent)
                except EXPECTED:
                    await asyncio.sleep(0.05)  # a recipe that was refused half-way; its calls are noted
                if self._settling:
                    return

    async def _durable(self, agent: Agent) -> None:
        """A commit that a failover must not lose."""
        task, value = agent.context(), agent.value()
        safe = await maybe(task.durable(**self.part.durable or {}))
        await agent.call(
            "durable set", task, safe.set("s/9", value), wrote, writes=[["s/9", mark_of(value)]], durable=True
        )

    async def _visit(self, agent: Agent) -> None:
        await visit(agent, self.part.colour)

    async def _obey(self) -> None:
        """Looks for what it is told: to stop, to receive what is left, to have a wrong clock."""
        folder = self.part.folder
        while not self._draining:
            await asyncio.sleep(0.1)
            if os.getppid() != self._parent:  # nobody is left who would end it
                os._exit(1)
            _set_clock(folder / clock_file(self.part.slot))
            self._settling = self._settling or (folder / SETTLE).exists()
            self._draining = (folder / DRAIN).exists()


_honest = ServerClock.moment


def _set_clock(file: Path) -> None:
    """Makes the stores of this process believe that the server's clock was set by so much since they saw it."""
    off = json.loads(file.read_text()) if file.exists() else 0
    if not off:
        ServerClock.moment = _honest  # type: ignore[method-assign]
        return

    def wrong(clock: ServerClock) -> Moment:
        sighting, at = _honest(clock)
        return (sighting and (sighting[0] + off, sighting[1])), at

    ServerClock.moment = wrong  # type: ignore[method-assign]


def live(part: Part) -> None:
    """Plays a part in this process; what goes wrong is in its diary."""
    logging.getLogger("ccs").setLevel(logging.CRITICAL)  # all that it could say is meant to happen here
    process = Process(part)
    try:
        asyncio.run(process.live())
    except BaseException:
        process.diary.note("failed", error=traceback.format_exc()[-2000:])
        raise
