"""Agreement: all parties get the same decision, even if some of them fail."""

from __future__ import annotations

import time
from functools import partial

from ccs._async.changes.watch_kinds import Picture
from ccs._async.engine import Engine
from ccs._async.entries import Entries
from ccs._async.recipes.waiting import act_on_picture, take_step
from ccs._core.names.pattern import escape
from ccs._core.recipes.agreement import Ballot, next_action
from ccs._core.recipes.presence import EVERYBODY, agents_in
from ccs.types import Decision, Entry

__all__ = ["agree"]


class _Attendance(Picture):
    """The entries of a ballot. It also collects in `seen` the agents that were members at any time, however briefly."""

    def __init__(self, seen: set[str], engine: Engine, address: str, patterns: tuple[str, ...]) -> None:
        super().__init__(engine, address, patterns)
        self._seen = seen

    def _put(self, path: str, entry: Entry | None) -> None:
        super()._put(path, entry)
        self._seen |= agents_in({path: entry} if entry else {})


async def agree(entries: Entries, ballot: Ballot) -> Decision:
    """Votes, unless this agent has voted before, and waits for the decision. Returns it; see `Context.agree`."""
    handle = entries.handle
    seen = set[str]()

    async def decide(picture: Picture) -> Decision:
        while True:
            step = next_action(ballot, picture.entries, seen)
            if isinstance(step, Decision):
                return step
            # No deadline here: the time limit is an entry that expires by the server's clock, and that wakes all parties.
            await take_step(handle, picture, step, None)

    patience = time.monotonic() + ballot.timeout / 1000
    patterns = (f"{escape(ballot.root)}/**", EVERYBODY)
    return await act_on_picture(handle, patterns, decide, patience, partial(_Attendance, seen))
