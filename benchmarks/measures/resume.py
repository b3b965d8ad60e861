"""A reader comes back after many commits: until it has all that it missed.

The naive contender cannot, nor can bare Redis and NATS' key-value store (64 revisions of a key at most).
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import nullcontext
from functools import partial
from typing import Any

from benchmarks import crowd
from benchmarks.client import PATHS, TICKET
from benchmarks.contenders import AsyncContender, BlockingContender, Contender, Where
from benchmarks.figures import Quantity
from benchmarks.setting import Setting
from benchmarks.stopwatch import Stopwatch
from benchmarks.trial import Trial

__all__ = ["catch_up", "resumes"]

WRITERS = 50


def resumes(setting: Setting) -> list[Trial]:
    """How long it takes to catch up."""
    return [
        Trial("resume", contender.name, partial(_sample, setting, contender))
        for contender in setting.contenders("resume")
    ]


def _sample(setting: Setting, contender: Contender) -> Mapping[Quantity, float]:
    watch = Stopwatch(setting.servers.get(contender.server))
    commits = setting.sizes.away
    catch_up(contender, setting.new_room(contender, "resume", WRITERS), commits, watch)
    table = f"resume after {commits:,} commits"
    return {
        Quantity("resume", table, "", "ms"): watch.seconds * 1e3,
        Quantity("resume/rate", table, "changes", "/s", "higher", at=1): commits / watch.seconds,
    }


def catch_up(contender: Contender, where: Where, commits: int, watch: Stopwatch) -> None:
    """Commits so often while nobody listens, and has a new client receive all of it, by the watch."""
    contender.run(lambda one: _threads(one, where, commits, watch), lambda one: _tasks(one, where, commits, watch))


async def _tasks(contender: AsyncContender, where: Where, commits: int, watch: Stopwatch) -> None:
    async with contender.client(where) as one:
        writer: Any = one  # those that take part in this measure can do more than a client has to
        await writer.put("cursor", TICKET)
        cursor = await writer.cursor()
        await crowd.tasks(lambda path: writer.put(path, TICKET), _shares(commits))
    async with contender.client(where) as one:
        reader: Any = one
        await reader.get("cursor")
        with watch:
            await reader.catch_up(cursor, commits)


def _threads(contender: BlockingContender, where: Where, commits: int, watch: Stopwatch) -> None:
    with contender.client(where) as one:
        writer: Any = one
        writer.put("cursor", TICKET)
        cursor = writer.cursor()
        crowd.threads(lambda path: writer.put(path, TICKET), [[]] * WRITERS, _shares(commits), nullcontext())
    with contender.client(where) as one:
        reader: Any = one
        reader.get("cursor")
        with watch:
            reader.catch_up(cursor, commits)


def _shares(commits: int) -> list[list[str]]:
    return [[PATHS[turn % len(PATHS)] for turn in range(writer, commits, WRITERS)] for writer in range(WRITERS)]
