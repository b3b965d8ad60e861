"""The journal of a context as a timeline: which entries stood when, and what a watch must have been told."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from functools import cache

from ccs._core.names.pattern import compile_patterns
from tests.torture.history import Call, Commit, Delivery, Held, History

__all__ = ["SLACK", "Timeline", "Timelines", "matcher"]

SLACK = 50_000
"""Microseconds by which a server's clock and the clock of a process may differ on one machine."""


class Timeline:
    """One context."""

    def __init__(self, commits: Sequence[Commit]) -> None:
        self.commits = commits
        self.revisions = [commit.revision for commit in commits]
        self.by_revision = {commit.revision: commit for commit in commits}
        self._when: dict[str, list[int]] = defaultdict(list)
        self._what: dict[str, list[Held | None]] = defaultdict(list)
        self._of_agent: dict[str, list[int]] = defaultdict(list)
        self._matching: dict[tuple[str, ...], list[str]] = {}
        for commit in commits:
            self._of_agent[commit.agent].append(commit.revision)
            for step in commit.steps:
                if step.op in ("set", "delete", "expire"):
                    self._when[step.path].append(commit.revision)
                    self._what[step.path].append(step.after)

    def __contains__(self, revision: int) -> bool:
        return revision in self.by_revision

    @property
    def last(self) -> int:
        """The newest revision."""
        return self.revisions[-1] if self.revisions else 0

    def floor(self, revision: int) -> int:
        """The newest revision up to this one."""
        index = bisect_right(self.revisions, revision)
        return self.revisions[index - 1] if index else 0

    def between(self, after: int, until: int) -> Sequence[Commit]:
        """The commits after a revision and up to another one."""
        return self.commits[bisect_right(self.revisions, after) : bisect_right(self.revisions, until)]

    def by(self, agent: str, after: int, until: int) -> list[Commit]:
        """The commits of an agent after a revision and up to another one."""
        own = self._of_agent.get(agent, [])
        return [self.by_revision[each] for each in own[bisect_right(own, after) : bisect_right(own, until)]]

    def at(self, path: str, revision: int) -> Held | None:
        """The entry at a path right after a revision."""
        index = bisect_right(self._when.get(path, ()), revision)
        return self._what[path][index - 1] if index else None

    def states(self, path: str, first: int, last: int) -> list[Held | None]:
        """The entries at a path from right after one revision until another one."""
        when = self._when.get(path, ())
        found = self._what.get(path, [])[bisect_right(when, first) : bisect_right(when, last)]
        return [self.at(path, first), *found]

    def moments(self, paths: Sequence[str], first: int, last: int) -> list[int]:
        """The revisions from the first to the last at which one of these paths changed, and the first."""
        found = {first}
        for path in paths:
            when = self._when.get(path, ())
            found.update(when[bisect_right(when, first) : bisect_right(when, last)])
        return sorted(found)

    def paths(self, patterns: Sequence[str]) -> list[str]:
        """The paths that match and had an entry at any time."""
        wanted = tuple(patterns)
        if wanted not in self._matching:
            matches = matcher(wanted)
            self._matching[wanted] = [path for path in self._when if matches(path)]
        return self._matching[wanted]

    def snapshot(self, patterns: Sequence[str], revision: int) -> dict[str, Held]:
        """The entries that match right after a revision."""
        found = {path: self.at(path, revision) for path in self.paths(patterns)}
        return {path: held for path, held in found.items() if held}

    def expected(self, patterns: tuple[str, ...], kind: str, after: int, until: int) -> Iterator[Delivery]:
        """What a watch must be told of the commits after a revision and up to another one, in this order."""
        matches = matcher(patterns)
        wanted = ("event",) if kind == "events" else ("set", "delete", "expire")
        for commit in self.between(after, until):
            for op, path, before, now in commit.steps:
                if op in wanted and matches(path):
                    yield delivery(commit, op, path, before, now)


def delivery(commit: Commit, op: str, path: str, before: Held | None, after: Held | None) -> Delivery:
    """What a watch is told of a step."""
    shown = after or before
    return Delivery(
        path,
        op,
        commit.revision,
        shown.version if shown and op != "event" else 0,
        after.mark if after else None,
        before.mark if before else None,
        op == "set" and before is None,
        commit.agent,
    )


@cache
def matcher(patterns: tuple[str, ...]) -> Callable[[str], bool]:
    """Whether a path matches any of these patterns, each path decided once."""
    return cache(compile_patterns(patterns).matches)


class Timelines:
    """The timelines of all contexts, and what was acknowledged there by when."""

    def __init__(self, history: History) -> None:
        self.history = history
        self._timelines = {address: Timeline(commits) for address, commits in history.journals.items()}
        self._acknowledged = {address: _rising(self._acks(address)) for address in self._timelines}

    def __getitem__(self, address: str) -> Timeline:
        return self._timelines[address]

    def __contains__(self, address: str) -> bool:
        return address in self._timelines

    def items(self) -> Iterator[tuple[str, Timeline]]:
        """The timelines by address."""
        return iter(self._timelines.items())

    def acknowledged_before(self, address: str, time: int) -> int:
        """The newest revision that still stands and was acknowledged to anybody before a time."""
        times, newest = self._acknowledged[address]
        index = bisect_left(times, time)
        return newest[index - 1] if index else 0

    def lost(self, address: str, revision: int) -> bool:
        """Whether a revision is not in the journal."""
        return bool(revision) and revision not in self._timelines[address]

    def _acks(self, address: str) -> list[tuple[int, int]]:
        timeline = self._timelines[address]
        found = [call for call in self.history.calls if call.address == address and call.ok]
        return sorted((call.answered, revision) for call in found for revision in _told(call) if revision in timeline)


def _told(call: Call) -> tuple[int, ...]:
    return (call.revision,) if call.op != "at" else ()


def _rising(acks: list[tuple[int, int]]) -> tuple[list[int], list[int]]:
    times = []
    newest = []
    best = 0
    for time, revision in acks:
        best = max(best, revision)
        times.append(time)
        newest.append(best)
    return times, newest
