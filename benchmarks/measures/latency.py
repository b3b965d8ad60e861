"""From the call of put to the callback, in another client of the same process.

One put at a time: the next begins when the call has returned and the callback has been called.
"""

from __future__ import annotations

import asyncio
import gc
import threading
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from benchmarks.client import TICKET, AsyncClient, Client
from benchmarks.contenders import AsyncContender, BlockingContender, Contender, Where
from benchmarks.figures import Quantity
from benchmarks.setting import Setting
from benchmarks.stats import percentile
from benchmarks.trial import Trial

__all__ = ["async_echo", "echo", "latencies"]

PATIENCE = 60.0
WARM_UP = 50
PATH = "sources/a/status"
TABLE = "put → callback"
P50 = Quantity("latency/p50", TABLE, "median", "µs")
P99 = Quantity("latency/p99", TABLE, "99th percentile", "µs", at=1)


def latencies(setting: Setting) -> list[Trial]:
    """How long it takes until a callback is called with what was put."""
    return [
        Trial(TABLE, contender.name, partial(_sample, setting, contender))
        for contender in setting.contenders("latency")
    ]


def _sample(setting: Setting, contender: Contender) -> Mapping[Quantity, float]:
    where = setting.where(contender, "latency")
    count = setting.sizes.latencies
    times = contender.run(lambda one: _threads(one, where, count), lambda one: _tasks(one, where, count))
    return {P50: percentile(times, 0.50), P99: percentile(times, 0.99)}


async def _tasks(contender: AsyncContender, where: Where, count: int) -> list[float]:
    async with contender.client(where) as writer, contender.client(where) as listener:
        return await async_echo(writer, listener, count)


def _threads(contender: BlockingContender, where: Where, count: int) -> list[float]:
    with contender.client(where) as writer, contender.client(where) as listener:
        return echo(writer, listener, count)


async def async_echo(writer: AsyncClient, listener: AsyncClient, count: int) -> list[float]:
    """Puts so many times, and waits each time for the callback: the microseconds until it was called."""
    heard = asyncio.Event()
    times = list[float]()
    called_at = 0.0

    def callback(path: str, value: Any) -> None:
        nonlocal called_at
        called_at = time.perf_counter()
        heard.set()

    await listener.subscribe(callback)
    gc.collect()
    async with asyncio.timeout(PATIENCE):  # one for all: a timer for each would be measured too
        for _ in range(WARM_UP + count):
            heard.clear()
            began = time.perf_counter()
            await writer.put(PATH, TICKET)
            await heard.wait()
            times.append((called_at - began) * 1e6)
    return times[WARM_UP:]


def echo(writer: Client, listener: Client, count: int) -> list[float]:
    """The same, blocking."""
    heard = threading.Event()
    times = list[float]()
    called_at = 0.0

    def callback(path: str, value: Any) -> None:
        nonlocal called_at
        called_at = time.perf_counter()
        heard.set()

    listener.subscribe(callback)
    gc.collect()
    for _ in range(WARM_UP + count):
        heard.clear()
        began = time.perf_counter()
        writer.put(PATH, TICKET)
        if not heard.wait(PATIENCE):
            raise TimeoutError(f"no callback within {PATIENCE:g} s")
        times.append((called_at - began) * 1e6)
    return times[WARM_UP:]
