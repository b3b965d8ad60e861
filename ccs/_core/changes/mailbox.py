"""What waits between the listener and one watch: records in order, bounded, without a lock.

The listener is the only one that puts, and the only one that marks the mailbox `behind` (one thread at a time: under
the feed's lock); the consumer is the only one that takes, and the only one that clears the mark. Each attribute has one
writer, so no lock is needed in either colour, given one rule of order: a record is put before `seen` names it, and
`seen` is read before the mailbox is found empty. While a mailbox is behind it takes nothing: the consumer drains it,
then reads the journal. When it begins anew, the consumer also takes back what the listener has noted. The listener may
note something at the same moment: that does no harm, as the journal, which is read next, holds that commit too.

Only records that match are kept, so whether one follows a cursor cannot be told from its `previous`. It follows if the
mailbox has heard every commit since that cursor: all that it holds at a time is one unbroken run, which began after the
revision `origin`. A consumer that stands before the origin has missed something, and reads the journal.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from ccs._core.commits.journal import Cursor, Record
from ccs._core.names.pattern import Matcher
from ccs.errors import CCSError

__all__ = ["Mailbox"]


class Mailbox:
    """The buffer of one watch: at most `limit` changes and `limit_bytes` bytes, then it falls behind.

    The consumer is woken for what matches; with `eager`, for every commit.
    """

    def __init__(self, matcher: Matcher, limit: int, limit_bytes: int, wake: Callable[[], object]) -> None:
        self.matcher, self.wake = matcher, wake
        self._limit, self._limit_bytes = limit, limit_bytes
        self._records: deque[Record] = deque()
        self._put = self._put_bytes = self._taken = self._taken_bytes = 0
        self.seen = Cursor(0)
        # Set by the listener with the first commit of a run, taken back by the consumer that begins another one.
        self.origin: int | None = None
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
        """Consumer: the next record, if there is one; it waits here until it is taken."""
        return self._records[0] if self._records else None

    def continues(self, cursor: Cursor) -> bool:
        """Consumer: whether nothing lies between the cursor and what was heard since."""
        origin = self.origin
        return origin is None or origin <= cursor.revision

    def offer(self, record: Record) -> None:
        """Listener: the next commit; it is kept if a step of it matches or it ends the context."""
        if self.behind:
            return None
        if self.origin is None:
            self.origin = record.previous
        wanted = self._wanted(record)
        if wanted and not self._fits(wanted, record.size):
            return self.nudge()
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
        return sum(1 for step in record.operations if self.matcher.matches(step.path))

    def _fits(self, count: int, size: int) -> bool:
        changes, held = self._put - self._taken, self._put_bytes - self._taken_bytes
        return not changes or (changes + count <= self._limit and held + size <= self._limit_bytes)

    def nudge(self) -> None:
        """Listener: something was missed, or does not fit; the journal has to be read."""
        self.behind = True
        self.wake()

    def fail(self, error: CCSError) -> None:
        """Listener: nothing can be delivered at present; the consumer is told once."""
        self.failure = error
        self.wake()

    def take(self) -> Record | None:
        """Consumer: the next record, if there is one."""
        if not self._records:
            return None
        record = self._records.popleft()
        self._taken += self._wanted(record)
        self._taken_bytes += record.size
        return record

    def begin(self) -> None:
        """Consumer: drops what is held and listens anew; what it missed it reads from the journal after this."""
        while self.take():
            pass
        self.origin = None
        self.seen = Cursor(0)
        self.behind = False
