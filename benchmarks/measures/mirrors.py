"""A look-up in a mirror, which asks nobody, beside a GET, which asks the server."""

from __future__ import annotations

import gc
import time
from collections.abc import Mapping
from functools import partial

from benchmarks import crowd
from benchmarks.adapters.ccs_aio import AsyncStore
from benchmarks.adapters.ccs_blocking import BlockingStore
from benchmarks.client import PATHS, TICKET
from benchmarks.contenders import AsyncContender, BlockingContender, Contender, Where
from benchmarks.figures import Quantity
from benchmarks.setting import Setting
from benchmarks.sizes import Sizes
from benchmarks.trial import Trial

__all__ = ["mirrors"]

TABLE = "a look-up in a mirror, beside a GET"
LOOK_UP = Quantity("mirror", TABLE, "", "µs")


def mirrors(setting: Setting) -> list[Trial]:
    """Values that are in this process already, and values that the server has."""
    return [
        Trial(TABLE, contender.name, partial(_sample, setting, contender)) for contender in setting.contenders("mirror")
    ]


def _sample(setting: Setting, contender: Contender) -> Mapping[Quantity, float]:
    where = setting.where(contender, "mirror")
    sizes = setting.sizes
    micros = contender.run(lambda one: _blocking(one, where, sizes), lambda one: _asynchronous(one, where, sizes))
    return {LOOK_UP: micros}


def _blocking(contender: BlockingContender, where: Where, sizes: Sizes) -> float:
    with contender.client(where) as client:
        crowd.repeat(lambda path: client.put(path, TICKET), PATHS)
        if isinstance(client, BlockingStore):
            with client.task.mirror("**") as view:
                return _look_up(view, sizes.reads)
        gc.collect()
        began = time.perf_counter()
        crowd.repeat(client.get, _paths(sizes.single))
        return (time.perf_counter() - began) / sizes.single * 1e6


async def _asynchronous(contender: AsyncContender, where: Where, sizes: Sizes) -> float:
    async with contender.client(where) as client:
        await crowd.each(lambda path: client.put(path, TICKET), PATHS)
        if isinstance(client, AsyncStore):
            async with client.task.mirror("**") as view:
                return _look_up(view, sizes.reads)
        gc.collect()
        began = time.perf_counter()
        await crowd.each(client.get, _paths(sizes.single))
        return (time.perf_counter() - began) / sizes.single * 1e6


def _look_up(view: Mapping[str, object], reads: int) -> float:
    paths = _paths(reads)
    gc.collect()
    began = time.perf_counter()
    for path in paths:
        view[path]
    return (time.perf_counter() - began) / reads * 1e6


def _paths(count: int) -> list[str]:
    return [PATHS[number % len(PATHS)] for number in range(count)]
