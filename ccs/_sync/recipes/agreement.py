# Generated from ccs/aio/recipes/agreement.py by scripts/twin. Do not edit.
"""Agreement: all parties get the same decision, whatever becomes of any of them."""

from __future__ import annotations

import time

from ccs._core.agreement import Ballot, next_step
from ccs._core.pattern import escape
from ccs._core.presence import EVERYBODY, agents_in
from ccs._sync.entries import Entries
from ccs._sync.recipes.steps import looking, take
from ccs._sync.watch import Picture
from ccs.types import Decision

__all__ = ["agree"]


def agree(entries: Entries, ballot: Ballot) -> Decision:
    """Votes, unless that was done before, and waits for the decision; see `Context.agree`."""
    place, seen = entries.place, set[str]()

    def decide(picture: Picture) -> Decision:
        while True:
            seen.update(agents_in(picture.entries))
            step = next_step(ballot, picture.entries, seen)
            if isinstance(step, Decision):
                return step
            # No deadline here: the entry that stands for it ends by the server's clock, and that wakes everybody.
            take(place, picture, step, None)

    patience = time.monotonic() + ballot.timeout / 1000
    return looking(place, (f"{escape(ballot.root)}/**", EVERYBODY), decide, patience)
