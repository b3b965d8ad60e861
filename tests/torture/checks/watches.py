"""Watches and callbacks: ordered, unique, complete, atomic, resumable, filtered, with previous values and creations.

All of it is one comparison: what a watch delivered is the beginning of what the journal says that it must deliver.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import zip_longest

from tests.torture.checks.reads import is_mortal
from tests.torture.checks.timeline import SLACK, Timeline, Timelines
from tests.torture.checks.violation import Violation
from tests.torture.history import Delivery, Watching

__all__ = ["wrong_watches"]

RULE = "watches"
LIVE = ("live", "memory")
"""The kinds of which is not told where they begin."""

Asked = dict[str, list[tuple[int, int]]]


def wrong_watches(timelines: Timelines) -> Iterator[Violation]:
    """Watches that delivered something else than the journal says, or kept silent about a fork."""
    first_asked = _first_asked(timelines)
    for watch in timelines.history.watches:
        if watch.entered and watch.address in timelines:
            text = _problem(timelines, watch, first_asked) or _late(timelines, watch, first_asked)
            if text:
                yield Violation(RULE, f"{watch.address}: {watch.name} of {watch.process} {text}", (_brief(watch),))


def _problem(timelines: Timelines, watch: Watching, asked: Asked) -> str | None:
    timeline = timelines[watch.address]
    standing = [each for each in watch.deliveries if each.revision in timeline]
    lost = watch.deliveries[len(standing) :]
    if any(each.revision in timeline for each in lost) or any(
        each.revision not in timeline for each in watch.deliveries[: len(standing)]
    ):
        return "went on after a commit that is not in the journal"
    if lost and not timelines.history.excused(watch.address, lost[0].revision):
        return f"delivered {lost[0]}, which never was"
    if watch.end == "HistoryForked":
        return _fork(timelines, watch) or _compare(timelines, watch, standing, asked)
    if watch.end not in ("", "closed", "StoreClosed", "Forbidden", "Unavailable"):
        return f"ended with {watch.end}"
    if lost and watch.end == "closed" and _went_on(timelines, watch):
        return f"was closed at {watch.cursor} and never told that {lost[0].revision} is lost"
    return _compare(timelines, watch, standing, asked)


def _fork(timelines: Timelines, watch: Watching) -> str | None:
    """A fork must be one: the cursor is no longer in the journal."""
    positions = [watch.cursor, watch.base, *(each.revision for each in watch.deliveries[-1:])]
    if any(timelines.lost(watch.address, each) for each in positions):
        return None
    # It may have read on past commits that do not match, and those may be lost.
    if timelines.history.excused(watch.address, watch.asked, watch.ended):
        return None
    return "told of a fork that there was not"


def _went_on(timelines: Timelines, watch: Watching) -> bool:
    """Whether the watch was closed when the journal had gone on after the time of any loss."""
    return watch.cursor in timelines[watch.address] and watch.cursor > watch.deliveries[-1].revision


def _compare(timelines: Timelines, watch: Watching, delivered: Sequence[Delivery], asked: Asked) -> str | None:
    timeline = timelines[watch.address]
    cursor = watch.cursor if watch.end == "closed" else 0
    if cursor and timelines.lost(watch.address, cursor):
        cursor = 0
    until = max([cursor, *(each.revision for each in delivered)])
    if watch.kind == "initial":
        return _initial(timelines, watch, delivered, until, cursor)
    if watch.kind in LIVE:
        return _live(timelines, watch, delivered, asked)
    if timelines.lost(watch.address, watch.base):
        return None if not delivered else "went on from a revision that is not in the journal"
    return _differs(list(timeline.expected(watch.patterns, watch.kind, watch.base, until)), delivered, cursor)


def _differs(expected: Sequence[Delivery], delivered: Sequence[Delivery], cursor: int) -> str | None:
    """What is wrong with deliveries: up to the cursor they must be complete, after it a beginning."""
    for index, (should, did) in enumerate(zip_longest(expected, delivered)):
        if did is None:
            missed = should.revision <= cursor
            return f"passed {cursor} without {should}" if missed else None
        if should != did:
            return f"delivered {did} as number {index}, not {should}"
    return None


def _initial(
    timelines: Timelines, watch: Watching, delivered: Sequence[Delivery], until: int, cursor: int
) -> str | None:
    """The entries of a moment while it was entered, in the order of their revisions, and what came after it."""
    timeline = timelines[watch.address]
    first = timelines.acknowledged_before(watch.address, watch.asked)
    last = timeline.floor(watch.entered + SLACK)
    problem: str | None = "has no moment to begin at"
    for moment in [first, *(commit.revision for commit in timeline.between(first, last))]:
        after = max(until, moment) if cursor else until
        expected = [each for each in _present(timeline, watch, moment) if each in delivered or not _due(timeline, each)]
        expected += timeline.expected(watch.patterns, "changes", moment, after)
        problem = _differs(expected, delivered, max(cursor, moment) if cursor else 0)
        if problem is None:
            return None
    # It may have been given the entries of a history that is lost.
    return None if timelines.history.excused(watch.address, watch.asked, watch.entered) else problem


def _live(timelines: Timelines, watch: Watching, delivered: Sequence[Delivery], asked: Asked) -> str | None:
    """What is called back begins at a moment that is not told: before every commit that is asked for once it is live."""
    timeline = timelines[watch.address]
    cursor = watch.cursor if watch.end == "closed" and not timelines.lost(watch.address, watch.cursor) else 0
    until = max([cursor, *(each.revision for each in delivered)])
    first = timelines.acknowledged_before(watch.address, watch.asked)
    last = min([timeline.floor(watch.entered + SLACK), *(each - 1 for each in _following(asked, watch))])
    problem: str | None = None
    for moment in [first, *(commit.revision for commit in timeline.between(first, last))]:
        expected = [_as_told(watch, each) for each in timeline.expected(watch.patterns, "changes", moment, until)]
        problem = _differs(expected, delivered, cursor)
        if problem is None:
            return None
    return None if timelines.history.excused(watch.address, watch.asked, watch.entered) else problem


def _as_told(watch: Watching, delivery: Delivery) -> Delivery:
    """A memory does not tell versions and creations."""
    return delivery._replace(version=0, created=False) if watch.kind == "memory" else delivery


def _present(timeline: Timeline, watch: Watching, moment: int) -> list[Delivery]:
    held = timeline.snapshot(watch.patterns, moment)
    shown = [
        Delivery(path, "set", each.revision, each.version, each.mark, None, each.version == 1, each.agent)
        for path, each in held.items()
    ]
    return sorted(shown, key=lambda each: (each.revision, each.path))


def _due(timeline: Timeline, present: Delivery) -> bool:
    """Whether the deadline of an entry may have passed: then it is not shown, even before that is journaled."""
    held = timeline.at(present.path, present.revision)
    return held is not None and is_mortal(present.path, held)


def _first_asked(timelines: Timelines) -> Asked:
    """For each context the acknowledged commits that stand, as (asked, revision)."""
    found: Asked = {address: [] for address, _ in timelines.items()}
    for call in timelines.history.calls:
        if call.ok and call.reply.get("writes") and call.address in found and call.revision in timelines[call.address]:
            found[call.address].append((call.asked, call.revision))
    return {address: sorted(asked) for address, asked in found.items()}


def _following(asked: Asked, watch: Watching) -> list[int]:
    """The first commits that were asked for after a watch was entered."""
    later = asked[watch.address]
    begin = bisect_right(later, watch.entered, key=lambda each: each[0])
    return [revision for _, revision in later[begin : begin + 50]]


def _late(timelines: Timelines, watch: Watching, asked: Asked) -> str | None:
    """A watch begins before every commit that is asked for after it was entered."""
    if watch.since is not None or watch.kind in ("initial", *LIVE):
        return None
    following = _following(asked, watch)
    if following and min(following) <= watch.base and not timelines.history.excused(watch.address, watch.entered):
        return f"was entered before {min(following)} was asked for, and begins after {watch.base}"
    return None


def _brief(watch: Watching) -> Watching:
    """The watch without most of its deliveries."""
    return Watching(
        watch.process, watch.name, watch.address, watch.kind, watch.patterns, watch.since, watch.asked,
        watch.entered, watch.base, watch.deliveries[-5:], watch.end, watch.ended, watch.cursor,
    )  # fmt: skip
