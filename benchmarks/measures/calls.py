"""Put and get: one at a time, and from many callers at once (tasks, or threads for what blocks)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from benchmarks import crowd
from benchmarks.client import PATHS, TICKET, AsyncClient, Client
from benchmarks.contenders import AsyncContender, BlockingContender, Contender, Where
from benchmarks.figures import Quantity
from benchmarks.setting import Setting
from benchmarks.stopwatch import Stopwatch
from benchmarks.trial import Trial

__all__ = ["gets", "puts"]

MOST_THREADS = 50  # with more, one measures how Python takes turns
WARM_UP = 100  # operations before the clock runs, or two of each caller: connections are open then


def puts(setting: Setting) -> list[Trial]:
    """A value is written; the answer has come when the call returns."""
    return _trials(setting, "put")


def gets(setting: Setting) -> list[Trial]:
    """A value is read."""
    return _trials(setting, "get")


def _trials(setting: Setting, operation: str) -> list[Trial]:
    sizes = setting.sizes
    contenders = list(setting.contenders(operation))
    crowds = [Load(operation, callers, sizes.crowd) for callers in sizes.callers]
    return [
        Trial(load.title, contender.name, partial(load.run, setting, contender))
        for load in [*crowds, Load(operation, 1, sizes.single)]
        for contender in contenders
        if isinstance(contender, AsyncContender) or load.callers <= MOST_THREADS
    ]


@dataclass(frozen=True, slots=True)
class Load:
    """So many operations by so many callers at once."""

    operation: str
    callers: int
    count: int

    @property
    def title(self) -> str:
        """What the table is called."""
        return f"{self.operation}, {'one at a time' if self.callers == 1 else f'{self.callers} callers'}"

    def run(self, setting: Setting, contender: Contender) -> Mapping[Quantity, float]:
        """One sample."""
        watch = Stopwatch(setting.servers.get(contender.server))
        where = setting.where(contender, "calls", self.callers)
        contender.run(lambda one: self._threads(one, where, watch), lambda one: self._tasks(one, where, watch))
        return self._quantities(watch)

    def _quantities(self, watch: Stopwatch) -> Mapping[Quantity, float]:
        key = f"{self.operation}/{self.callers}"
        micros = 1e6 / self.count
        if self.callers == 1:
            speed = {Quantity(key, self.title, "", "µs"): watch.seconds * micros}
        else:
            speed = {Quantity(key, self.title, "", "/s", "higher"): self.count / watch.seconds}
        client = Quantity(f"{key}/client_cpu", self.title, "CPU of the client", "µs", at=1)
        server = Quantity(f"{key}/server_cpu", self.title, "CPU of the server", "µs", at=2)
        told = {} if math.isnan(watch.server_cpu) else {server: watch.server_cpu * micros}
        return speed | {client: watch.client_cpu * micros} | told

    def _shares(self, count: int) -> list[list[str]]:
        """The paths of each caller, all of them of the same number."""
        each = max(1, count // self.callers)
        return [[PATHS[(caller + turn) % len(PATHS)] for turn in range(each)] for caller in range(self.callers)]

    @property
    def _warm_up(self) -> list[list[str]]:
        return self._shares(max(WARM_UP, 2 * self.callers))

    async def _tasks(self, contender: AsyncContender, where: Where, watch: Stopwatch) -> None:
        async with contender.client(where) as client:
            if self.operation == "get":
                await crowd.each(partial(_aput, client), PATHS)
            act = client.get if self.operation == "get" else partial(_aput, client)
            await crowd.tasks(act, self._warm_up)
            shares = self._shares(self.count)
            with watch:
                # Without a task where there is one caller: so do those who wait for each call.
                await (crowd.tasks(act, shares) if self.callers > 1 else crowd.each(act, shares[0]))

    def _threads(self, contender: BlockingContender, where: Where, watch: Stopwatch) -> None:
        with contender.client(where) as client:
            if self.operation == "get":
                crowd.repeat(partial(_put, client), PATHS)
            act = client.get if self.operation == "get" else partial(_put, client)
            if self.callers > 1:
                return crowd.threads(act, self._warm_up, self._shares(self.count), watch)
            crowd.repeat(act, self._warm_up[0])
            (paths,) = self._shares(self.count)
            with watch:
                crowd.repeat(act, paths)
            return None


async def _aput(client: AsyncClient, path: str) -> None:
    await client.put(path, TICKET)


def _put(client: Client, path: str) -> None:
    client.put(path, TICKET)
