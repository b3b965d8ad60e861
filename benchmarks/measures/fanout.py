"""One writer, many subscribers in one other client: until all have got all; and whether each got it in order, once.

Each subscribes as its library has it: in CCS and NATS subscriptions share a connection, the naive ones have one each.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from benchmarks.client import PATHS, TICKET
from benchmarks.contenders import AsyncContender, BlockingContender, Contender, Where
from benchmarks.figures import Quantity
from benchmarks.setting import Setting
from benchmarks.stopwatch import Stopwatch
from benchmarks.trial import Trial

__all__ = ["deliveries", "fanouts"]

STALLED = 3.0  # seconds without any delivery, after which what is missing is taken as lost


def fanouts(setting: Setting) -> list[Trial]:
    """Deliveries a second, to 1, 10 and 100 subscribers."""
    return [
        Trial(f"fan-out to {count}", contender.name, partial(_fan_out, setting, contender, count))
        for count in setting.sizes.subscribers
        for contender in setting.contenders("fanout")
    ]


def deliveries(setting: Setting) -> list[Trial]:
    """The most subscribers with the most commits: how much of it came, in order, each once."""
    return [
        Trial("delivery", contender.name, partial(_deliver, setting, contender))
        for contender in setting.contenders("delivery")
    ]


def _fan_out(setting: Setting, contender: Contender, subscribers: int) -> Mapping[Quantity, float]:
    table = f"fan-out to {subscribers}"
    commits = setting.sizes.fan_commits
    seconds, whole = _run(setting, contender, subscribers, commits)
    return {
        Quantity(f"fanout/{subscribers}", table, "deliveries", "/s", "higher"): subscribers * commits / seconds,
        Quantity(f"fanout/{subscribers}/whole", table, "in order, each once", "%", "higher", at=1): 100 * whole,
    }


def _deliver(setting: Setting, contender: Contender) -> Mapping[Quantity, float]:
    subscribers = setting.sizes.subscribers[-1]
    commits = setting.sizes.deliver_commits
    seconds, whole = _run(setting, contender, subscribers, commits)
    table = f"{subscribers} subscribers × {commits:,} commits"
    return {
        Quantity("delivery/whole", table, "in order, each once", "%", "higher"): 100 * whole,
        Quantity("delivery", table, "deliveries", "/s", "higher", at=1): subscribers * commits / seconds,
    }


def _run(setting: Setting, contender: Contender, subscribers: int, commits: int) -> tuple[float, float]:
    watch = Stopwatch(setting.servers.get(contender.server))
    fan = Fan(subscribers, commits, watch, setting.new_room(contender, "fanout", subscribers))
    contender.run(fan.threads, fan.tasks)
    return watch.seconds, fan.whole


@dataclass(slots=True)
class Fan:
    """A writer that numbers what it writes, and what each subscriber has seen of it."""

    subscribers: int
    commits: int
    watch: Stopwatch
    where: Where
    seen: list[list[int]] = field(default_factory=list)

    @property
    def whole(self) -> float:
        """The share of subscribers that got everything in order, each once."""
        return sum(each == list(range(self.commits)) for each in self.seen) / self.subscribers

    async def tasks(self, contender: AsyncContender) -> None:
        """The run of an asyncio contender."""
        arrived = asyncio.Semaphore(0)
        async with contender.client(self.where) as writer, contender.client(self.where) as listener:
            for _ in range(self.subscribers):
                await listener.subscribe(self._subscriber(arrived.release))
            with self.watch:
                for path, value in self._values():
                    await writer.put(path, value)
                for _ in range(self.subscribers):
                    if not await self._arrives(arrived):
                        return

    def threads(self, contender: BlockingContender) -> None:
        """The run of a blocking contender."""
        arrived = threading.Semaphore(0)
        with contender.client(self.where) as writer, contender.client(self.where) as listener:
            for _ in range(self.subscribers):
                listener.subscribe(self._subscriber(arrived.release))
            with self.watch:
                for path, value in self._values():
                    writer.put(path, value)
                for _ in range(self.subscribers):
                    if not self._arrives_in_time(arrived):
                        return

    def _values(self) -> Sequence[tuple[str, Any]]:
        return [(PATHS[number % len(PATHS)], {**TICKET, "id": number}) for number in range(self.commits)]

    def _subscriber(self, arrived: Callable[[], object]) -> Callable[[str, Any], None]:
        numbers = list[int]()
        self.seen.append(numbers)

        def callback(path: str, value: Any) -> None:
            numbers.append(value["id"])
            if len(numbers) == self.commits:
                arrived()

        return callback

    async def _arrives(self, arrived: asyncio.Semaphore) -> bool:
        """Whether one more subscriber gets its last change, while there is any progress."""
        while True:
            before = sum(map(len, self.seen))
            try:
                await asyncio.wait_for(arrived.acquire(), STALLED)
                return True
            except TimeoutError:
                if sum(map(len, self.seen)) == before:
                    return False

    def _arrives_in_time(self, arrived: threading.Semaphore) -> bool:
        while True:
            before = sum(map(len, self.seen))
            if arrived.acquire(timeout=STALLED):
                return True
            if sum(map(len, self.seen)) == before:
                return False
