# Generated from ccs/_async/recipes/agreement.py by scripts/twin. Do not edit.
"""Agreement: all parties get the same decision, whatever becomes of any of them."""

from __future__ import annotations

import time
from functools import partial

from ccs._core.names.pattern import escape
from ccs._core.recipes.agreement import Ballot, next_action
from ccs._core.recipes.presence import EVERYBODY, agents_in
from ccs._sync.changes.watch_kinds import Picture
from ccs._sync.engine import Engine
from ccs._sync.entries import Entries
from ccs._sync.recipes.waiting import looking, take
from ccs.types import Decision, Entry

__all__ = ["agree"]


class _Attendance(Picture):
    """What stands there; and `seen`, the agents that were members at some time, be it for a moment between two looks."""

    def __init__(self, seen: set[str], engine: Engine, address: str, patterns: tuple[str, ...]) -> None:
        super().__init__(engine, address, patterns)
        self._seen = seen

    def _put(self, path: str, entry: Entry | None) -> None:
        super()._put(path, entry)
        self._seen |= agents_in({path: entry} if entry else {})


def agree(entries: Entries, ballot: Ballot) -> Decision:
    """Votes, unless that was done before, and waits for the decision; see `Context.agree`."""
    place, seen = entries.place, set[str]()

    def decide(picture: Picture) -> Decision:
        while True:
            step = next_action(ballot, picture.entries, seen)
            if isinstance(step, Decision):
                return step
            # No deadline here: the entry that stands for it ends by the server's clock, and that wakes everybody.
            take(place, picture, step, None)

    patience = time.monotonic() + ballot.timeout / 1000
    patterns = f"{escape(ballot.root)}/**", EVERYBODY
    return looking(place, patterns, decide, patience, partial(_Attendance, seen))
