# Generated from ccs/_async/observing.py by scripts/twin. Do not edit.
"""Watching one context: changes as they come, callbacks, waiting, and the history behind."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from ccs._core.changes.conditions import holds, missed
from ccs._core.names.address import check_path
from ccs._core.names.pattern import escape
from ccs._core.shown import shown
from ccs._core.times import Duration, seconds
from ccs._log import logger
from ccs._sync.changes.history import History
from ccs._sync.changes.subscription import Callback, ErrorCallback, GoneCallback, Subscription, whole_of
from ccs._sync.changes.time_travel import diff, snapshot_at
from ccs._sync.changes.watch import Watch
from ccs._sync.changes.watch_kinds import EntryWatch
from ccs._sync.engine import Engine
from ccs._sync.handle import Place
from ccs._sync.reads import matcher_of, typed
from ccs.errors import HistoryCompacted, HistoryDamaged, HistoryForked, InvalidPattern, InvalidValue
from ccs.types import Change, Entry, Snapshot

__all__ = ["Watches", "call_back", "pattern_list"]

F = TypeVar("F", bound=Callable[..., Any])


class Watches:
    """The watching part of a context."""

    _place: Place

    def watch(
        self,
        *patterns: str,
        since: int | None = None,
        initial: bool = False,
        buffer: int = 1024,
        buffer_bytes: int = 8_388_608,
    ) -> Watch:
        """The changes that match, every one, in order and once, from the moment of entering.

        `since=` a revision resumes after it, 0 from the very beginning: `HistoryCompacted` where the journal no
        longer holds it. `initial=True` yields the present entries first. A slow consumer costs memory only up to
        `buffer` changes or `buffer_bytes`; past them the watch reads on from the journal.

            >>> with task.watch("sources/**") as changes:
            ...     revision = task.set_many({"sources/a": 1, "elsewhere": 2, "sources/b": 3})
            ...     task.finish()
            ...     for change in changes:
            ...         print(change.path, change.value)
            sources/a 1
            sources/b 3
        """
        place, _ = self._place, matcher_of(patterns)
        options = {"since": since, "initial": initial, "buffer": buffer, "buffer_bytes": buffer_bytes}
        return Watch(place.engine, place.address, patterns or ("**",), **options)  # type: ignore[arg-type]  # as declared

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
        """Calls back with every change that matches, in order; `callback(change)`, `on_error(error, change)`.

        An error of the callback is logged and handed to `on_error`; it stops and loses nothing. It can be called
        before the store is entered: it is live when the entering returns.

        It outlives its context, but does not keep that alive. When the context has expired, was dropped or was lost,
        `on_gone(address)` is called (without it, that is logged); what comes into being again under the same address is
        delivered from its beginning. It ends when the context is finished.
        """
        watch = partial(self.watch, *pattern_list(patterns), since=since, initial=initial)
        return call_back(self._place.engine, watch, callback, on_error, on_gone=on_gone)

    def on_change(
        self,
        *patterns: str | Sequence[str],
        since: int | None = None,
        initial: bool = False,
        on_error: ErrorCallback | None = None,
        on_gone: GoneCallback | None = None,
    ) -> Callable[[F], F]:
        """`subscribe` as a decorator.

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
        """Waits until there is an entry (`until=None`), or one whose value is `until`, or `until(value)` is true.

        What stands there counts: a value that came and went during an outage may be passed over. `TimeoutError` after
        `timeout` seconds; `ContextFinished` and `ContextGone` where it cannot happen any more.
        """
        deadline = None if timeout is None else time.monotonic() + seconds(timeout, "timeout")
        while True:
            try:
                return self._wait_for(path, until, deadline, timeout, type)
            except (HistoryCompacted, HistoryDamaged, HistoryForked) as error:
                logger.info("looking anew at %s in %s: %s", path, self._place.address, error)

    def _wait_for(self, path: str, until: Any, deadline: float | None, timeout: Duration | None, type: Any) -> Entry:
        place = self._place
        with EntryWatch(place.engine, place.address, (escape(check_path(path)),), initial=True) as entries:
            last: Entry | None = None
            entry: Entry | None
            while True:
                left = None if deadline is None else max(0.0, deadline - time.monotonic())
                try:
                    _, entry = entries.receive(timeout=left)
                except TimeoutError:
                    raise TimeoutError(missed(path, place.address, until, last, timeout)) from None
                last = entry
                if entry and holds(entry := typed(entry, type), until):
                    return entry

    def history(
        self,
        *patterns: str,
        since: int | None = None,
        until: int | None = None,
        limit: int | None = None,
        newest_first: bool = False,
    ) -> list[Change]:
        """The changes that match and that the journal still holds, after `since` and up to and including `until`.

        With `since`, all of them or `HistoryCompacted`. At most `limit`, from the end that comes first.
        """
        past = History(self._place, matcher_of(patterns), since, until, limit)
        return past.backwards() if newest_first else past.forwards()

    def at(self, when: int | datetime, *patterns: str) -> Snapshot:
        """The entries that matched as they stood after a revision, or at a moment (server time); its `.revision`.

        As far back as the journal goes: `HistoryCompacted` past it.

            >>> first = task.set("status", "open")
            >>> second = task.set("status", "closed")
            >>> task.at(first.revision)["status"].value
            'open'
        """
        return snapshot_at(self._place, when, matcher_of(patterns))

    def diff(self, since: int | datetime, *patterns: str, until: int | datetime | None = None) -> list[Change]:
        """What has changed on the whole after `since` and up to `until`: at most one change a path.

        Its `previous` is the value at `since`, its `value` the one at `until`; where these are the same there is none.
        `HistoryCompacted` where the journal no longer reaches back so far.

            >>> start = task.set("status", "open")
            >>> revision = task.set_many({"status": "closed", "note": 1})
            >>> gone = task.delete("note")
            >>> [(change.path, change.previous, change.value) for change in task.diff(start.revision)]
            [('status', 'open', 'closed')]
        """
        return diff(self._place, since, until, matcher_of(patterns))


def call_back(
    engine: Engine,
    watch: Callable[[], Watch],
    callback: Callable[..., object],
    on_error: Callable[..., object] | None,
    given: Callable[[Any], object] = whole_of,
    *,
    on_gone: GoneCallback | None = None,
) -> Subscription:
    """A subscription to what `watch()` makes, registered with its store; in the blocking colour live, if the store is open.

    The callback gets what is `given` of a change or an event.
    """
    if not callable(callback):
        raise InvalidValue(f"{shown(callback)} cannot be called back: give a function that takes a change")
    subscription = Subscription(watch, callback, on_error, engine.stats, given, on_gone)
    if engine.subscribe(subscription):
        subscription.ready(engine.retry_for)
    return subscription


def pattern_list(patterns: str | Sequence[str]) -> list[str]:
    """One pattern or several, as a list."""
    if callable(patterns) or not isinstance(patterns, Iterable):
        raise InvalidPattern(
            f"{shown(patterns)} is not a pattern: the decorator takes some, as in @task.on_change('**')"
        )
    return [patterns] if isinstance(patterns, str) else list(patterns)
