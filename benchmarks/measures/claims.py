"""A claim taken and released, beside a set: two commits, each guarded, beside one."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from functools import partial
from typing import Any

from benchmarks.client import PATHS, TICKET
from benchmarks.contenders import AsyncContender, BlockingContender, Contender, Where
from benchmarks.figures import Quantity
from benchmarks.setting import Setting
from benchmarks.trial import Trial

__all__ = ["claims"]

WARM_UP = 50
TABLE = "a claim taken and released, beside a set"
SET = Quantity("claim/set", TABLE, "set", "µs")
CLAIM = Quantity("claim/claim", TABLE, "claim and release", "µs", at=1)


def claims(setting: Setting) -> list[Trial]:
    """Claims that nobody else wants, one at a time."""
    return [
        Trial(TABLE, contender.name, partial(_sample, setting, contender)) for contender in setting.contenders("claim")
    ]


def _sample(setting: Setting, contender: Contender) -> Mapping[Quantity, float]:
    where = setting.where(contender, "claim")
    count = setting.sizes.single
    return contender.run(lambda one: _threads(one, where, count), lambda one: _tasks(one, where, count))


def _threads(contender: BlockingContender, where: Where, count: int) -> Mapping[Quantity, float]:
    with contender.client(where) as one:
        task: Any = one.task  # type: ignore[attr-defined]  # those that take part in this measure have one
        _take(task, WARM_UP)
        gc.collect()
        return _take(task, count)


def _take(task: Any, turns: int) -> Mapping[Quantity, float]:
    began = time.perf_counter()
    for turn in range(turns):
        task.set(PATHS[turn % len(PATHS)], TICKET)
    between = time.perf_counter()
    for turn in range(turns):
        with task.claim(PATHS[turn % len(PATHS)]):
            pass
    return _micros(began, between, turns)


async def _tasks(contender: AsyncContender, where: Where, count: int) -> Mapping[Quantity, float]:
    async with contender.client(where) as one:
        task: Any = one.task  # type: ignore[attr-defined]
        await _async_take(task, WARM_UP)
        gc.collect()
        return await _async_take(task, count)


async def _async_take(task: Any, turns: int) -> Mapping[Quantity, float]:
    began = time.perf_counter()
    for turn in range(turns):
        await task.set(PATHS[turn % len(PATHS)], TICKET)
    between = time.perf_counter()
    for turn in range(turns):
        async with task.claim(PATHS[turn % len(PATHS)]):
            pass
    return _micros(began, between, turns)


def _micros(began: float, between: float, turns: int) -> Mapping[Quantity, float]:
    ended = time.perf_counter()
    return {SET: (between - began) / turns * 1e6, CLAIM: (ended - between) / turns * 1e6}
