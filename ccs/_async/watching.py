"""Watching one context: watches, callbacks, waiting, and history."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, Literal, TypeVar, overload

from ccs._async.changes.history import History
from ccs._async.changes.subscription import (
    Callback,
    CallbackWorker,
    Cell,
    ErrorCallback,
    GoneCallback,
    Subscription,
    cell_of,
    unchanged,
)
from ccs._async.changes.time_travel import diff, snapshot_at
from ccs._async.changes.waiting import wait_for_count, wait_for_entries, wait_for_entry
from ccs._async.changes.watch import Watch
from ccs._async.changes.watch_kinds import Tail
from ccs._async.context_handle import Handle
from ccs._async.engine import Engine
from ccs._async.reads import matcher_of
from ccs._core.number_checks import listed
from ccs._core.quoted_values import shown
from ccs._core.times import Duration
from ccs._log import logger
from ccs.errors import InvalidPattern, InvalidValue

#| from ccs.errors import Unavailable
from ccs.types import Change, Entry, Event, Snapshot

__all__ = ["Watches", "call_back", "pattern_list", "wanted_patterns"]

F = TypeVar("F", bound=Callable[[Change], object])

#| # Seconds beyond its patience that a callback that begins is waited for, for the reason.
#| _LATE = 0.1


class Watches:
    """The watching part of a context."""

    _handle: Handle

    @overload
    def watch(
        self,
        *patterns: str,
        since: int | datetime | None = None,
        initial: bool = False,
        buffer: int = 1024,
        buffer_bytes: int = 8_388_608,
        events: Literal[False] = False,
    ) -> Watch: ...
    @overload
    def watch(
        self,
        *patterns: str,
        since: int | datetime | None = None,
        initial: bool = False,
        buffer: int = 1024,
        buffer_bytes: int = 8_388_608,
        events: Literal[True],
    ) -> Watch[Change | Event]: ...
    def watch(
        self,
        *patterns: str,
        since: int | datetime | None = None,
        initial: bool = False,
        buffer: int = 1024,
        buffer_bytes: int = 8_388_608,
        events: bool = False,
    ) -> Watch[Any]:
        """Returns a watch of the changes that match: each of them, in order and once, from the moment it is entered.

        With `since`, it resumes after that revision or time (an aware datetime), or from the beginning (0); entering raises
        `HistoryCompacted` if the journal no longer holds it. `initial=True` yields the present entries first. A slow
        consumer costs RAM only up to `buffer` changes or `buffer_bytes` bytes; beyond that the watch reads on from the
        journal. With `events=True` it also yields the events whose topics match, in order with the changes.

            >>> async with task.watch("sources/**") as changes:
            ...     revision = await task.set_many({"sources/a": 1, "elsewhere": 2, "sources/b": 3})
            ...     await task.finish()
            ...     async for change in changes:
            ...         print(change.path, change.value)
            sources/a 1
            sources/b 3
        """
        matcher_of(patterns)  # raises InvalidPattern
        kind: type[Watch[Any]] = Tail if events else Watch
        return kind(
            self._handle.engine,
            self._handle.address,
            patterns or ("**",),
            since=since,
            initial=initial,
            buffer=buffer,
            buffer_bytes=buffer_bytes,
            reach=self._handle.reach,
        )

    def subscribe(
        self,
        patterns: str | Sequence[str],
        callback: Callback,
        *,
        since: int | datetime | None = None,
        initial: bool = False,
        on_error: ErrorCallback | None = None,
        on_gone: GoneCallback | None = None,
    ) -> Subscription:
        """Calls `callback(change)` with every change that matches, in order. Returns the subscription.

        If the callback raises, the error is logged, `on_error(error, change)` is called, and the next change is
        delivered. `subscribe` can be called before the store is entered; then it is live when entering returns.

        The subscription does not keep its context alive, and outlives it: when the context has expired, was dropped or
        was lost, `on_gone(address)` is called, or that is logged. A context that is created again at this address is
        delivered from its beginning. The subscription ends when the context is finished.
        """
        watch = partial(self.watch, *wanted_patterns(patterns), since=since, initial=initial)
        return call_back(self._handle.engine, watch, callback, on_error, on_gone=on_gone)

    def on_change(
        self,
        *patterns: str | Sequence[str],
        since: int | datetime | None = None,
        initial: bool = False,
        on_error: ErrorCallback | None = None,
        on_gone: GoneCallback | None = None,
    ) -> Callable[[F], F]:
        """Subscribes the decorated function; see `subscribe`.

        If a function of the same name in `__main__` was decorated here before, with the same patterns, it is replaced: so a
        cell of a notebook may be run again. That is logged.

        >>> @task.on_change("sources/*/status", "status")
        ... async def react(change):
        ...     await task.increment("reactions")
        >>> entry = await task.set("status", "open")
        >>> entry = await task.wait_for("reactions", 1, timeout=10)
        >>> entry.value
        1
        """
        wanted = [pattern for one in patterns for pattern in wanted_patterns(one)]

        def register(callback: F) -> F:
            watch = partial(self.watch, *wanted, since=since, initial=initial)
            cell = cell_of(callback, "changes", self._handle.address, *wanted)
            call_back(self._handle.engine, watch, callback, on_error, on_gone=on_gone, cell=cell)
            return callback

        return register

    @overload
    async def wait_for(  # type: ignore[overload-overlap]  # a str is a collection of str too, but one path
        self, path: str, until: Any = None, *, timeout: Duration | None = None, type: Any = None
    ) -> Entry: ...
    @overload
    async def wait_for(
        self, path: Iterable[str], until: Any = None, *, timeout: Duration | None = None, type: Any = None
    ) -> Snapshot: ...
    async def wait_for(
        self, path: str | Iterable[str], until: Any = None, *, timeout: Duration | None = None, type: Any = None
    ) -> Entry | Snapshot:
        """Waits until the path has an entry (`until=None`), has the value `until`, or `until(value)` is true.

        Returns that entry; an entry that is there already counts. Of several paths, all must have an entry, or the dict of
        the values of those that have one must satisfy `until` (a function of it, or a dict that it is to equal); it returns
        them, as they were at one moment. For a path that has no entry yet, `values[path]` is None; `path in values` tells.
        A value that came and went during an outage may be missed. Raises `TimeoutError` after `timeout` seconds,
        `ContextFinished` or `ContextGone` once it cannot happen.

            >>> revision = await task.set_many({"done/a": 2, "done/b": 3})
            >>> found = await task.wait_for(["done/a", "done/b"], lambda done: sum(done.values()) >= 5, timeout=10)
            >>> found["done/a"].value, found.revision == revision
            (2, True)
        """
        if isinstance(path, str):
            return await wait_for_entry(self._handle, path, until, timeout, type)
        paths = listed("paths", path, "a path, or a list of them")
        if not paths:
            raise InvalidValue("there is no path to wait for: give at least one")
        return await wait_for_entries(self._handle, paths, until, timeout, type)

    async def wait_for_count(self, pattern: str, n: int, *, timeout: Duration | None = None) -> int:
        """Waits until at least `n` entries match the pattern. Returns how many do.

        Raises `TimeoutError` after `timeout` seconds, `ContextFinished` or `ContextGone` once it cannot happen.

            >>> revision = await task.set_many({"sources/a": 1, "sources/b": 2})
            >>> await task.wait_for_count("sources/*", 2, timeout=10)
            2
        """
        return await wait_for_count(self._handle, pattern, matcher_of((pattern,)), n, timeout)

    @overload
    async def history(
        self,
        *patterns: str,
        since: int | datetime | None = None,
        until: int | datetime | None = None,
        limit: int | None = None,
        newest_first: bool = False,
        events: Literal[False] = False,
    ) -> list[Change]: ...
    @overload
    async def history(
        self,
        *patterns: str,
        since: int | datetime | None = None,
        until: int | datetime | None = None,
        limit: int | None = None,
        newest_first: bool = False,
        events: Literal[True],
    ) -> list[Change | Event]: ...
    async def history(
        self,
        *patterns: str,
        since: int | datetime | None = None,
        until: int | datetime | None = None,
        limit: int | None = None,
        newest_first: bool = False,
        events: bool = False,
    ) -> list[Any]:
        """Returns the changes that match, after `since` and up to and including `until`, the oldest first.

        Both are revisions or aware datetimes. At most `limit` of them, from the end that comes first. Raises
        `HistoryCompacted` if the journal no longer holds all changes since `since`; without `since`, it returns those that
        the journal holds. With `events=True`, events whose topics match are among them, in order.
        """
        past = History(self._handle, self._handle.shown(matcher_of(patterns)), since, until, limit, events)
        return await (past.backwards() if newest_first else past.forwards())

    async def at(self, when: int | datetime, *patterns: str) -> Snapshot:
        """Returns the entries that matched right after a revision, or at a moment (server time).

        The snapshot's `revision` is that of the last commit before. Raises `HistoryCompacted` if the journal does not
        reach back that far.

            >>> first = await task.set("status", "open")
            >>> second = await task.set("status", "closed")
            >>> (await task.at(first.revision))["status"].value
            'open'
        """
        return await snapshot_at(self._handle, when, self._handle.shown(matcher_of(patterns)))

    async def diff(self, since: int | datetime, *patterns: str, until: int | datetime | None = None) -> list[Change]:
        """Returns the net changes after `since` and up to `until` (None: now): at most one for each path.

        `previous` is the value at `since`, `value` the one at `until`; a path where these are equal is left out. Raises
        `HistoryCompacted` if the journal does not reach back that far.

            >>> start = await task.set("status", "open")
            >>> revision = await task.set_many({"status": "closed", "note": 1})
            >>> gone = await task.delete("note")
            >>> [(change.path, change.previous, change.value) for change in await task.diff(start.revision)]
            [('status', 'open', 'closed')]
        """
        return await diff(self._handle, since, until, self._handle.shown(matcher_of(patterns)))


def call_back(
    engine: Engine,
    watch: Callable[[], Watch[Any]],
    callback: Callable[..., object],
    on_error: Callable[..., object] | None,
    argument_of: Callable[[Any], object] = unchanged,
    *,
    on_gone: GoneCallback | None = None,
    cell: Cell | None = None,
) -> Subscription:
    """Registers a subscription to what `watch()` returns; in the blocking colour it is live then, if the store is open.

    The callback gets `argument_of(change)`, or `argument_of(event)`. It replaces that of the same `cell`.
    """
    if not callable(callback):
        raise InvalidValue(
            f"{shown(callback)} is not callable: give a function, which is called with one change, or event, at a time"
        )
    worker = CallbackWorker(watch, callback, on_error, engine.stats, argument_of, on_gone, cell)
    if cell:
        _cancel_former(engine, cell)
    # [async-only]
    engine.subscribe(worker)
    # [/async-only]
    #| if engine.subscribe(worker):
    #|     if not worker.settled(engine.retry_for + _LATE):
    #|         worker.cancel()
    #|         raise Unavailable(engine.address, reason=f"{worker!r} is not live yet")
    #|     worker.ready(0)
    return Subscription(worker)


def _cancel_former(engine: Engine, cell: Cell) -> None:
    for former in list(engine.subscriptions):
        if isinstance(former, CallbackWorker) and former.cell == cell and former.state != "cancelled":
            former.cancel()
            logger.warning("%s was decorated again: the function that had this name is called no more", cell[0])


def pattern_list(patterns: str | Sequence[str]) -> list[str]:
    """Returns one pattern, or several, as a list; raises `InvalidPattern` for anything else."""
    if callable(patterns):
        raise InvalidPattern(
            f"{shown(patterns)} is not a pattern: the decorator takes some, as in @task.on_change('**')"
        )
    if isinstance(patterns, (bytes, bytearray)) or not isinstance(patterns, Iterable):
        raise InvalidPattern(f"{shown(patterns)} is not a pattern: give one, such as 'sources/*', or a list of them")
    return [patterns] if isinstance(patterns, str) else list(patterns)


def wanted_patterns(patterns: str | Sequence[str]) -> list[str]:
    """Returns one pattern, or several, as a list; raises `InvalidPattern` for anything else, and for none."""
    wanted = pattern_list(patterns)
    if not wanted:
        raise InvalidPattern("there is no pattern in the list: give at least one, '**' for all")
    return wanted
