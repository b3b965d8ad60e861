"""The live stream of one context, as the listener hears it: is it continuous, and who gets it?"""

from __future__ import annotations

from contextlib import AbstractContextManager

from ccs._core.changes.mailbox import Mailbox
from ccs._core.commits.journal import JournalPage, Record

__all__ = ["Feed"]


class Feed:
    """Hands each commit to the mailboxes of a context; where one does not follow the last, they are nudged.

    A commit follows if the last one heard is the one before it. It must not pass over `ahead` either, the newest
    revision that a watch has read in the journal: if that is not heard on the way, the server has lost it.

    Under its lock: who hears the messages may be another thread than who compares with the journal.
    """

    def __init__(self, address: str, lock: AbstractContextManager[object]) -> None:
        self.address, self._lock = address, lock
        # Replaced, never changed: another thread may be on its way through them.
        self.mailboxes: tuple[Mailbox, ...] = ()
        self.last: int | None = None
        self.ahead = 0
        self.received = False

    def __repr__(self) -> str:
        return f"<Feed of {self.address} at {self.last} for {len(self.mailboxes)} watches>"

    def deliver(self, record: Record) -> bool:
        """The next message; whether it follows the last. If not, the journal is the truth, not the channel."""
        with self._lock:
            self.received = True
            follows = record.previous == self.last and not record.previous < self.ahead < record.revision
            for mailbox in self.mailboxes:
                mailbox.offer(record) if follows else mailbox.nudge()
            # At the end: who is interrupted before it leaves a gap, which is filled.
            self.last = 0 if record.drops else record.revision
            if record.drops:
                self.ahead = 0
        return follows

    def doubt(self) -> None:
        """What was heard before counts for nothing: unless a commit is heard first, the next check looks at the journal."""
        self.received = False

    def anchor(self, last: int) -> None:
        """A journal read that began after the subscription found this to be the newest revision."""
        with self._lock:
            self.ahead = max(self.ahead, last)
            if self.last is None:
                self.last = last

    def check(self, page: JournalPage) -> bool:
        """Compares with the journal, if there was a silence; whether something was missed, which is read from there."""
        with self._lock:
            silent, self.received = not self.received or not page.exists, False
            missed = silent and (page.last != self.last or page.last < self.ahead)
            if missed:
                self.last = self.ahead = page.last
                for mailbox in self.mailboxes:
                    mailbox.nudge()
        return missed
