"""Acknowledged: what was acknowledged stands, as it was asked; a failover may lose only what not every replica had.

Refused: nothing of it was applied.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.torture.checks.timeline import SLACK, Timeline, Timelines
from tests.torture.checks.violation import Violation
from tests.torture.history import Call, Commit

__all__ = ["ANY", "REFUSED", "applied_though_refused", "is_missing", "lost_calls", "missing"]

RULE = "acknowledged"
REFUSED = frozenset(
    {
        "AlreadyClaimed",
        "ClaimLost",
        "Conflict",
        "ContextFinished",
        "Forbidden",
        "InboxFull",
        "InvalidValue",
        "StoreFull",
        "TimeoutError",
        "Unavailable",
    }
)
"""Outcomes after which nothing was written. "Unavailable?" is the one that leaves it open."""
ANY = -1
"""The mark of a value that the caller does not know."""


def missing(timelines: Timelines) -> Iterator[Violation]:
    """Acknowledged commits that are not there, or are others than were asked for."""
    for call in _writes(timelines):
        timeline = timelines[call.address]
        if is_missing(timeline, call):
            if call.durable:
                yield Violation(RULE, f"{call.address}: a commit that all replicas had is lost", (call,))
            elif not _may_be_lost(timelines, call):
                yield Violation(RULE, f"{call.address}: an acknowledged commit is lost", (call,))
        elif call.revision and not _fits(timeline.by_revision[call.revision], call):
            found = timeline.by_revision[call.revision]
            yield Violation(RULE, f"{call.address}: another commit than the acknowledged one", (call, found))


def lost_calls(timelines: Timelines) -> list[Call]:
    """The acknowledged commits that a failover has lost."""
    return [call for call in _writes(timelines) if is_missing(timelines[call.address], call)]


def _writes(timelines: Timelines) -> Iterator[Call]:
    for call in timelines.history.calls:
        if call.ok and call.reply.get("writes") and call.address in timelines:
            yield call


def is_missing(timeline: Timeline, call: Call) -> bool:
    """Whether no commit is the one that this call was answered."""
    if call.revision:
        return call.revision not in timeline
    return not any(_fits(commit, call) for commit in timeline.by(call.agent, call.seen, call.knows))


def _fits(commit: Commit, call: Call) -> bool:
    did = {step.path: step.after.mark if step.after else None for step in commit.steps}
    return commit.agent == call.agent and all(
        path in did and mark in (did[path], ANY) for path, mark in call.reply["writes"]
    )


def _may_be_lost(timelines: Timelines, call: Call) -> bool:
    if call.revision:
        return timelines.history.excused(call.address, call.revision)
    return timelines.history.excused(call.address, call.asked, call.answered)


def applied_though_refused(timelines: Timelines) -> Iterator[Violation]:
    """Commits of calls that were refused.

    While a primary is replaced, the refusal may be that of a server whose history is lost soon after, and the first try of
    the call, whose reply was lost, part of the history that stays.
    """
    wrote: dict[tuple[str, str, str, int], list[Commit]] = defaultdict(list)
    for address, timeline in timelines.items():
        for commit in timeline.commits:
            for step in commit.steps:
                if step.op in ("set", "event") and step.after:
                    wrote[address, commit.agent, step.path, step.after.mark].append(commit)
    for call in timelines.history.calls:
        if call.outcome in REFUSED and not timelines.history.excused(call.address, call.asked, call.answered):
            for path, mark in call.args.get("writes", ()):
                for commit in wrote.get((call.address, call.agent, path, mark), ()):
                    if call.asked - SLACK <= commit.at <= call.answered + SLACK:
                        text = f"{call.address}: {call.op} of {path} was refused with {call.outcome}, and applied"
                        yield Violation("refused", text, (call, commit))
