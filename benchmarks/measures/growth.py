"""What a call costs as everything around it grows: entries, contexts, watches elsewhere, history.

Each number of entries and of contexts is on a server of its own, all at once, so that a large one can be compared with
a small one round by round.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from benchmarks.adapters.ccs_aio import AsyncStore
from benchmarks.adapters.ccs_blocking import BlockingStore
from benchmarks.build import build_contexts, build_entries, build_history
from benchmarks.client import PATHS, TICKET
from benchmarks.contenders import Where
from benchmarks.figures import Quantity
from benchmarks.measures.latency import async_echo, echo
from benchmarks.server import Server
from benchmarks.setting import Setting
from benchmarks.stats import percentile
from benchmarks.trial import Trial

__all__ = ["BASES", "growth"]

# What is compared with: the others are so many times as costly as this.
BASES = {"entries": 1_000, "contexts": 1, "watches elsewhere": 1, "commits of history": 0}
WARM_UP = 20

Fill = Callable[[Server, str, int, Callable[[str], None]], None]


@dataclass(frozen=True, slots=True)
class Point:
    """A context that is measured, with so many of something around it."""

    dimension: str
    number: int
    where: Where
    watches: int = 0


def growth(setting: Setting) -> list[Trial]:
    """A write, a read, the list of a hundred paths, and the way to a callback, at every point of every dimension."""
    points = [
        *_filled(setting, "entries", setting.sizes.entries, build_entries),
        *_filled(setting, "contexts", setting.sizes.contexts, build_contexts),
        *_watched(setting),
        *_with_history(setting),
    ]
    return [
        Trial(f"growth, {point.dimension}", name, partial(_sample, setting, point, name))
        for point in points
        for name in ("ccs", "ccs.aio")
    ]


def _filled(setting: Setting, dimension: str, numbers: tuple[int, ...], build: Fill) -> Iterator[Point]:
    for number in numbers:
        server = setting.own_server()
        room = f"{setting.run_id}-growth"
        build(server, room, number, setting.progress.step)
        yield Point(dimension, number, (server.url, room, 1))


def _watched(setting: Setting) -> Iterator[Point]:
    server = setting.own_server()
    for number in setting.sizes.watches:
        room = f"{setting.run_id}-watched"
        yield Point("watches elsewhere", number, (server.url, room, 1), number)


def _with_history(setting: Setting) -> Iterator[Point]:
    server = setting.own_server()
    for number in setting.sizes.history:
        room = f"{setting.run_id}-history-{number}"
        build_history(server, room, number, setting.progress.step)
        yield Point("commits of history", number, (server.url, room, 1))


def _sample(setting: Setting, point: Point, name: str) -> Mapping[Quantity, float]:
    probes = setting.sizes.probes
    costs = _blocking(point, probes) if name == "ccs" else asyncio.run(_asynchronous(point, probes))
    return {_quantity(point, what): micros for what, micros in costs.items()}


def _quantity(point: Point, what: str) -> Quantity:
    key = f"growth/{point.dimension}/{what}"
    table = f"{what}, by the number of {point.dimension}"
    over = f"{key}/{BASES[point.dimension]}"
    return Quantity(f"{key}/{point.number}", table, f"{point.number:,}", "µs", at=point.number, over=over)


def _blocking(point: Point, probes: int) -> dict[str, float]:
    with _idle_watches(point) as writer, _idle_watches(point) as listener:
        _repeat(partial(writer.put, PATHS[0], TICKET), WARM_UP)
        return {
            "write": _repeat(partial(writer.put, PATHS[0], TICKET), probes),
            "read": _repeat(partial(writer.get, PATHS[0]), probes),
            "list": _repeat(partial(writer.task.paths, "sources/**"), probes // 5),
            "deliver": percentile(echo(writer, listener, probes), 0.5),
        }


async def _asynchronous(point: Point, probes: int) -> dict[str, float]:
    async with _idle_async_watches(point) as writer, _idle_async_watches(point) as listener:
        await _repeat_async(partial(writer.put, PATHS[0], TICKET), WARM_UP)
        return {
            "write": await _repeat_async(partial(writer.put, PATHS[0], TICKET), probes),
            "read": await _repeat_async(partial(writer.get, PATHS[0]), probes),
            "list": await _repeat_async(partial(writer.task.paths, "sources/**"), probes // 5),
            "deliver": percentile(await async_echo(writer, listener, probes), 0.5),
        }


def _repeat(act: Callable[[], Any], times: int) -> float:
    gc.collect()
    began = time.perf_counter()
    for _ in range(times):
        act()
    return (time.perf_counter() - began) / times * 1e6


async def _repeat_async(act: Callable[[], Awaitable[Any]], times: int) -> float:
    gc.collect()
    began = time.perf_counter()
    for _ in range(times):
        await act()
    return (time.perf_counter() - began) / times * 1e6


@contextmanager
def _idle_watches(point: Point) -> Iterator[BlockingStore]:
    """A client whose store has so many watches on other contexts."""
    with ExitStack() as stack:
        client = BlockingStore(*point.where)
        stack.callback(client.close)
        for number in range(point.watches):
            stack.enter_context(client.store.task(f"elsewhere-{number}").watch())
        yield client


@asynccontextmanager
async def _idle_async_watches(point: Point) -> AsyncIterator[AsyncStore]:
    async with AsyncExitStack() as stack:
        client = await AsyncStore.connect(*point.where)
        stack.push_async_callback(client.aclose)
        for number in range(point.watches):
            await stack.enter_async_context(client.store.task(f"elsewhere-{number}").watch())
        yield client
