# Generated from ccs/_async/mirror.py by scripts/twin. Do not edit.
"""A mirror: what stands at some paths of a context, in this process, kept up to date by one watch.

One worker feeds it. A commit is put in as a whole, under a lock that readers of several paths take too; to read one
path needs no lock. Where the watch cannot go on (its place in the journal is gone, or was never written), the mirror
is loaded anew and tells what has changed on the whole.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

from ccs._compat import Caller, Gate, Lock, Worker, sleep
from ccs._core.changes.mirrored import net
from ccs._core.checks import integer
from ccs._core.commits.journal import Cursor, JournalPage, check_resume
from ccs._core.commits.queries import last_of
from ccs._core.names.pattern import Matcher
from ccs._core.times import Duration, seconds
from ccs._local import Local
from ccs._log import logger
from ccs._protocol.faults import copy_of
from ccs._sync.changes.watch_kinds import CommitWatch
from ccs._sync.handle import Place
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

# Seconds after an outage was told: a server that refuses us at once would do so again. How long a commit is waited for
# before history is asked whether it is still there.
_REST, _LOOK = 0.5, 1.0


class Mirror(Local, Mapping[str, Any]):
    """The values at the paths that match, live, as a mapping; enter it, then read it like a dict.

    It never goes backwards and never shows half of a commit: `revision` is the newest commit that is in it, matching or
    not. A value is decoded once, and the same object for all who read it: do not change it. An entry past its deadline
    is here until its end is told, within a second. It follows the context through reconnects, compaction and a new
    beginning; after the server has lost commits it shows what is left, with an error in the log. Whatever else ends it
    is raised by every later read; after it was left, or the context finished, it can still be read.
    """

    def __init__(
        self,
        place: Place,
        matcher: Matcher,
        patterns: tuple[str, ...],
        max_entries: int,
        on_change: Callable[[Change], object] | None,
    ) -> None:
        self._place, self._matcher, self._patterns = place, matcher, patterns
        self._most = integer("max_entries", max_entries, "how many entries it may hold, at least 1", 1)
        self._call = None if on_change is None else Caller(on_change)
        self._entries: dict[str, Entry] = {}
        self._values: dict[str, Any] = {}
        self._lock = Lock()
        self._listener = place.engine.listener
        self._watch: CommitWatch | None = None
        self._worker: Worker | None = None
        self._waiting: list[tuple[int, Gate]] = []
        # How many reconnects there had been when history was last looked at, and when that was, as a revision.
        self._looked = 0, 0
        self._stale: CCSError | None = None
        self._over: ContextFinished | None = None
        self._failure: Exception | None = Misuse("this mirror is not entered: use it in a with block")
        self._state = "not entered"
        self.revision = 0
        self.reloads = 0

    def __repr__(self) -> str:
        what = f"{', '.join(self._patterns)} in {self._place.address}"
        return f"<Mirror of {what}: {len(self._entries)} entries at {self.revision}, {self._state}>"

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
        """The entry at a path, None where there is none."""
        self._check()
        return self._entries.get(path)

    def snapshot(self) -> Snapshot:
        """All of it at one moment, with its revision."""
        self._check()
        with self._lock:
            return Snapshot({path: self._entries[path] for path in sorted(self._entries)}, self.revision)

    def __enter__(self) -> Mirror:
        if self._state != "not entered":
            raise Misuse("a mirror is entered once; make another one")
        self._place.engine.check(self._listener)
        try:
            self._load()
        except BaseException:
            self.close()
            raise
        self._failure = None
        self._worker = Worker("ccs mirror", self._feed)
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stops following; what it shows stays readable."""
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
        """For a child that was just forked: nothing keeps the mirror up to date here."""
        self._failure = error
        self._state = "failed"

    def caught_up(self, revision: int, timeout: Duration | None = None) -> None:
        """Waits until the commit of a revision is in it, anybody's, whether it matches or not.

        `TimeoutError` after `timeout` seconds; `ContextFinished`, `StoreClosed` or `Misuse` where it cannot come any more (the mirror was left), and
        `HistoryForked` where the server has lost that commit.

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

    def _reaches(self, revision: int, deadline: float | None) -> bool:
        """Waits for a while. Returns whether it has come that far; raises if it cannot any more."""
        gate = Gate()
        waiting = revision, gate
        self._waiting.append(waiting)
        try:
            self._wake(self.revision)
            if self._state in ("left", "failed", "finished"):
                gate.open()
            gate.wait(_LOOK if deadline is None else min(_LOOK, max(0.0, deadline - time.monotonic())))
        finally:
            if waiting in self._waiting:
                self._waiting.remove(waiting)
        if self.revision < revision and self._state != "live":
            self._check()
            if self._over:
                raise copy_of(self._over)
            self._place.engine.check(self._listener)
            raise Misuse(f"{self!r} was left, so it follows its context no more; make another one")
        return self.revision >= revision

    def _is_held(self, revision: int) -> bool:
        """Raises `HistoryForked` if the server has lost a commit. Returns False if the server cannot say at present."""
        engine = self._place.engine
        if self._state not in ("live", "finished") or engine.closed:
            return True
        # A server that loses something breaks its connections, and revisions are times in microseconds: what was
        # committed after the last look, with no reconnect since, is there.
        if self._looked[0] == engine.stats.frozen().reconnects and self._looked[1] < revision:
            return True
        try:
            page = self._look(revision)
        except Unavailable:
            sleep(_REST)
            return False
        with suppress(ContextGone, HistoryCompacted):  # too long ago for anybody to know
            check_resume(Cursor(revision), page, self._place.address)
        return True

    def _look(self, revision: int) -> JournalPage:
        engine = self._place.engine
        reconnects = engine.stats.frozen().reconnects
        page = engine.look(self._place.address, revision, 0)
        self._looked = reconnects, page.now * 1000
        return page

    def _check(self) -> None:
        if self._failure:
            raise copy_of(self._failure)

    def _feed(self) -> None:
        while self._state == "live":
            try:
                self._place.engine.check(self._listener)
                (self._start_over(self._stale) if self._stale else self._feed_next())
            except (HistoryCompacted, HistoryDamaged, HistoryForked, ContextGone) as error:
                self._stale = error
            except Unavailable as error:
                logger.warning("%r: %s", self, error)
                sleep(_REST)
            except ContextFinished as error:
                self._finish(error)
            except (Misuse, StoreClosed):  # it was left, or its store
                self._state = "left"
            except Exception as error:  # noqa: BLE001  # not swallowed: every read raises it
                self._fail(error)
        self._wake(None)

    def _feed_next(self) -> None:
        assert self._watch is not None
        committed = self._watch.receive()
        self._apply(committed.written, committed.revision)
        self._tell(committed.changes)

    def _load(self, since: int = 0) -> list[Change]:
        """Takes in what stands there now, and for what has gone since that revision; what that changes, on the whole."""
        place = self._place
        with_changes = self._call is not None
        watch = CommitWatch(place.engine, place.address, self._patterns, self._progress, with_changes)
        watch.__enter__()
        self._watch = watch
        revision = max(since, watch.revision)
        self._look(revision)
        pairs, changes = net(self._entries, watch.present(), place.address, revision)
        self._apply(pairs, revision)
        self._state = "live"
        place.engine.remember(self)
        return changes

    def _start_over(self, error: CCSError) -> None:
        logger.warning("%r is loaded anew: %s", self, error)
        # The old watch goes last: so the subscription stays.
        old = self._watch
        try:
            # Revisions go on when a context goes, and only fall where the server has lost some.
            changes = self._load(self._newest() if isinstance(error, ContextGone) else 0)
        finally:
            if old and old is not self._watch:
                old.close()
        self.reloads += 1
        self._stale = None
        if isinstance(error, HistoryForked):
            self._wake(None)  # what they wait for may have been lost
        self._tell(changes)

    def _newest(self) -> int:
        """The newest revision there ever was, also of a context that has gone: what is loaded after it has that in it."""
        state = self._place.connection.run(("HGET", self._place.keys.meta, "state"), early=True)
        return max(self.revision, last_of(state) if state else 0)

    def _apply(self, pairs: Iterable[tuple[str, Entry | None]], revision: int) -> None:
        with self._lock:
            for path, entry in pairs:
                self._put(path, entry)
            if len(self._entries) > self._most:
                raise MirrorFull(self._place.address, self._most)
            self.revision = revision
        self._wake(revision)

    def _put(self, path: str, entry: Entry | None) -> None:
        if entry is None:
            self._entries.pop(path, None)
            self._values.pop(path, None)
        else:
            self._entries[path], self._values[path] = entry, entry.value

    def _progress(self, revision: int) -> None:
        # Commits that match nothing are in it too.
        self.revision = max(self.revision, revision)
        self._wake(self.revision)

    def _wake(self, revision: int | None) -> None:
        """Lets go of those who wait for a revision up to this; None: of everybody."""
        for wanted, gate in list(self._waiting):
            if revision is None or wanted <= revision:
                gate.open()

    def _tell(self, changes: Iterable[Change]) -> None:
        if self._call is None:
            return
        for change in changes:
            try:
                self._call(change)
            except Exception:  # noqa: BLE001  # whatever a callback raises, it stops nothing
                self._place.engine.stats.add("callback_errors")
                logger.exception("on_change of %r failed on %s", self, change.path)

    def _finish(self, error: ContextFinished) -> None:
        assert self._watch is not None
        self._progress(self._watch.revision)
        self._over, self._state = error, "finished"

    def _fail(self, error: Exception) -> None:
        logger.error("%r has ended: %s", self, error)
        self._failure, self._state = error, "failed"
