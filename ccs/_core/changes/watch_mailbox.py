"""A mailbox: the records that wait between the dispatcher and one watch, in order, bounded. Its consumer takes no lock.

Only the dispatcher puts records and sets `behind`, in one thread at a time: it holds the lock of the feed. Only the consumer
takes records and clears `behind`. Each attribute has one writer, so the consumer needs no lock, given one rule of order: a
record is put before `seen` names it, and `seen` is read before the mailbox is found empty. While a mailbox is behind it
accepts nothing: the consumer drains it, then reads the journal. In `begin` the consumer also resets what the dispatcher
writes. A write of the dispatcher at the same moment does no harm: the journal, which is read next, holds that commit too.

Only matching records are kept, so the `previous` of a record does not show whether it follows a cursor. It follows if
the mailbox has received every commit since that cursor: its records are always one unbroken run, which began after the
revision `origin`. So the cursor has to be the origin, or one of the commits of the run, which are noted until it has been
found among them. Its number alone proves nothing: while one server takes over from another, messages can come from the new
one and the journal from the old one, whose last commits are about to be lost. A consumer whose cursor is not in the run
reads the journal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ccs._core.commits.journal import Cursor, Record
from ccs._core.names.pattern import Matcher
from ccs.errors import CCSError

__all__ = ["Mailbox"]


# Commits that are noted while a consumer has not found its own among them; then it reads the journal once more.
_LONGEST_RUN = 10_000


class Mailbox:
    """The buffer of one watch. It falls behind when it would hold more than `limit` changes or `limit_bytes` bytes.

    `wake` is called for each commit that matches; with `eager`, for every commit.
    """

    def __init__(self, matcher: Matcher, limit: int, limit_bytes: int, wake: Callable[[], object]) -> None:
        self.matcher = matcher
        self.wake = wake
        self._limit = limit
        self._limit_bytes = limit_bytes
        self._records: deque[Record] = deque()
        self._put = self._put_bytes = self._taken = self._taken_bytes = 0
        self.seen = Cursor(0)
        # The dispatcher sets it with the first commit of a run; the consumer clears it to begin another one.
        self.origin: int | None = None
        # The commits of the run, until the consumer has found its own among them.
        self._run: deque[Cursor] = deque()
        self._joined = False
        self.behind = False
        self.eager = False
        self.failure: CCSError | None = None

    def __repr__(self) -> str:
        return f"<Mailbox {len(self._records)} records{', behind' if self.behind else ''}, seen {self.seen.revision}>"

    @property
    def empty(self) -> bool:
        """Whether nothing waits."""
        return not self._records

    @property
    def records(self) -> tuple[Record, ...]:
        """All that waits."""
        return tuple(self._records)

    @property
    def first(self) -> Record | None:
        """Consumer: the next record, or None. It stays here until it is taken."""
        return self._records[0] if self._records else None

    def continues(self, cursor: Cursor) -> bool:
        """Consumer: returns whether no commit is missing between the cursor and the records."""
        origin = self.origin
        if origin is None or self._joined:
            return True
        if origin >= cursor.revision:
            return origin == cursor.revision
        later = next((each for each in tuple(self._run) if each.revision >= cursor.revision), None)
        return later is None or _is_same(later, cursor)

    def joins(self, cursor: Cursor) -> bool:
        """Consumer: as `continues`. Once the commit of its cursor is found in the run, no more of them have to be noted."""
        if not self.continues(cursor):
            return False
        if not self._joined and (
            self.origin == cursor.revision or any(_is_same(each, cursor) for each in tuple(self._run))
        ):
            self._joined = True
            self._run = deque()
        return True

    def offer(self, record: Record) -> None:
        """Dispatcher: offers the next commit. It is kept if one of its operations matches, or if it ends the context."""
        if self.behind:
            return None
        if self.origin is None:
            self.origin = record.previous
        wanted = self._wanted(record)
        if (wanted and not self._fits(wanted, record.size)) or len(self._run) >= _LONGEST_RUN:
            return self.nudge()
        if not self._joined:
            self._run.append(record.cursor)
        if wanted:
            self._put += wanted
            self._put_bytes += record.size
            self._records.append(record)
        self.seen = record.cursor
        if wanted or self.eager:
            self.wake()

    def _wanted(self, record: Record) -> int:
        if record.finishes or record.drops:
            return 1
        return sum(1 for operation in record.operations if self.matcher.matches(operation.path))

    def _fits(self, count: int, size: int) -> bool:
        changes = self._put - self._taken
        held = self._put_bytes - self._taken_bytes
        return not changes or (changes + count <= self._limit and held + size <= self._limit_bytes)

    def nudge(self) -> None:
        """Dispatcher: marks the mailbox as behind. Something was missed or does not fit: the journal has to be read."""
        self.behind = True
        self.wake()

    def fail(self, error: CCSError) -> None:
        """Dispatcher: notes why nothing can be delivered at present. The consumer raises it once."""
        self.failure = error
        self.wake()

    def take(self) -> Record | None:
        """Consumer: removes and returns the next record, or None."""
        if not self._records:
            return None
        record = self._records.popleft()
        self._taken += self._wanted(record)
        self._taken_bytes += record.size
        return record

    def begin(self) -> None:
        """Consumer: drops all records and receives anew. After this it reads what it missed from the journal."""
        while self.take():
            pass
        self._joined = False
        self._run = deque()
        self.origin = None
        self.seen = Cursor(0)
        self.behind = False


def _is_same(commit: Cursor, cursor: Cursor) -> bool:
    known = commit.identity and cursor.identity
    return commit.revision == cursor.revision and (not known or commit.identity == cursor.identity)
