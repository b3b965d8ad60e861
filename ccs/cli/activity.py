"""What happens in a store, counted second by second: commits of contexts, writes of agents."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock

from ccs.types import Change, Event

__all__ = ["Activity", "Agent", "Counter"]

# How many seconds are remembered, and over how many a rate is taken.
_SECONDS = 60
_RATE = 5


class Counter:
    """How often something happened in each of the last seconds."""

    def __init__(self) -> None:
        self._seconds: deque[tuple[int, int]] = deque(maxlen=_SECONDS)

    def add(self, now: float) -> None:
        """Counts one."""
        second = int(now)
        if self._seconds and self._seconds[-1][0] == second:
            self._seconds[-1] = (second, self._seconds[-1][1] + 1)
        else:
            self._seconds.append((second, 1))

    def rate(self, now: float) -> float:
        """Returns how often a second, over the last whole seconds."""
        return sum(self.last(_RATE, now)) / _RATE

    def last(self, seconds: int, now: float) -> Sequence[int]:
        """Returns the counts of the last whole seconds, the latest at the end."""
        counts = dict(self._seconds)
        end = int(now)
        return [counts.get(second, 0) for second in range(end - seconds, end)]


@dataclass(slots=True)
class Agent:
    """What an agent does: how often it writes, and where and what it wrote last."""

    writes: Counter = field(default_factory=Counter)
    where: str = ""
    what: str = ""
    at: float = 0.0


class Activity:
    """What the changes and events of a store tell. One thread notes them, another one looks."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._last: dict[str, int] = {}
        self._commits: dict[str, Counter] = defaultdict(Counter)
        self._agents: dict[str, Agent] = defaultdict(Agent)
        self.total = Counter()

    def note(self, item: Change | Event, now: float) -> None:
        """Counts a change or an event."""
        with self._lock:
            if isinstance(item, Change) and item.op in ("gone", "missed"):
                self._forget(item.context)
                return
            if self._last.get(item.context) != item.revision:
                self._last[item.context] = item.revision
                self._commits[item.context].add(now)
                self.total.add(now)
            self._note_agent(item, now)

    def _forget(self, address: str) -> None:
        self._last.pop(address, None)
        self._commits.pop(address, None)

    def _note_agent(self, item: Change | Event, now: float) -> None:
        agent = self._agents[item.agent]
        agent.writes.add(now)
        agent.where = item.context
        agent.what = f"event {item.topic}" if isinstance(item, Event) else f"{item.op} {item.path}"
        agent.at = now

    def rate(self, address: str, now: float) -> float:
        """Returns the commits a second of a context."""
        with self._lock:
            return self._commits[address].rate(now) if address in self._commits else 0.0

    def recent(self, address: str, seconds: int, now: float) -> Sequence[int]:
        """Returns the commits of a context in each of the last seconds."""
        with self._lock:
            return self._commits[address].last(seconds, now) if address in self._commits else [0] * seconds

    def agents(self, now: float) -> dict[str, Agent]:
        """Returns the agents that wrote in the last minute, those that write most first."""
        with self._lock:
            for name in [name for name, agent in self._agents.items() if now - agent.at > _SECONDS]:
                del self._agents[name]
            return dict(sorted(self._agents.items(), key=lambda each: (-each[1].writes.rate(now), each[0])))
