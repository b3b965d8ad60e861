"""Nothing but the documented outcomes: another error, of a call or of a process, is a violation by itself."""

from __future__ import annotations

from collections.abc import Iterator

from tests.torture.checks.acknowledged import REFUSED
from tests.torture.checks.timeline import Timelines
from tests.torture.checks.violation import Violation

__all__ = ["unexpected"]

RULE = "unexpected"
KNOWN = REFUSED | {"ok", "", "Unavailable?", "NotDurable", "RetriesExhausted", "Broken", "HistoryForked"}


def unexpected(timelines: Timelines) -> Iterator[Violation]:
    """Calls and processes that ended in another way."""
    for call in timelines.history.calls:
        if call.outcome not in KNOWN and not timelines.history.excused(call.address, call.asked, call.answered):
            yield Violation(RULE, f"{call.address}: {call.op} ended with {call.outcome}", (call,))
    for note in timelines.history.noted("failed"):
        yield Violation(RULE, f"{note.process}: {note.facts['error']}", (note,))
