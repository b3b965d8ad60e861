"""Once: every identity, and every value that only one call wrote, is applied at most once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from tests.torture.checks.timeline import Timeline, Timelines
from tests.torture.checks.violation import Violation

__all__ = ["applied_twice"]

RULE = "once applied"


def applied_twice(timelines: Timelines) -> Iterator[Violation]:
    """Identities that come twice, and calls that were applied twice under two identities."""
    for address, timeline in timelines.items():
        # What a server expired has no identity.
        made = Counter(each.identity for each in timeline.commits if not each.identity.startswith("- "))
        for identity, times in made.items():
            if times > 1:
                yield Violation(RULE, f"{address}: {identity} was applied {times} times", _of(timeline, identity))
        wrote = Counter(
            (commit.agent, step.path, step.after.mark)
            for commit in timeline.commits
            for step in commit.steps
            if step.op == "set" and step.after
        )
        for call in timelines.history.calls:
            for path, mark in call.args.get("writes", ()) if call.address == address else ():
                times = wrote[call.agent, path, mark]
                if times > 1 and mark is not None:
                    yield Violation(RULE, f"{address}: one call wrote {path} {times} times", (call,))


def _of(timeline: Timeline, identity: str) -> tuple[object, ...]:
    return tuple(commit for commit in timeline.commits if commit.identity == identity)
