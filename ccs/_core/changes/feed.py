"""The live messages of one context: whether they are continuous, and which mailboxes get them."""

from __future__ import annotations

from contextlib import AbstractContextManager

from ccs._core.changes.watch_mailbox import Mailbox
from ccs._core.commits.journal import JournalPage, Record

__all__ = ["Feed"]


class Feed:
    """Delivers each commit to the mailboxes of a context, and nudges them if it does not follow the last one.

    A commit follows if the last one received is its predecessor. It must not skip `ahead` either, the newest revision
    that a watch has read in the journal: if no message brings that one, the server has lost it.

    A lock guards the state: one thread may receive messages while another compares with the journal.
    """

    def __init__(self, address: str, lock: AbstractContextManager[object]) -> None:
        self.address = address
        self._lock = lock
        # Replaced, never changed: another thread may be iterating over them.
        self.mailboxes: tuple[Mailbox, ...] = ()
        self.last: int | None = None
        self.ahead = 0
        self.received = False

    def __repr__(self) -> str:
        return f"<Feed of {self.address} at {self.last} for {len(self.mailboxes)} watches>"

    def deliver(self, record: Record) -> bool:
        """Delivers the next message. Returns whether it follows the last one; if not, the journal has to be read."""
        with self._lock:
            self.received = True
            follows = record.previous == self.last and not record.previous < self.ahead < record.revision
            for mailbox in self.mailboxes:
                mailbox.offer(record) if follows else mailbox.nudge()
            # Last: an interrupt before this leaves a gap, which is then filled.
            self.last = 0 if record.drops else record.revision
            if record.drops:
                self.ahead = 0
        return follows

    def doubt(self) -> None:
        """Makes the next check compare with the journal, unless a commit is received first."""
        self.received = False

    def anchor(self, last: int) -> None:
        """Notes the newest revision that a journal read found which began after the subscription."""
        with self._lock:
            self.ahead = max(self.ahead, last)
            if self.last is None:
                self.last = last

    def check(self, page: JournalPage) -> bool:
        """Compares with the journal if no message came. Returns whether one was missed; then the mailboxes are nudged."""
        with self._lock:
            silent = not self.received or not page.exists
            self.received = False
            missed = silent and (page.last != self.last or page.last < self.ahead)
            if missed:
                self.last = self.ahead = page.last
                for mailbox in self.mailboxes:
                    mailbox.nudge()
        return missed
