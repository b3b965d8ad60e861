"""Agreements, the same for all; barriers, which nobody passes before all have come."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.torture.checks.timeline import Timelines
from tests.torture.checks.violation import Violation
from tests.torture.history import Call

__all__ = ["wrong_agreements", "wrong_barriers"]


def wrong_agreements(timelines: Timelines) -> Iterator[Violation]:
    """Two decisions under one name, or one to commit that a party did not vote for."""
    history = timelines.history
    by_name: dict[tuple[str, str], list[Call]] = defaultdict(list)
    for call in history.of("agree"):
        by_name[call.address, call.args["name"]].append(call)
    for (address, name), calls in by_name.items():
        told = [call for call in calls if call.ok and not history.excused(address, call.asked, call.answered)]
        for call in told[1:]:
            if call.reply != told[0].reply:
                yield Violation("agreement", f"{address}: two decisions on {name}", (told[0], call))
        # The first vote of a party counts, whatever it says when it calls again.
        willing = {each.agent for each in calls if each.args["vote"]}
        for call in told[:1]:
            if call.reply["committed"] and not willing.issuperset(call.args["parties"]):
                yield Violation("agreement", f"{address}: {name} was decided without all", (call, *calls))


def wrong_barriers(timelines: Timelines) -> Iterator[Violation]:
    """A barrier that somebody passed when fewer had come than it was for."""
    history = timelines.history
    by_name: dict[tuple[str, str], list[Call]] = defaultdict(list)
    for call in history.of("barrier"):
        by_name[call.address, call.args["name"]].append(call)
    for (address, name), calls in by_name.items():
        passed = [call for call in calls if call.ok]
        if not passed:
            continue
        first = min(passed, key=lambda call: call.answered)
        came = [call for call in calls if call.asked <= first.answered and call.outcome != "InvalidValue"]
        if len(came) < first.args["parties"]:
            yield Violation("barriers", f"{address}: {name} opened for {len(came)}", (first, *came))
