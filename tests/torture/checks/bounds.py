"""Bounds: policies bind every client, a view hides what it does not show, a user has the rights it was granted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tests.torture.checks.timeline import Timelines
from tests.torture.checks.violation import Violation
from tests.torture.history import Commit, Held, Note, Step

__all__ = ["crossed_policies", "crossed_rights", "crossed_views"]

_SOON = 2_000_000
"""Microseconds within which servers that come and go still have the users that were made."""


def crossed_policies(timelines: Timelines) -> Iterator[Violation]:
    """Entries that were written, or deleted, against the policy of their paths."""
    blind = {(call.address, call.revision) for call in timelines.history.of("set blindly") if call.ok}
    for address, timeline in timelines.items():
        for commit in timeline.commits:
            for step in commit.steps:
                problem = _crossed(commit, step, blind=(address, commit.revision) in blind)
                if problem:
                    yield Violation("policies", f"{address}: {step.path} {problem}", (commit,))


def _crossed(commit: Commit, step: Step, *, blind: bool) -> str | None:
    if step.before is None:
        return None
    if step.path.startswith("ledger/"):
        return "was written twice"
    if step.path.startswith("rejected/") and blind:
        return "was overwritten by somebody who had not read it"
    if step.path.startswith("merged/") and step.after and not _keys(step.before) <= _keys(step.after):
        return "was replaced, not merged"
    return None


def _keys(held: Held) -> set[str]:
    return set(held.value)


def crossed_views(timelines: Timelines) -> Iterator[Violation]:
    """Calls of a view that reached what it does not show."""
    for call in timelines.history.of("hidden"):
        if call.outcome not in ("", "Forbidden"):
            yield Violation("rights", f"{call.address}: a hidden path was answered {call.outcome}", (call,))
    for call in timelines.history.of("hidden claims"):
        if call.ok and call.reply["found"]:
            yield Violation("rights", f"{call.address}: what is hidden was listed", (call,))


def crossed_rights(timelines: Timelines) -> Iterator[Violation]:
    """Users who could do what they were not granted, or could not do what they were."""
    for note in timelines.history.noted("visit"):
        problem = _beyond(timelines, note) or _short(timelines, note.facts)
        if problem:
            yield Violation("rights", f"{note.facts['user']} {problem}", (note,))


def _beyond(timelines: Timelines, note: Note) -> str | None:
    may, began = note.facts["may"], note.facts["began"]
    never = ["hidden", "refused", "all"]
    # A server that was being replaced is not among those that are told of the removal, and may answer once more.
    if not any(timelines.history.excused(each, began, note.at) for each in note.facts["addresses"]):
        never.append("afterwards")
    done = [what for what in never if may.get(what) == "ok"]
    return f"could do what it was not granted: {done}" if done else None


def _short(timelines: Timelines, facts: dict[str, Any]) -> str | None:
    began, ended = facts["began"], facts["ended"]
    history = timelines.history
    if ended - began > _SOON or any(history.excused(each, began, ended) for each in facts["addresses"]):
        return None
    failed = [what for what in ("read", "write") if facts["may"][what] == "Forbidden"]
    if not facts["listed"]:
        return "is not listed"
    return f"could not do what it was granted: {failed}" if failed else None
