"""Waiting until entries are as a caller wants them: one of them, several, or so many."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from ccs._async.changes.watch_kinds import CommitWatch, EntryWatch
from ccs._async.context_handle import Handle
from ccs._core.changes.wait_conditions import all_hold, check_condition, holds, missed, missed_all, missed_count
from ccs._core.commits.entry import typed
from ccs._core.names.address import check_path
from ccs._core.names.pattern import Matcher, escape
from ccs._core.number_checks import integer
from ccs._core.times import Duration, seconds
from ccs._log import logger
from ccs.errors import HistoryCompacted, HistoryDamaged, HistoryForked
from ccs.types import Entry, Snapshot

__all__ = ["wait_for_count", "wait_for_entries", "wait_for_entry"]

T = TypeVar("T")


async def wait_for_entry(handle: Handle, path: str, until: Any, timeout: Duration | None, type: Any) -> Entry:
    """Waits until the entry at a path satisfies a condition, and returns it; see `Context.wait_for`."""
    pattern = escape(handle.check_shown(check_path(path)))

    async def wait(deadline: float | None) -> Entry:
        async with EntryWatch(handle.engine, handle.address, (pattern,), initial=True) as entries:
            last: Entry | None = None
            while True:
                try:
                    _, last = await entries.receive(timeout=_left(deadline))
                except TimeoutError:
                    raise TimeoutError(missed(path, handle.address, until, last, timeout)) from None
                entry = None if last is None else typed(last, type)
                if entry and holds(entry.value, until):
                    return entry

    return await _in_time(handle, path, timeout, wait)


async def wait_for_entries(
    handle: Handle, paths: list[str], until: Any, timeout: Duration | None, type: Any
) -> Snapshot:
    """Waits until the entries at several paths satisfy a condition, and returns them; see `Context.wait_for`."""
    check_condition(until)
    patterns = tuple(escape(handle.check_shown(check_path(path))) for path in paths)

    async def wait(deadline: float | None) -> Snapshot:
        async with CommitWatch(handle.engine, handle.address, patterns, reach=handle.reach) as commits:
            entries = {entry.path: entry for entry in commits.present()}
            revision = commits.revision
            while True:
                found = {path: typed(entries[path], type) for path in paths if path in entries}
                if all_hold(paths, found, until):
                    return Snapshot(found, revision)
                try:
                    committed = await commits.receive(timeout=_left(deadline))
                except TimeoutError:
                    raise TimeoutError(missed_all(paths, handle.address, until, found, timeout)) from None
                revision = committed.revision
                for path, entry in committed.written:
                    _put(entries, path, entry)

    return await _in_time(handle, ", ".join(paths), timeout, wait)


async def wait_for_count(handle: Handle, pattern: str, matcher: Matcher, n: int, timeout: Duration | None) -> int:
    """Waits until at least `n` entries match, and returns how many do; see `Context.wait_for_count`."""
    wanted = integer("n", n, "how many entries to wait for")

    async def wait(deadline: float | None) -> int:
        async with CommitWatch(handle.engine, handle.address, (pattern,), reach=handle.reach) as commits:
            there = {entry.path for entry in commits.present()}
            while len(there) < wanted:
                try:
                    committed = await commits.receive(timeout=_left(deadline))
                except TimeoutError:
                    raise TimeoutError(missed_count(pattern, handle.address, wanted, len(there), timeout)) from None
                for path, entry in committed.written:
                    there.add(path) if entry else there.discard(path)
            return len(there)

    return await _in_time(handle, pattern, timeout, wait)


async def _in_time(
    handle: Handle, subject: str, timeout: Duration | None, wait: Callable[[float | None], Awaitable[T]]
) -> T:
    """Returns `wait(deadline)`. It waits anew if the server no longer has the history that it was following."""
    deadline = None if timeout is None else time.monotonic() + seconds(timeout, "timeout")
    while True:
        try:
            return await wait(deadline)
        except (HistoryCompacted, HistoryDamaged, HistoryForked) as error:
            logger.info("reading %s in %s again: %s", subject, handle.address, error)


def _left(deadline: float | None) -> float | None:
    return None if deadline is None else max(0.0, deadline - time.monotonic())


def _put(entries: dict[str, Entry], path: str, entry: Entry | None) -> None:
    if entry is None:
        entries.pop(path, None)
    else:
        entries[path] = entry
