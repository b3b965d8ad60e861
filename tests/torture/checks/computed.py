"""What is computed from what was there (`update`, `append`, `transact`): applied once, and not at all if it was refused."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import Any

from tests.torture.checks.acknowledged import REFUSED
from tests.torture.checks.timeline import SLACK, Timelines
from tests.torture.checks.violation import Violation
from tests.torture.history import Commit, Held, Step

__all__ = ["miscomputed"]

Made = tuple[Any, ...]


def miscomputed(timelines: Timelines) -> Iterator[Violation]:
    """Calls whose value, which nobody else writes, came into being twice, or though they were refused."""
    by_value: dict[tuple[str, Made], list[Commit]] = defaultdict(list)
    for address, timeline in timelines.items():
        for commit in timeline.commits:
            for step in commit.steps:
                for made in _new(step):
                    by_value[address, made].append(commit)
    history = timelines.history
    for call in history.of("update", "append", "transact"):
        commits = by_value.get((call.address, tuple(call.args["sign"])), [])
        if len(commits) > 1:
            yield Violation("computed", f"{call.address}: {call.op} was applied {len(commits)} times", (call, *commits))
        # As for any refusal, that of a server that is replaced just then may be forgotten with it.
        if call.outcome in REFUSED and not history.excused(call.address, call.asked, call.answered):
            for commit in commits:
                if call.asked - SLACK <= commit.at <= call.answered + SLACK:
                    text = f"{call.address}: {call.op} was refused with {call.outcome}, and applied"
                    yield Violation("computed", text, (call, commit))


def _new(step: Step) -> set[Made]:
    """The values of calls that a step has brought: who wrote them, and which of theirs they are."""
    return _values(step.path, step.after) - _values(step.path, step.before)


def _values(path: str, held: Held | None) -> set[Made]:
    if held is None or held.value is None:
        return set()
    if path.startswith("l/"):
        return {tuple(item) for item in held.value}
    return {(held.value["by"], held.value["n"])} if path.startswith("u/") else set()
