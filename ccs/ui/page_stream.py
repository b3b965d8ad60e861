"""The one stream of a page: server-sent events about the context that it shows, and about all contexts.

An id is a cursor: the revision up to which the page has everything. A page that reconnects with it gets what it missed;
where that is not possible any more, it is told why, and gets everything anew.

    begin     what follows is a new picture of the context; `why` says why, if the page had one before
    rows      entries that are there
    loaded    that was all of them; from here on there are ids
    resumed   instead of these three: the page has all up to its id
    live      what commits have changed, at most a few times a second
    past      what happened before, the newest first, for the timeline
    overview  claims, members, messages, … as they are now
    state     how things stand: newest revision, entries, whether the picture is behind, how far history reaches
    contexts  all contexts
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import ccs
from ccs.aio import Context, Store
from ccs.types import Change, Event
from ccs.ui.backlog import Backlog
from ccs.ui.glance import Glance
from ccs.ui.plain_values import dumps, preview
from ccs.ui.rows import ROOTS, SHOWN, millis, overview_lines
from ccs.ui.update import Update

__all__ = ["PageStream"]

# Seconds between two updates at least.
_SPACING = 0.2
# Seconds for which the first change after a silence waits for others.
_GATHER = 0.015
_CHECK = 1.0
_ANSWER = 2.0
_HEARTBEAT = 5.0
_HISTORY_EVERY = 15.0
_FRESH = 2.0
_SHARE = 10.0
# How many a page that is slow may leave waiting.
_OVERVIEWS = 4

_BROKEN = (ccs.HistoryCompacted, ccs.HistoryForked, ccs.HistoryDamaged)


class PageStream:
    """What one page hears. `since` is the id with which it comes back."""

    def __init__(self, store: Store, glance: Glance, address: str | None, since: int | None) -> None:
        self._glance = glance
        self._context: Context | None = store.context(address) if address else None
        self._since = since
        self._wake = asyncio.Event()
        self._room = asyncio.Event()
        self._update = Update()
        self._watch: Any = None
        self._stopped = False
        self._kinds: set[str] = set(ROOTS.values())
        self._overview_due = 0.0
        self._overviews: deque[bytes] = deque()
        self._state: dict[str, Any] = {"behind": 0, "oldest": 0, "ended": ""}
        self._good_at = time.time()
        self._state_told: dict[str, Any] = {}
        self._told_at = 0.0
        self._heard = 0.0
        self._renewed_at = 0.0
        # The version of the glance that the page was told.
        self._seen = -1
        # The revision after which the watch of this picture began.
        self._from = 0
        # The revision that the watch should have reached by the next check.
        self._expected = 0
        # The watch has ended with its context, and another context is there.
        self._over = self._again = False

    def stop(self) -> None:
        """Ends it, at once."""
        self._stopped = True
        self._wake.set()

    async def messages(self) -> AsyncIterator[bytes]:
        """Yields what the page is told, until it leaves or the view ends."""
        self._glance.enter(self._wake.set)
        try:
            yield b"retry: 500\n\n"
            async for message in self._pictures() if self._context else self._only_contexts():
                yield message
        finally:
            await self._glance.leave(self._wake.set)

    async def _only_contexts(self) -> AsyncIterator[bytes]:
        seen = -1
        while not self._stopped:
            if self._glance.version != seen:
                seen = self._glance.version
                yield _event("contexts", self._glance.lines())
            await self._sleep(_HEARTBEAT)

    async def _pictures(self) -> AsyncIterator[bytes]:
        """One picture after the other: a context may end and come again, and its history may break."""
        why = ""
        while not self._stopped:
            try:
                async for message in self._picture(why):
                    yield message
                return
            except ccs.ContextGone:
                why = "gone"
            except ccs.HistoryCompacted:
                why = "compacted"
            except ccs.HistoryForked:
                why = "forked"
            except ccs.HistoryDamaged:
                why = "damaged"
            except ccs.Forbidden as error:
                yield _event("refused", {"text": str(error)})
                return
            except (ccs.Unavailable, TimeoutError):
                yield self._behind()
                await self._sleep(_CHECK)
                continue
            self._since = None

    def _behind(self) -> bytes:
        return _event("state", {**self._state, "behind": millis_of(self._good_at)})

    async def _picture(self, why: str) -> AsyncIterator[bytes]:
        context = self._context
        assert context is not None
        # Opening a watch is tried for longer than a reader should wait for a word.
        async with asyncio.timeout(_ANSWER):
            info = await context.info()
        self._forget()
        async with context.watch(*SHOWN, events=True, since=self._since, buffer=4096) as watch:
            self._watch = watch
            self._from = watch.revision or 0
            backlog = Backlog(context, self._from, self._wake.set) if self._since is None else None
            beside = [self._read(watch), self._check(context), self._reach(context), self._overlook(context)]
            if backlog:
                beside.append(backlog.run(info, why))
            tasks = [asyncio.create_task(each) for each in beside]
            for task in tasks:
                task.add_done_callback(lambda _: self._wake.set())
            try:
                async for message in self._told(context, backlog, tasks):
                    yield message
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self) -> None:
        """Forgets the picture before."""
        self._update = Update()
        self._expected = 0
        self._over = self._again = False
        self._kinds = set(ROOTS.values())
        self._overview_due = 0.0
        self._overviews.clear()

    async def _told(
        self, context: Context, backlog: Backlog | None, beside: list[asyncio.Task[None]]
    ) -> AsyncIterator[bytes]:
        """Yields the picture, piece by piece. Nothing is waited for here but a piece: each has a task of its own."""
        self._seen = -1
        self._state_told = {}
        if not backlog:
            yield _event("resumed", {"address": context.address}, self._since)
        while not self._stopped:
            for task in beside:
                if task.done():
                    task.result()  # raises what has ended it
            if self._again:
                raise ccs.ContextGone(context.address)
            for message in self._due(backlog):
                yield message
            if backlog and backlog.over:
                backlog = None
            await self._rest(backlog)

    def _due(self, backlog: Backlog | None) -> Iterator[bytes]:
        """Yields what is to be told now."""
        if self._glance.version != self._seen:
            self._seen = self._glance.version
            yield _event("contexts", self._glance.lines())
        if backlog and (piece := backlog.take()):
            yield self._piece(*piece)
        now = time.monotonic()
        if self._update and (not backlog or now - self._told_at > _SPACING):
            self._heard = self._told_at = now
            yield self._live(whole=not backlog or backlog.loaded)
        if self._overviews:
            yield self._overviews.popleft()
        if self._state != self._state_told or now - self._heard > _HEARTBEAT:
            self._heard = now
            self._state_told = dict(self._state)
            yield _event("state", self._state_told)

    def _piece(self, name: str, data: dict[str, Any]) -> bytes:
        """Returns a piece of the backlog, with an id if the page has all else up to it."""
        if name == "begin":
            self._state_told = {}  # the page forgets all
            return _event(name, data, "")
        if name != "loaded":
            return _event(name, data)
        # While there is something to tell, the page does not have everything up to the revision of the watch.
        self._since = None if self._update else self._watch.revision
        return _event(name, data, self._since)

    async def _rest(self, backlog: Backlog | None) -> None:
        """Waits until there is something to tell, but not more often than a few times a second."""
        if backlog:
            if not backlog.waits:
                await self._sleep(_SPACING)
            return
        if not self._update and not self._overviews:
            await self._sleep(_CHECK)
        await asyncio.sleep(max(_GATHER, self._told_at + _SPACING - time.monotonic()))
        self._told_at = time.monotonic()

    async def _sleep(self, seconds: float) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        self._wake.clear()

    def _live(self, whole: bool = True) -> bytes:
        """Returns what has changed, with an id if the page has all else up to it."""
        update = self._update
        self._update = Update()
        self._room.set()
        self._kinds |= update.kinds
        delay = max(0, millis_of(time.time()) - update.at)
        # The watch may be in the middle of a commit: its revision is that of the last one it has handed out whole.
        self._since = self._watch.revision if whole else None
        return _event("live", {**update.message(), "delay": delay}, self._since)

    async def _read(self, watch: Any) -> None:
        """Takes changes in, as long as the page takes them out."""
        taken = 0
        while True:
            try:
                item = await watch.receive()
            except ccs.Unavailable:
                await asyncio.sleep(_CHECK)  # the watch goes on where it was
                continue
            except ccs.ContextFinished:
                self._over = True
                return await asyncio.Future()  # the picture stands; the check sees what becomes of the context
            self._take(item)
            taken += 1
            if taken % 200 == 0:
                await asyncio.sleep(0)
            while self._update.full:
                self._room.clear()
                await self._room.wait()

    def _take(self, item: Change | Event) -> None:
        self._update.add(item)
        self._wake.set()

    @property
    def _overview_wanted(self) -> bool:
        now = time.monotonic()
        # Claims and presences are renewed without a commit.
        if now - self._renewed_at >= _FRESH:
            self._kinds |= {"claims", "members"}
        return bool(self._kinds) and now >= self._overview_due and len(self._overviews) < _OVERVIEWS

    async def _overlook(self, context: Context) -> None:
        """Reads anew how the agents work together, where that may have changed, and not more often than it can bear."""
        while True:
            if self._overview_wanted:
                await self._read_overview(context)
            await asyncio.sleep(_SPACING)

    async def _read_overview(self, context: Context) -> None:
        began = time.monotonic()
        kinds = self._kinds
        self._kinds = set()
        try:
            seen = await context.overview(*kinds)
        except ccs.CCSError:
            self._kinds |= kinds
            self._overview_due = time.monotonic() + _CHECK
            return
        now = time.monotonic()
        self._overview_due = now + max(_SPACING, (now - began) * _SHARE)
        if "claims" in kinds:
            self._renewed_at = now
        told = {"kinds": sorted(kinds), "revision": seen.revision, "now": millis_of(time.time())}
        self._overviews.append(_event("overview", {**overview_lines(seen), **told}))
        self._wake.set()

    async def _check(self, context: Context) -> None:
        """Finds out again and again whether what the page shows is the truth."""
        while True:
            info = await self._asked(context.info)
            if info is None:
                self._state["behind"] = millis_of(self._good_at)
            else:
                self._note(info)
            self._wake.set()
            await asyncio.sleep(_CHECK)

    def _note(self, info: ccs.ContextInfo) -> None:
        late = not self._over and (self._watch.revision or 0) < min(self._expected, info.revision)
        self._expected = info.revision
        self._again = self._over and info.revision > 0 and not info.finished
        if not late:
            self._good_at = time.time()
        self._state.update(
            behind=millis_of(self._good_at) if late else 0,
            revision=info.revision,
            entries=info.entries,
            ended="finished" if info.finished else "" if info.revision else "none",
            outcome=preview(info.outcome) if info.finished else "",
            ttl=info.ttl.total_seconds() if info.ttl else 0,
        )

    async def _asked(self, question: Callable[[], Awaitable[Any]]) -> Any:
        try:
            async with asyncio.timeout(_ANSWER):
                return await question()
        except (ccs.CCSError, TimeoutError):
            return None

    async def _reach(self, context: Context) -> None:
        """Finds out again and again since when history is held, and whether that is all of it."""
        while True:
            began = time.monotonic()
            with suppress(ccs.CCSError):
                await self._note_oldest(context)
            took = time.monotonic() - began
            await asyncio.sleep(max(_HISTORY_EVERY, _SHARE * took))

    async def _note_oldest(self, context: Context) -> None:
        compacted = False
        try:
            first = await context.history(*SHOWN, since=0, limit=1)
        except ccs.HistoryCompacted as error:
            compacted = True
            first = await context.history(*SHOWN, since=error.oldest, limit=1)
        self._state.update(oldest=millis(first[0].at) if first else 0, compacted=compacted)
        self._wake.set()


def millis_of(seconds: float) -> int:
    """Returns seconds as whole milliseconds."""
    return int(seconds * 1000)


def _event(name: str, data: Any, id: object = None) -> bytes:
    head = "" if id is None else f"id: {id}\n"
    return f"{head}event: {name}\ndata: {dumps(data)}\n\n".encode()
