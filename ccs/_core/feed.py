"""The live stream of one context, as the listener hears it: is it continuous, and who gets it?"""

from __future__ import annotations

from ccs._core.journal import JournalPage, Record
from ccs._core.mailbox import Mailbox

__all__ = ["Feed"]


class Feed:
    """Hands each commit to the mailboxes of a context; where one does not follow the last, they are nudged."""

    def __init__(self, address: str) -> None:
        self.address = address
        self.mailboxes: list[Mailbox] = []
        self.last: int | None = None
        self.heard = False
        self.gaps = 0

    def __repr__(self) -> str:
        return f"<Feed of {self.address} at {self.last} for {len(self.mailboxes)} watches>"

    def deliver(self, record: Record) -> None:
        """The next message. One that does not follow the last is a gap: the journal is the truth, not the channel."""
        self.heard = True
        follows = record.previous == self.last
        self.last = 0 if record.drops else record.revision
        if not follows:
            return self.nudge()
        for mailbox in self.mailboxes:
            mailbox.offer(record)

    def nudge(self) -> None:
        """Lets every watch read the journal."""
        self.gaps += 1
        for mailbox in self.mailboxes:
            mailbox.nudge()

    def take_gaps(self) -> int:
        """How often since the last call the journal had to fill in."""
        gaps, self.gaps = self.gaps, 0
        return gaps

    def quiet(self) -> bool:
        """Whether nothing was heard since the last time this was asked."""
        quiet, self.heard = not self.heard, False
        return quiet

    def anchor(self, last: int) -> None:
        """A journal read that began after the subscription found this to be the newest revision."""
        if self.last is None:
            self.last = last

    def check(self, page: JournalPage) -> None:
        """Compares with the journal, after a silence: what was missed is read from there."""
        if page.last != self.last:
            self.last = page.last
            self.nudge()
