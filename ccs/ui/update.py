"""One update of a page: what many commits have changed, net for each path, counted for each agent."""

from __future__ import annotations

from collections import deque
from typing import Any

from ccs.types import Change, Event
from ccs.ui.rows import ROOTS, log_line, mark_of, millis, row_of_change

__all__ = ["Update"]

# Each commit is a tick of the timeline; where there are more of them, those of an agent within so many milliseconds are one.
_TICKS = 1_000
_SLOT = 200
_LOG = 80
_MARKS = 1_000
# Past this, the reader waits until the page has got what there is: the watch then reads on from the journal.
_FULL = 20_000


class Update:
    """Collects changes and events, in order, until they are told."""

    def __init__(self) -> None:
        # The last change of each path, and the last ones of all. They become text only when they are told.
        self.rows: dict[str, Change] = {}
        self.log: deque[Change | Event] = deque(maxlen=_LOG)
        self.ticks: list[list[Any]] = []
        self.marks: list[list[Any]] = []
        self.kinds: set[str] = set()
        self.commits = 0
        self.changes = 0
        self.revision = 0
        self.at = 0

    def __bool__(self) -> bool:
        return bool(self.changes)

    @property
    def full(self) -> bool:
        """Whether it holds as much as a page should get at a time."""
        return len(self.rows) + len(self.ticks) + len(self.marks) >= _FULL

    def add(self, item: Change | Event) -> None:
        """Adds the next change or event."""
        self.changes += 1
        self.at = millis(item.at)
        if item.revision != self.revision:
            self._count(item)
        if isinstance(item, Change) and item.path.startswith("@"):
            self._add_system(item)
            return
        self.log.append(item)
        if isinstance(item, Change):
            self.rows[item.path] = item

    def _count(self, item: Change | Event) -> None:
        self.commits += 1
        self.revision = item.revision
        self.ticks.append([item.agent, self.at, 1, item.revision])

    def _add_system(self, change: Change) -> None:
        kind = ROOTS.get(change.path.partition("/")[0])
        if kind:
            self.kinds.add(kind)
        mark = mark_of(change)
        if mark and len(self.marks) < _MARKS:
            self.marks.append(mark)

    def message(self) -> dict[str, Any]:
        """Returns it for the page: rows, removed paths, log, ticks (agent, time, commits, revision) and marks."""
        return {
            "rows": [row_of_change(each) for each in self.rows.values() if each.op == "set"],
            "gone": [_gone(each) for each in self.rows.values() if each.op != "set"],
            "log": [log_line(each) for each in self.log],
            "ticks": self.ticks if len(self.ticks) <= _TICKS else _merged(self.ticks),
            "marks": self.marks,
            "commits": self.commits,
            "changes": self.changes,
            "at": self.at,
        }


def _gone(change: Change) -> list[Any]:
    return [change.path, change.agent, millis(change.at), change.revision]


def _merged(ticks: list[list[Any]]) -> list[list[Any]]:
    slots: dict[tuple[str, int], list[Any]] = {}
    for agent, at, commits, revision in ticks:
        tick = slots.setdefault((agent, at // _SLOT), [agent, at, 0, 0])
        tick[2] += commits
        tick[3] = revision
    return list(slots.values())
