# Generated from ccs/_async/mirror.py by scripts/twin. Do not edit.
"""A mirror: a copy of some entries of a context in this process, kept up to date by one watch.

One worker feeds it. It applies each commit as a unit, under a lock that readers of several paths take too; reading one
path needs no lock. If the watch cannot go on (its position in the journal was trimmed, or was lost by the server), the
mirror is loaded again and reports the net changes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NoReturn

from ccs._compat import Caller, Gate, Lock, Worker, sleep
from ccs._core.changes.resuming import check_resume
from ccs._core.changes.snapshot_diff import net
from ccs._core.commits.journal import Cursor, JournalPage
from ccs._core.commits.queries import last_of
from ccs._core.names.pattern import Matcher
from ccs._core.number_checks import integer
from ccs._core.times import Duration, seconds
from ccs._log import logger
from ccs._not_copyable import Local
from ccs._protocol.faults import copy_of
from ccs._sync.changes.watch_kinds import CommitWatch
from ccs._sync.context_handle import Handle
from ccs.errors import (
    CCSError,
    ContextFinished,
    ContextGone,
    HistoryCompacted,
    HistoryDamaged,
    HistoryForked,
    MirrorFull,
    Misuse,
    StoreClosed,
    Unavailable,
)
from ccs.types import Change, Entry, Snapshot

__all__ = ["Mirror"]

# Seconds before the next try after an outage: a server that refuses at once would do so again.
_REST = 0.5
# Seconds of waiting for a commit, after which history is read to see whether the commit still exists.
_LOOK = 1.0


class Mirror(Local, Mapping[str, Any]):
    """A live mapping of the paths that match to their values: enter it, then read it like a dict.

    It never goes backwards and never shows half of a commit; `revision` is the newest commit that it has seen, matching
    or not. Each value is decoded once, and all readers get the same object: do not change it. An entry past its deadline
    stays until its expiry is delivered, within a second. The mirror survives reconnects, compaction and the end of the
    context; if the server has lost commits, it logs an error and shows what is left. Any other error ends it, and every
    later read raises that error. After it was left, or the context was finished, it can still be read.
    """

    def __init__(
        self,
        handle: Handle,
        matcher: Matcher,
        patterns: tuple[str, ...],
        max_entries: int,
        on_change: Callable[[Change], object] | None,
    ) -> None:
        self._handle = handle
        self._matcher = matcher
        self._patterns = patterns
        self._most = integer("max_entries", max_entries, "how many entries it may hold, at least 1", 1)
        self._call = None if on_change is None else Caller(on_change)
        self._entries: dict[str, Entry] = {}
        self._values: dict[str, Any] = {}
        self._lock = Lock()
        self._opening = handle.opening
        self._watch: CommitWatch | None = None
        self._worker: Worker | None = None
        self._waiting: list[tuple[int, Gate]] = []
        # How often its entries have changed, how often `changed` has said so, and who waits for the next time.
        self._changes = self._told = 0
        self._expecting: list[Gate] = []
        # The number of reconnects when history was last read, and the time of that, as a revision.
        self._looked = (0, 0)
        self._stale: CCSError | None = None
        self._over: ContextFinished | None = None
        self._failure: Exception | None = Misuse("this mirror is not entered: use it in a with block")
        self._state = "not entered"
        self.revision = 0
        self.reloads = 0

    def __repr__(self) -> str:
        subject = f"{', '.join(self._patterns)} in {self._handle.address}"
        return f"<Mirror of {subject}: {len(self._entries)} entries at {self.revision}, {self._state}>"

    def __getitem__(self, path: str) -> Any:
        if self._failure:
            raise copy_of(self._failure)
        return self._values[path]

    def __contains__(self, path: object) -> bool:
        self._check()
        return path in self._values

    def __iter__(self) -> Iterator[str]:
        self._check()
        return iter(list(self._values))

    def __len__(self) -> int:
        self._check()
        return len(self._values)

    def entry(self, path: str) -> Entry | None:
        """Returns the entry at a path; None if there is none."""
        self._check()
        return self._entries.get(path)

    def snapshot(self) -> Snapshot:
        """Returns all entries as they are at one moment, with the revision."""
        self._check()
        with self._lock:
            return Snapshot({path: self._entries[path] for path in sorted(self._entries)}, self.revision)

    def __enter__(self) -> Mirror:
        if self._state != "not entered":
            raise Misuse("a mirror is entered once; make another one")
        self._opening.check()
        try:
            self._load()
        except BaseException:
            self.close()
            raise
        self._failure = None
        self._told = self._changes
        self._worker = Worker("ccs mirror", self._feed)
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops following the context; the mirror can still be read."""
        if self._state not in ("failed", "finished"):
            self._state = "left"
        if self._watch:
            self._watch.stop()
        if self._worker and not self._worker.current():
            self._worker.finish(1.0)
        if self._watch:
            self._watch.close()
        self._wake(None)

    def abandon(self, error: StoreClosed) -> None:
        """Fails the mirror in a child process that was just forked, where nothing keeps it up to date."""
        self._failure = error
        self._state = "failed"

    def caught_up(self, revision: int, timeout: Duration | None = None) -> None:
        """Waits until the mirror has seen the commit of a revision, by any agent, matching or not.

        Raises `TimeoutError` after `timeout` seconds; `HistoryForked` if the server has lost that commit;
        `ContextFinished`, `StoreClosed`, or `Misuse` (the mirror was left) if the commit can no longer arrive.

            >>> with task.mirror("sources/*") as sources:
            ...     entry = task.set("sources/a", 1)
            ...     sources.caught_up(entry.revision, timeout=10)
            ...     sources["sources/a"], sources.get("sources/b", "none")
            (1, 'none')
        """
        deadline = None if timeout is None else time.monotonic() + seconds(timeout, "timeout")
        integer("revision", revision, "the revision of a commit")
        while True:
            reached = self._reaches(revision, deadline)
            late = deadline is not None and time.monotonic() >= deadline
            if not (late and not reached) and self._is_held(revision) and reached:
                return
            if late:
                raise TimeoutError(f"{self!r} has not caught up with {revision} within {timeout} s")

    def changed(self, timeout: Duration | None = None) -> int:
        """Waits until its entries have changed since it was entered or, later, since this method last returned.

        So a caller that reads the mirror and then waits misses nothing. Several callers that wait are all woken; if each
        waits in a loop, give each a mirror of its own. Returns the revision of the mirror. Raises `TimeoutError` after `timeout` seconds; `ContextFinished`, `StoreClosed` or
        `Misuse` (the mirror was left) if nothing can change any more.

            >>> with task.mirror("sources/*") as sources:
            ...     entry = task.set("sources/a", 1)
            ...     while "sources/a" not in sources:
            ...         revision = sources.changed(timeout=10)
            ...     dict(sources)
            {'sources/a': 1}
        """
        deadline = None if timeout is None else time.monotonic() + seconds(timeout, "timeout")
        told = self._told
        while self._changes == told:
            if self._state != "live":
                self._raise_end()
            if deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError(f"nothing has changed in {self!r} within {timeout} s")
            self._wait_for_change(told, deadline)
        self._told = self._changes
        return self.revision

    def _wait_for_change(self, told: int, deadline: float | None) -> None:
        gate = Gate()
        self._expecting.append(gate)
        try:
            # Again, now that the gate is seen by the one that opens it.
            if self._changes == told and self._state == "live":
                gate.wait(None if deadline is None else max(0.0, deadline - time.monotonic()))
        finally:
            with suppress(ValueError):
                self._expecting.remove(gate)

    def _reaches(self, revision: int, deadline: float | None) -> bool:
        """Waits for a while. Returns whether the mirror has reached the revision; raises if it no longer can."""
        self._wait_for(revision, deadline)
        if self.revision < revision and self._state != "live":
            self._raise_end()
        return self.revision >= revision

    def _wait_for(self, revision: int, deadline: float | None) -> None:
        gate = Gate()
        waiting = (revision, gate)
        self._waiting.append(waiting)
        try:
            self._wake(self.revision)
            if self._state in ("left", "failed", "finished"):
                gate.open()
            gate.wait(_LOOK if deadline is None else min(_LOOK, max(0.0, deadline - time.monotonic())))
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)

    def _raise_end(self) -> NoReturn:
        self._check()
        if self._over:
            raise copy_of(self._over)
        self._opening.check()
        raise Misuse(f"{self!r} was left, so it no longer follows its context; make another one")

    def _is_held(self, revision: int) -> bool:
        """Raises `HistoryForked` if the server has lost a commit. Returns False if the server does not answer."""
        engine = self._handle.engine
        if self._state not in ("live", "finished") or engine.opening.closed:
            return True
        # A server that loses commits breaks its connections, and revisions are times in microseconds: without a reconnect
        # since the last look, a commit made after that look exists.
        if self._looked[0] == engine.stats.frozen().reconnects and self._looked[1] < revision:
            return True
        try:
            page = self._look(revision)
        except Unavailable:
            sleep(_REST)
            return False
        with suppress(ContextGone, HistoryCompacted):  # too old: the server no longer knows
            check_resume(Cursor(revision), page, self._handle.address)
        return True

    def _look(self, revision: int) -> JournalPage:
        engine = self._handle.engine
        reconnects = engine.stats.frozen().reconnects
        page = engine.look(self._handle.address, revision, 0)
        self._looked = (reconnects, page.now * 1000)
        return page

    def _check(self) -> None:
        if self._failure:
            raise copy_of(self._failure)

    def _feed(self) -> None:
        while self._state == "live":
            try:
                self._opening.check()
                (self._start_over(self._stale) if self._stale else self._feed_next())
            except (HistoryCompacted, HistoryDamaged, HistoryForked, ContextGone) as error:
                self._stale = error
            except Unavailable as error:
                logger.warning("%r: %s", self, error)
                sleep(_REST)
            except ContextFinished as error:
                self._finish(error)
            except (Misuse, StoreClosed):  # it was left, or its store was closed
                self._state = "left"
            except Exception as error:  # noqa: BLE001  # not swallowed: every read raises it
                self._fail(error)
        self._wake(None)

    def _feed_next(self) -> None:
        assert self._watch is not None
        committed = self._watch.receive()
        self._apply(committed.written, committed.revision)
        self._report(committed.changes)

    def _load(self, since: int = 0) -> list[Change]:
        """Loads the present entries, at a revision of at least `since`. Returns the net changes."""
        handle = self._handle
        with_changes = self._call is not None
        watch = CommitWatch(handle.engine, handle.address, self._patterns, self._progress, with_changes, handle.reach)
        watch.__enter__()
        self._watch = watch
        # In this order: a watch stands before its present entries until they are handed out.
        present = watch.present()
        revision = max(since, watch.revision)
        self._look(revision)
        pairs, changes = net(self._entries, present, handle.address, revision)
        self._apply(pairs, revision)
        self._state = "live"
        handle.engine.remember(self)
        return changes

    def _start_over(self, error: CCSError) -> None:
        logger.warning("%r is loaded again: %s", self, error)
        # The old watch is closed last, so that the dispatcher stays subscribed.
        old = self._watch
        try:
            # Revisions go on when a context ends; they fall only if the server has lost some.
            since = self._newest() if isinstance(error, ContextGone) else 0
            changes = self._load(since)
        finally:
            if old and old is not self._watch:
                old.close()
        self.reloads += 1
        self._stale = None
        if isinstance(error, HistoryForked):
            self._wake(None)  # the commits that callers wait for may have been lost
        self._report(changes)

    def _newest(self) -> int:
        """Returns the newest revision ever, also of a context that has ended: entries loaded later are no older."""
        state = self._handle.opening.commands.run(("HGET", self._handle.keys.meta, "state"))
        return max(self.revision, last_of(state, self._handle.address) if state else 0)

    def _apply(self, pairs: Iterable[tuple[str, Entry | None]], revision: int) -> None:
        changed = list(pairs)
        with self._lock:
            for path, entry in changed:
                self._put(path, entry)
            if len(self._entries) > self._most:
                raise MirrorFull(self._handle.address, self._most)
            self.revision = revision
        if changed:
            self._changes += 1
            self._wake_expecting()
        self._wake(revision)

    def _put(self, path: str, entry: Entry | None) -> None:
        if entry is None:
            self._entries.pop(path, None)
            self._values.pop(path, None)
        else:
            self._entries[path] = entry
            self._values[path] = entry.value

    def _progress(self, revision: int) -> None:
        # The mirror has seen the commits that match nothing, too.
        self.revision = max(self.revision, revision)
        self._wake(self.revision)

    def _wake(self, revision: int | None) -> None:
        """Wakes the callers that wait for a revision up to this one; None wakes all that wait for anything."""
        if revision is None:
            self._wake_expecting()
        for wanted, gate in list(self._waiting):
            if revision is None or wanted <= revision:
                gate.open()

    def _wake_expecting(self) -> None:
        while self._expecting:
            with suppress(IndexError):  # another thread was faster
                self._expecting.pop().open()

    def _report(self, changes: Iterable[Change]) -> None:
        if self._call is None:
            return
        for change in changes:
            try:
                self._call(change)
            except Exception:  # noqa: BLE001  # an error of the callback must not stop the mirror
                self._handle.engine.stats.add("callback_errors")
                logger.exception("on_change of %r failed on %s", self, change.path)

    def _finish(self, error: ContextFinished) -> None:
        assert self._watch is not None
        self._progress(self._watch.revision)
        self._over = error
        self._state = "finished"

    def _fail(self, error: Exception) -> None:
        logger.error("%r has ended: %s", self, error)
        self._failure = error
        self._state = "failed"
