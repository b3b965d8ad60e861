"""What the dispatcher tells a watch of the whole store: records, doubts about a context or about all, and failures."""

from __future__ import annotations

import time
from typing import Literal

from ccs._async.opening import Opening
from ccs._core.changes.store_watch_backlog import Backlog
from ccs._core.commits.journal import Record
from ccs._core.names.pattern import AddressMatcher
from ccs.errors import CCSError

__all__ = ["Arrivals"]


class Arrivals:
    """What has arrived for a watch and waits for its consumer."""

    def __init__(self, opening: Opening, matcher: AddressMatcher, backlog: Backlog) -> None:
        self._opening = opening
        self._dispatcher = opening.dispatcher
        self._matcher = matcher
        self.named = matcher.named
        self._backlog = backlog
        self._signal = self._dispatcher.signal()
        # The dispatcher sets it, the consumer clears it.
        self._survey_due: Literal["", "routine", "lost", "full"] = ""
        self._rest_until = self._heard_at = 0.0
        self._passing: CCSError | None = None

    def __repr__(self) -> str:
        return f"<{type(self).__name__} with {self._backlog!r}>"

    def offer(self, address: str, record: Record) -> None:
        """Takes the next record of any context from the dispatcher."""
        # When the buffer was full, records can be dropped until the survey, which finds them.
        if self._survey_due == "full" or self._matcher.paths_in(address) is None:
            return
        self._heard_at = time.monotonic()
        if not self._backlog.put(address, record):
            self._survey_due = "full"
        self._signal.set()

    def wants(self, address: str) -> bool:
        """Returns whether anything in a context can match. The dispatcher asks."""
        return self._matcher.paths_in(address) is not None

    def look_at(self, address: str) -> None:
        """Notes that a context is new, or that its messages may have been lost. The dispatcher calls it."""
        if self.wants(address):
            self._backlog.doubt(address)
            self._signal.set()

    def resync(self, *, routine: bool = False) -> None:
        """Notes that messages may have been lost, or that it is time for a `routine` survey. The dispatcher calls it."""
        if routine and time.monotonic() < self._rest_until:
            return
        if not routine and self._survey_due != "full":
            self._survey_due = "lost"
        self._survey_due = self._survey_due or "routine"
        self._signal.set()

    def fail(self, error: CCSError) -> None:
        """Notes why no message can be delivered at present. The dispatcher calls it."""
        self._passing = error
        self._signal.set()
