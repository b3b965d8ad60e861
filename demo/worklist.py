"""What an analyst knows of the work that is left, kept up to date by its watch."""

from __future__ import annotations

import hashlib
import heapq
import threading
from dataclasses import dataclass, field

from ccs.types import Change
from demo.entries import CLAIMS, FilePath, Taken, Todo

__all__ = ["PATTERNS", "Work", "Worklist"]

PATTERNS = ("files/**/todo", CLAIMS, "status")


@dataclass(frozen=True, slots=True)
class Work:
    """A file that nobody holds, as far as its analyst knows."""

    place: str
    raw: bytes
    lapsed: int


@dataclass(slots=True)
class Worklist:
    """The files to do that nobody holds, in an order of this agent's own, so that agents seldom reach for the same;
    those whose claim has lapsed come first.

    Fed by one thread and emptied by another. It closes with the survey, or with the error that ended the feed.
    """

    agent: str
    todos: dict[str, bytes] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)
    lapsed: dict[str, int] = field(default_factory=dict)
    closed: bool = False
    error: BaseException | None = None
    _order: list[tuple[int, bytes, str]] = field(default_factory=list)
    _news: threading.Condition = field(default_factory=threading.Condition)

    def apply(self, change: Change) -> None:
        """Take a change of the watch in."""
        with self._news:
            if change.path == "status":
                self.closed = self.closed or change.value == "reported"
            elif change.path.startswith("@"):
                self._apply_claim(change)
            else:
                self._apply_todo(FilePath.parse(change.path).place, change)
            self._news.notify()

    def close(self, error: BaseException | None = None) -> None:
        """Nothing more will come."""
        with self._news:
            self.closed = True
            self.error = error
            self._news.notify()

    def next(self, timeout: float) -> Work | None:
        """The next file to take; `None` when the survey is over. `TimeoutError` if neither comes in time."""
        with self._news:
            while not self.closed:
                if (work := self._pop()) is not None:
                    return work
                if not self._news.wait(timeout):
                    raise TimeoutError(f"{self.agent} has heard nothing for {timeout:g} s")
            if self.error is not None:
                raise self.error
            return None

    def _apply_claim(self, change: Change) -> None:
        taken = Taken.of(change.value if change.op == "set" else change.previous)
        if change.op == "set":
            self.held.add(taken.place)
        else:
            self._apply_release(taken, change)
        self._offer(taken.place)

    def _apply_todo(self, place: str, change: Change) -> None:
        if change.op == "set":
            self.todos[place] = Todo.model_validate(change.value).raw
        else:
            self.todos.pop(place, None)
            self.lapsed.pop(place, None)
        self._offer(place)

    def _apply_release(self, taken: Taken, change: Change) -> None:
        self.held.discard(taken.place)
        if change.op == "expire" and taken.place in self.todos:
            self.lapsed[taken.place] = taken.lapsed + 1

    def _offer(self, place: str) -> None:
        if self._is_open(place):
            own = hashlib.blake2b(f"{self.agent}/{place}".encode(), digest_size=8).digest()
            heapq.heappush(self._order, (-self.lapsed.get(place, 0), own, place))

    def _is_open(self, place: str) -> bool:
        return place in self.todos and place not in self.held

    def _pop(self) -> Work | None:
        while self._order:
            *_, place = heapq.heappop(self._order)
            if self._is_open(place):
                return Work(place, self.todos[place], self.lapsed.get(place, 0))
        return None
