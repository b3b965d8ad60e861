"""How callers that wait for each other act on a picture: commit a step, then wait until the picture shows the result."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from ccs._async.changes.watch_kinds import Picture
from ccs._async.context_handle import Handle
from ccs._async.engine import Engine
from ccs._compat import async_sleep
from ccs._core.recipes.guarded_commit import GuardedCommit
from ccs._log import logger
from ccs.errors import (
    Conflict,
    ContextFinished,
    ContextGone,
    HistoryCompacted,
    HistoryDamaged,
    HistoryForked,
    Unavailable,
)

__all__ = ["act_on_picture", "take_step"]

# Seconds before the next try after an outage: a server that refuses at once would do so again.
_REST = 0.5

T = TypeVar("T")


async def act_on_picture(
    handle: Handle,
    patterns: tuple[str, ...],
    act: Callable[[Picture], Awaitable[T]],
    patience: float,
    draw: Callable[[Engine, str, tuple[str, ...]], Picture] = Picture,
) -> T:
    """Returns `act(picture)`. Draws a new picture if history has a gap, or after an outage before the time `patience`."""
    handle.require(*patterns)
    while True:
        try:
            async with draw(handle.engine, handle.address, patterns) as picture:
                return await act(picture)
        except (HistoryCompacted, HistoryDamaged, HistoryForked) as error:
            logger.info("reading %s in %s again: %s", patterns[0], handle.address, error)
        except Unavailable as error:
            if time.monotonic() >= patience:
                raise
            logger.info("reading %s in %s again after an outage: %s", patterns[0], handle.address, error)
            await async_sleep(_REST)


async def take_step(handle: Handle, picture: Picture, step: GuardedCommit | None, deadline: float | None) -> None:
    """Commits a step, if there is one, and waits until the picture shows it, or the commit that was faster."""
    applied = None
    if step:
        try:
            applied = await handle.commit(step.operations, step.guards)
        except Conflict:
            pass  # the picture will show the commit that was faster
        else:
            handle.expect(step.ttl)
    await _refreshed(picture, deadline)
    while applied and picture.revision < applied.revision:
        await _refreshed(picture, deadline)


async def _refreshed(picture: Picture, deadline: float | None) -> None:
    """Waits for a change, and takes in all that was received with it, so that the caller acts once on them."""
    await picture.changed(deadline)
    with suppress(TimeoutError, ContextFinished, ContextGone):  # the next wait raises the end again
        while True:
            await picture.changed(0.0)
