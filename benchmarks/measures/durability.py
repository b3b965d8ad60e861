"""What it costs to wait until a commit is on disk, or on a replica: one at a time, and from many callers at once."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks import crowd
from benchmarks.client import PATHS, TICKET
from benchmarks.contenders import AsyncContender, BlockingContender, Contender, Where
from benchmarks.figures import Quantity
from benchmarks.server import folder
from benchmarks.setting import Setting
from benchmarks.stopwatch import Stopwatch
from benchmarks.trial import Trial

__all__ = ["LEVELS", "durability"]

CALLERS = 50
WARM_UP = 100
LOGGED = bytes(1_500)  # about what a commit of this size appends to the log of its server
to_disk = getattr(os, "fdatasync", os.fsync)  # macOS has only the latter


@dataclass(frozen=True, slots=True)
class Level:
    """How safe a commit is when its call returns, and on which server that is measured."""

    name: str
    server: str
    asked: Mapping[str, Any] | None = None


LEVELS = (
    Level("applied", "valkey"),
    Level("disk", "fsync", {}),
    Level("applied, beside a replica", "replicated"),
    Level("replica", "replicated", {"disk": False, "replicas": 1}),
)
FLUSH = Quantity("durability/1/flush", "durability, one at a time", "a flush of the disk", "µs", at=len(LEVELS))


def durability(setting: Setting) -> list[Trial]:
    """The same writes at each level; and what a flush of the disk takes."""
    return [
        Trial(_table(callers), contender.name, partial(_sample, setting, contender, callers))
        for callers in (CALLERS, 1)
        for contender in setting.contenders("durability")
    ]


def _table(callers: int) -> str:
    return f"durability, {'one at a time' if callers == 1 else f'{callers} callers'}"


def _sample(setting: Setting, contender: Contender, callers: int) -> Mapping[Quantity, float]:
    found: dict[Quantity, float] = {} if callers > 1 else {FLUSH: _flush(setting)}
    for level in random.sample(LEVELS, len(LEVELS)):
        server = setting.servers.get(level.server)
        where = server.url, f"{setting.run_id}-durability-{contender.name.replace('.', '-')}", callers
        count = setting.sizes.single if callers == 1 else setting.sizes.crowd
        watch = Stopwatch(server)
        run = _Run(level, where, callers, count, watch)
        contender.run(run.threads, run.tasks)
        found[_quantity(level, callers)] = watch.seconds / count * 1e6 if callers == 1 else count / watch.seconds
    return found


def _quantity(level: Level, callers: int) -> Quantity:
    key = f"durability/{callers}/{level.name}"
    at = LEVELS.index(level)
    if callers == 1:
        return Quantity(key, _table(callers), level.name, "µs", at=at)
    return Quantity(key, _table(callers), level.name, "/s", "higher", at=at)


@dataclass(frozen=True, slots=True)
class _Run:
    """So many writes at one level."""

    level: Level
    where: Where
    callers: int
    count: int
    watch: Stopwatch

    def shares(self, count: int) -> list[list[str]]:
        """The paths of each caller."""
        each = max(1, count // self.callers)
        return [[PATHS[(caller + turn) % len(PATHS)] for turn in range(each)] for caller in range(self.callers)]

    def threads(self, contender: BlockingContender) -> None:
        """Measures blocking calls."""
        with contender.client(self.where) as client:
            task = self._task(client)

            def act(path: str) -> None:
                task.set(path, TICKET)

            if self.callers > 1:
                return crowd.threads(act, self.shares(WARM_UP), self.shares(self.count), self.watch)
            crowd.repeat(act, self.shares(WARM_UP)[0])
            with self.watch:
                crowd.repeat(act, self.shares(self.count)[0])
            return None

    async def tasks(self, contender: AsyncContender) -> None:
        """Measures asyncio calls."""
        async with contender.client(self.where) as client:
            task = self._task(client)

            async def act(path: str) -> None:
                await task.set(path, TICKET)

            await crowd.tasks(act, self.shares(WARM_UP))
            with self.watch:
                await crowd.tasks(act, self.shares(self.count))

    def _task(self, client: Any) -> Any:
        return client.task if self.level.asked is None else client.task.durable(**self.level.asked)


def _flush(setting: Setting) -> float:
    """Microseconds to append the bytes of a commit to a file, and to flush it to the disk of the servers."""
    count = setting.sizes.single
    with folder() as path, (path / "log").open("ab", buffering=0) as log:
        began = time.perf_counter()
        for _ in range(count):
            log.write(LOGGED)
            to_disk(log.fileno())
        return (time.perf_counter() - began) / count * 1e6
