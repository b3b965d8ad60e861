"""Runs of `once`: one a lease, none after a result, and one result for all."""

from __future__ import annotations

from collections.abc import Iterator

from tests.torture.checks.timeline import Timeline, Timelines
from tests.torture.checks.violation import Violation
from tests.torture.history import Commit

__all__ = ["wrong_runs"]

RULE = "once"
RECORDS, LEASES = "@once/", "@runs/"


def wrong_runs(timelines: Timelines) -> Iterator[Violation]:
    """Runs beside each other, again after a result, or with two results."""
    for address, timeline in timelines.items():
        yield from _records(address, timeline)
    yield from _begun(timelines)
    yield from _results(timelines)


def _records(address: str, timeline: Timeline) -> Iterator[Violation]:
    done: set[str] = set()
    for commit in timeline.commits:
        for op, path, _, after in commit.steps:
            if not path.startswith(RECORDS) or op != "set" or after is None:
                continue
            key, state = path.removeprefix(RECORDS), after.value["state"]
            if key in done:
                yield Violation(RULE, f"{address}: {key} went on after its result", (commit,))
            if state == "running" and not _has_new_lease(commit, key):
                yield Violation(RULE, f"{address}: {key} was begun while another run's lease stood", (commit,))
            if state == "done":
                done.add(key)


def _has_new_lease(commit: Commit, key: str) -> bool:
    return any(step.path == f"{LEASES}{key}" and step.after and not step.before for step in commit.steps)


def _begun(timelines: Timelines) -> Iterator[Violation]:
    seen: set[tuple[str, str, int]] = set()
    for note in timelines.history.noted("ran"):
        address, key, token = note.facts["address"], note.facts["key"], note.facts["token"]
        if (address, key, token) in seen:
            yield Violation(RULE, f"{address}: {key} was run twice with the token {token}", (note,))
        seen.add((address, key, token))
        if timelines.lost(address, token) and not timelines.history.excused(address, token):
            yield Violation(RULE, f"{address}: {key} was run with a token that never was", (note,))


def _results(timelines: Timelines) -> Iterator[Violation]:
    for call in timelines.history.of("once"):
        if not call.ok or call.address not in timelines:
            continue
        timeline = timelines[call.address]
        record = timeline.at(f"{RECORDS}{call.args['key']}", timeline.last)
        stored = record.value.get("result") if record else None
        if stored != call.reply["result"] and not timelines.history.excused(call.address, call.asked, call.answered):
            yield Violation(RULE, f"{call.address}: the result of {call.args['key']} is {stored}", (call,))
