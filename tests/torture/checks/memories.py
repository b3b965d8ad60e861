"""Memory: a query sees every fact that was acknowledged before it."""

from __future__ import annotations

from collections.abc import Iterator

from tests.torture.checks.timeline import Timelines
from tests.torture.checks.violation import Violation

__all__ = ["forgotten"]


def forgotten(timelines: Timelines) -> Iterator[Violation]:
    """Facts that were stored and not found."""
    history = timelines.history
    for call in history.of("recall"):
        missing = call.ok and call.args["id"] not in call.reply["found"]
        if missing and not history.excused(call.address, call.args["stored"], call.answered):
            yield Violation("memory", f"{call.address}: {call.args['id']} was not found", (call,))
