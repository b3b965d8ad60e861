"""From the call to the moment at which another process has it: a change that it watches, a message that it receives.

One at a time: the next is sent when the last one was told, and if it is a message, acknowledged.
"""

from __future__ import annotations

import gc
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

from benchmarks.client import TICKET
from benchmarks.contenders import AsyncContender, BlockingContender, Contender, Where
from benchmarks.figures import Quantity
from benchmarks.interrupt import held
from benchmarks.receiver import LISTENING, PATH, ROLE
from benchmarks.setting import Setting
from benchmarks.stats import percentile
from benchmarks.trial import Trial

__all__ = ["handovers"]

WARM_UP = 50
TABLE = "to another process, median"
WATCH = Quantity("handover/watch", TABLE, "set → watch", "µs")
INBOX = Quantity("handover/inbox", TABLE, "send → receive", "µs", at=1)

Told = Callable[[], str]  # the next line of the receiver


def handovers(setting: Setting) -> list[Trial]:
    """How long it takes until another process has what was set, or sent."""
    return [
        Trial(TABLE, contender.name, partial(_sample, setting, contender))
        for contender in setting.contenders("handover")
    ]


def _sample(setting: Setting, contender: Contender) -> Mapping[Quantity, float]:
    where = setting.where(contender, "handover")
    count = WARM_UP + setting.sizes.latencies
    with _receiver(contender.name, where, count) as told:
        times = contender.run(
            lambda one: _threads(one, where, count, told), lambda one: _tasks(one, where, count, told)
        )
    return {quantity: percentile(micros[WARM_UP:], 0.50) for quantity, micros in times.items()}


@contextmanager
def _receiver(name: str, where: Where, count: int) -> Iterator[Told]:
    url, room, _ = where
    command = [sys.executable, "-m", "benchmarks.receiver", name, url, room, str(count)]
    with held():
        process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True)
    with process:
        assert process.stdout
        try:
            yield process.stdout.readline
        finally:
            process.kill()


def _threads(contender: BlockingContender, where: Where, count: int, told: Told) -> dict[Quantity, list[float]]:
    with contender.client(where) as one:
        task: Any = one.task  # type: ignore[attr-defined]  # those that take part in this measure have one
        return {
            WATCH: _hand_over(lambda: task.set(PATH, TICKET), count, told),
            INBOX: _hand_over(lambda: task.send(ROLE, TICKET), count, told),
        }


async def _tasks(contender: AsyncContender, where: Where, count: int, told: Told) -> dict[Quantity, list[float]]:
    async with contender.client(where) as one:
        task: Any = one.task  # type: ignore[attr-defined]
        return {
            WATCH: await _async_hand_over(lambda: task.set(PATH, TICKET), count, told),
            INBOX: await _async_hand_over(lambda: task.send(ROLE, TICKET), count, told),
        }


def _hand_over(act: Callable[[], object], count: int, told: Told) -> list[float]:
    _await_listener(told)
    times = []
    for _ in range(count):
        began = time.perf_counter()
        act()
        times.append((float(told()) - began) * 1e6)
    return times


async def _async_hand_over(act: Callable[[], Awaitable[object]], count: int, told: Told) -> list[float]:
    _await_listener(told)
    times = []
    for _ in range(count):
        began = time.perf_counter()
        await act()
        times.append((float(told()) - began) * 1e6)  # the loop stands still, and has nothing else to do
    return times


def _await_listener(told: Told) -> None:
    if (said := told().strip()) != LISTENING:
        raise RuntimeError(f"the receiver does not listen: it said {said!r}")
    gc.collect()
