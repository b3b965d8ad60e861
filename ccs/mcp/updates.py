"""Who is told that a resource has changed: all of them from one watch, which runs while there is somebody to tell.

An update says "read it again", so those of one resource that come close together are told once. After anything that may have
been missed (an outage, history that is gone, a context that began anew) all resources count as changed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Hashable, Iterable
from logging import ERROR, INFO

import ccs.aio as ccs
from ccs._log import logger
from ccs.mcp.addresses import BRIEFING, path_in

__all__ = ["Updates"]

Tell = Callable[[str], Awaitable[None]]

# Seconds in which changes come together, until a watch is live, after an outage, and for one who is told.
_TOGETHER = 0.05
_LIVE = 5.0
_AGAIN = 1.0
_PATIENCE = 5.0


class Updates:
    """Tells listeners about changes of resources, by `watch`, which makes a watch of all that they may see."""

    def __init__(self, watch: Callable[[], ccs.Watch]) -> None:
        self._watch = watch
        self._listeners: dict[str, dict[Hashable, Tell]] = {}
        self._changed: dict[str, None] = {}
        self._wake = asyncio.Event()
        self._live = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def __repr__(self) -> str:
        return f"<Updates of {len(self._listeners)} resources>"

    async def listen(self, key: Hashable, uris: Iterable[str], tell: Tell) -> None:
        """Calls `tell(uri)` for changes of the resources from now on. Returns once the watch is live, or after 5 seconds."""
        for uri in uris:
            self._listeners.setdefault(uri, {})[key] = tell
        if self._listeners and not self._tasks:
            self._tasks = [asyncio.create_task(self._follow()), asyncio.create_task(self._tell_all())]
        if self._listeners:
            await asyncio.wait([waiter := asyncio.create_task(self._live.wait())], timeout=_LIVE)
            waiter.cancel()

    async def forget(self, key: Hashable, uri: str | None = None) -> None:
        """Tells a listener no more, of one resource or of any."""
        for each in [uri] if uri else list(self._listeners):
            listeners = self._listeners.get(each, {})
            listeners.pop(key, None)
            if not listeners:
                self._listeners.pop(each, None)
        if not self._listeners:
            await self.aclose()

    async def aclose(self) -> None:
        """Ends the watch."""
        tasks = self._tasks
        self._tasks = []
        self._live.clear()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def _follow(self) -> None:
        while True:
            try:
                async with self._watch() as changes:
                    self._live.set()
                    async for change in changes:
                        self._note(change.path)
            except Exception as error:  # noqa: BLE001  # whatever it was, listeners are to be told what comes after it
                known = isinstance(error, ccs.CCSError)
                logger.log(INFO if known else ERROR, "the watch for updates begins anew: %r", error, exc_info=not known)
            self._live.clear()
            await asyncio.sleep(_AGAIN)
            self._note(None)

    def _note(self, path: str | None) -> None:
        """Notes a change of a path; None: perhaps of all."""
        self._changed |= dict.fromkeys(
            uri for uri in self._listeners if path is None or uri == BRIEFING or path_in(uri) == path
        )
        if self._changed:
            self._wake.set()

    async def _tell_all(self) -> None:
        while True:
            await self._wake.wait()
            await asyncio.sleep(_TOGETHER)
            self._wake.clear()
            changed = list(self._changed)
            self._changed.clear()
            for uri in changed:
                for key, tell in list(self._listeners.get(uri, {}).items()):
                    await self._tell(key, uri, tell)

    async def _tell(self, key: Hashable, uri: str, tell: Tell) -> None:
        try:
            async with asyncio.timeout(_PATIENCE):
                await tell(uri)
        except Exception as error:  # noqa: BLE001  # one listener that has gone holds up no other
            logger.info("%s is told of %s no more: %s", key, uri, error)
            self._listeners.get(uri, {}).pop(key, None)
