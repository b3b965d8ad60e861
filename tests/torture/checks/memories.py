"""Memory: a query sees every fact that was acknowledged before it, none that was forgotten; every reinforcement counts."""

from __future__ import annotations

from collections.abc import Iterator

from tests.torture.checks.timeline import Timelines
from tests.torture.checks.violation import Violation
from tests.torture.history import Held

__all__ = ["forgotten", "uncounted"]


def forgotten(timelines: Timelines) -> Iterator[Violation]:
    """Memories that were stored and not found, or forgotten and found."""
    history = timelines.history
    for call in history.of("recall"):
        if not call.ok or history.excused(call.address, call.args["stored"], call.answered):
            continue
        if "id" in call.args and call.args["id"] not in call.reply["found"]:
            yield Violation("memory", f"{call.address}: {call.args['id']} was not found", (call,))
        if call.args.get("gone") in call.reply["found"]:
            yield Violation("memory", f"{call.address}: {call.args['gone']} was found, though forgotten", (call,))


def uncounted(timelines: Timelines) -> Iterator[Violation]:
    """Procedures of which a success or failure was not added to those before."""
    for address, timeline in timelines.items():
        for commit in timeline.commits:
            for step in commit.steps:
                if step.path.startswith("@procedures/") and step.after and not _adds_one(step.before, step.after):
                    yield Violation("memory", f"{address}: {step.path} was not reinforced by one", (commit,))


def _adds_one(before: Held | None, after: Held) -> bool:
    if before is None:
        return _count(after) == 0
    step = 0.1 if after.value["successes"] > before.value["successes"] else -0.05
    confidence = min(1.0, max(0.0, before.value["confidence"] + step))
    return _count(after) == _count(before) + 1 and abs(after.value["confidence"] - confidence) < 1e-6


def _count(held: Held) -> int:
    return int(held.value["successes"] + held.value["failures"])
