# Generated from ccs/_async/recipes/waiting.py by scripts/twin. Do not edit.
"""How those who wait for each other act on a picture: take a step, then see what has become of it."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from ccs._compat import sleep
from ccs._core.recipes.guarded_commit import GuardedCommit
from ccs._log import logger
from ccs._sync.changes.watch_kinds import Picture
from ccs._sync.engine import Engine
from ccs._sync.handle import Place
from ccs.errors import (
    Conflict,
    ContextFinished,
    ContextGone,
    HistoryCompacted,
    HistoryDamaged,
    HistoryForked,
    Unavailable,
)

__all__ = ["looking", "take"]

# Seconds after an outage was told: a server that refuses us at once would do so again.
_REST = 0.5

T = TypeVar("T")


def looking(
    place: Place,
    patterns: tuple[str, ...],
    act: Callable[[Picture], T],
    patience: float,
    draw: Callable[[Engine, str, tuple[str, ...]], Picture] = Picture,
) -> T:
    """What comes of acting on a picture; on a new one where history has a gap, and after an outage while patience lasts."""
    while True:
        try:
            with draw(place.engine, place.address, patterns) as picture:
                return act(picture)
        except (HistoryCompacted, HistoryDamaged, HistoryForked) as error:
            logger.info("looking anew at %s in %s: %s", patterns[0], place.address, error)
        except Unavailable as error:
            if time.monotonic() >= patience:
                raise
            logger.info("looking again at %s in %s: %s", patterns[0], place.address, error)
            sleep(_REST)


def take(place: Place, picture: Picture, step: GuardedCommit | None, deadline: float | None) -> None:
    """Takes a step, if there is one, and waits until the picture shows it, or what was faster."""
    applied = None
    if step:
        try:
            applied = place.commit(step.operations, step.guards, step.size, heeding=False)
        except Conflict:
            pass  # what was faster is on its way
        else:
            place.expect(step.ttl)
    _refreshed(picture, deadline)
    while applied and picture.revision < applied.revision:
        _refreshed(picture, deadline)


def _refreshed(picture: Picture, deadline: float | None) -> None:
    """Waits for a change, and takes in all that was heard with it: to look once is enough."""
    picture.changed(deadline)
    with suppress(TimeoutError, ContextFinished, ContextGone):  # an end is told again by whoever waits for more
        while True:
            picture.changed(0.0)
