# Generated from ccs/_async/watching.py by scripts/twin. Do not edit.
"""Watching one context: watches, callbacks, waiting, and history."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from ccs._core.changes.wait_conditions import holds, missed
from ccs._core.error_text import shown
from ccs._core.names.address import check_path
from ccs._core.names.pattern import escape
from ccs._core.times import Duration, seconds
from ccs._log import logger
from ccs._sync.changes.history import History
from ccs._sync.changes.subscription import Callback, ErrorCallback, GoneCallback, Subscription, unchanged
from ccs._sync.changes.time_travel import diff, snapshot_at
from ccs._sync.changes.watch import Watch
from ccs._sync.changes.watch_kinds import EntryWatch
from ccs._sync.context_handle import Handle
from ccs._sync.engine import Engine
from ccs._sync.reads import matcher_of, typed
from ccs.errors import HistoryCompacted, HistoryDamaged, HistoryForked, InvalidPattern, InvalidValue
from ccs.types import Change, Entry, Snapshot

__all__ = ["Watches", "call_back", "pattern_list"]

F = TypeVar("F", bound=Callable[..., Any])


class Watches:
    """The watching part of a context."""

    _handle: Handle

    def watch(
        self,
        *patterns: str,
        since: int | None = None,
        initial: bool = False,
        buffer: int = 1024,
        buffer_bytes: int = 8_388_608,
    ) -> Watch:
        """Returns a watch of the changes that match: each of them, in order and once, from the moment it is entered.

        With `since`, it resumes after that revision, or from the beginning (0); entering raises `HistoryCompacted` if the
        journal no longer holds it. `initial=True` yields the present entries first. A slow consumer costs memory only up
        to `buffer` changes or `buffer_bytes` bytes; beyond that the watch reads on from the journal.

            >>> with task.watch("sources/**") as changes:
            ...     revision = task.set_many({"sources/a": 1, "elsewhere": 2, "sources/b": 3})
            ...     task.finish()
            ...     for change in changes:
            ...         print(change.path, change.value)
            sources/a 1
            sources/b 3
        """
        matcher_of(patterns)  # raises InvalidPattern
        return Watch(
            self._handle.engine,
            self._handle.address,
            patterns or ("**",),
            since=since,
            initial=initial,
            buffer=buffer,
            buffer_bytes=buffer_bytes,
        )

    def subscribe(
        self,
        patterns: str | Sequence[str],
        callback: Callback,
        *,
        since: int | None = None,
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
        watch = partial(self.watch, *pattern_list(patterns), since=since, initial=initial)
        return call_back(self._handle.engine, watch, callback, on_error, on_gone=on_gone)

    def on_change(
        self,
        *patterns: str | Sequence[str],
        since: int | None = None,
        initial: bool = False,
        on_error: ErrorCallback | None = None,
        on_gone: GoneCallback | None = None,
    ) -> Callable[[F], F]:
        """Subscribes the decorated function; see `subscribe`.

        >>> @task.on_change("sources/*/status", "status")
        ... def react(change):
        ...     task.increment("reactions")
        >>> entry = task.set("status", "open")
        >>> entry = task.wait_for("reactions", 1, timeout=10)
        >>> entry.value
        1
        """
        wanted = [pattern for one in patterns for pattern in pattern_list(one)]

        def register(callback: F) -> F:
            self.subscribe(wanted, callback, since=since, initial=initial, on_error=on_error, on_gone=on_gone)
            return callback

        return register

    def wait_for(self, path: str, until: Any = None, *, timeout: Duration | None = None, type: Any = None) -> Entry:
        """Waits until the path has an entry (`until=None`), has the value `until`, or `until(value)` is true.

        Returns that entry; an entry that is there already counts. A value that came and went during an outage may be
        missed. Raises `TimeoutError` after `timeout` seconds, `ContextFinished` or `ContextGone` once it cannot happen.
        """
        deadline = None if timeout is None else time.monotonic() + seconds(timeout, "timeout")
        while True:
            try:
                return self._wait_for(path, until, deadline, timeout, type)
            except (HistoryCompacted, HistoryDamaged, HistoryForked) as error:
                logger.info("reading %s in %s again: %s", path, self._handle.address, error)

    def _wait_for(self, path: str, until: Any, deadline: float | None, timeout: Duration | None, type: Any) -> Entry:
        handle = self._handle
        with EntryWatch(handle.engine, handle.address, (escape(check_path(path)),), initial=True) as entries:
            last: Entry | None = None
            while True:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                try:
                    _, last = entries.receive(timeout=left)
                except TimeoutError:
                    raise TimeoutError(missed(path, handle.address, until, last, timeout)) from None
                entry = None if last is None else typed(last, type)
                if entry and holds(entry, until):
                    return entry

    def history(
        self,
        *patterns: str,
        since: int | None = None,
        until: int | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[Change]:
        """Returns the changes that match, after the revision `since` and up to and including `until`, the oldest first.

        At most `limit` of them, from the end that comes first. Raises `HistoryCompacted` if the journal no longer holds
        all changes since `since`; without `since`, it returns those that the journal holds.
        """
        past = History(self._handle, matcher_of(patterns), since, until, limit)
        return past.backwards() if newest_first else past.forwards()

    def at(self, when: int | datetime, *patterns: str) -> Snapshot:
        """Returns the entries that matched right after a revision, or at a moment (server time).

        The snapshot's `revision` is that of the last commit before. Raises `HistoryCompacted` if the journal does not
        reach back that far.

            >>> first = task.set("status", "open")
            >>> second = task.set("status", "closed")
            >>> task.at(first.revision)["status"].value
            'open'
        """
        return snapshot_at(self._handle, when, matcher_of(patterns))

    def diff(self, since: int | datetime, *patterns: str, until: int | datetime | None = None) -> list[Change]:
        """Returns the net changes after `since` and up to `until` (None: now): at most one for each path.

        `previous` is the value at `since`, `value` the one at `until`; a path where these are equal is left out. Raises
        `HistoryCompacted` if the journal does not reach back that far.

            >>> start = task.set("status", "open")
            >>> revision = task.set_many({"status": "closed", "note": 1})
            >>> gone = task.delete("note")
            >>> [(change.path, change.previous, change.value) for change in task.diff(start.revision)]
            [('status', 'open', 'closed')]
        """
        return diff(self._handle, since, until, matcher_of(patterns))


def call_back(
    engine: Engine,
    watch: Callable[[], Watch],
    callback: Callable[..., object],
    on_error: Callable[..., object] | None,
    argument_of: Callable[[Any], object] = unchanged,
    *,
    on_gone: GoneCallback | None = None,
) -> Subscription:
    """Registers a subscription to what `watch()` returns; in the blocking colour it is live then, if the store is open.

    The callback gets `argument_of(change)`, or `argument_of(event)`.
    """
    if not callable(callback):
        raise InvalidValue(f"{shown(callback)} is not callable: give a function that takes a change")
    subscription = Subscription(watch, callback, on_error, engine.stats, argument_of, on_gone)
    if engine.subscribe(subscription):
        subscription.ready(engine.retry_for)
    return subscription


def pattern_list(patterns: str | Sequence[str]) -> list[str]:
    """Returns one pattern, or several, as a list; raises `InvalidPattern` for anything else."""
    if callable(patterns) or not isinstance(patterns, Iterable):
        raise InvalidPattern(
            f"{shown(patterns)} is not a pattern: the decorator takes some, as in @task.on_change('**')"
        )
    return [patterns] if isinstance(patterns, str) else list(patterns)
