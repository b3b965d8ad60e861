"""Memory of the server for each entry, by its own account, on a server that nobody else uses."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from functools import partial

import redis

import ccs.aio as ccs
from benchmarks import crowd
from benchmarks.client import TICKET
from benchmarks.figures import Quantity
from benchmarks.server import Server
from benchmarks.setting import Setting
from benchmarks.trial import Trial

__all__ = ["memory"]

WRITERS = 50
TABLE = "memory of the server, for each entry"
WHOLE = Quantity("memory/whole", TABLE, "with its last commit in the history", "bytes")
TINY = Quantity("memory/tiny", TABLE, "keep_commits=1, or no history", "bytes", at=1)


def memory(setting: Setting) -> list[Trial]:
    """Entries of their own path each, written once."""
    server = setting.own_server()
    return [
        Trial("memory", "ccs.aio", partial(_of_ccs, server, setting.sizes.stored)),
        Trial("memory", "bare", partial(_of_bare, server, setting.sizes.stored)),
    ]


def _of_ccs(server: Server, count: int) -> Mapping[Quantity, float]:
    async def measure() -> dict[Quantity, float]:
        return {WHOLE: await _task(server, count, count), TINY: await _task(server, count, 1)}

    return asyncio.run(measure())


async def _task(server: Server, count: int, keep_commits: int) -> float:
    async with ccs.connect(server.url, agent="bench") as store:
        task = store.task(f"keeps-{keep_commits}", keep_commits=keep_commits)
        before = server.info()["used_memory"]
        await crowd.tasks(lambda path: task.set(path, TICKET), [_paths(count)[one::WRITERS] for one in range(WRITERS)])
        return float(server.info()["used_memory"] - before) / count


def _of_bare(server: Server, count: int) -> Mapping[Quantity, float]:
    with redis.Redis.from_url(server.url) as client:
        before = server.info()["used_memory"]
        for path in _paths(count):
            client.set(f"bench:{path}", json.dumps(TICKET))
        return {TINY: float(server.info()["used_memory"] - before) / count}


def _paths(count: int) -> list[str]:
    return [f"sources/{number}/status" for number in range(count)]
