"""All memories of a context under random calls of several agents, against a model: every read sees every write before it.

Little history is kept, so that the copies that searches are answered from are left behind again and again.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

import ccs
from tests.memory.minds import check_found, embed, ranking, vector_of
from tests.support.blocked import open_in
from tests.support.colours import COLOURS
from tests.support.waiting import counts, eventually

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)

names = itertools.count()
agents = st.integers(0, 2)
ids = st.sampled_from(["a", "b", "c/d", "e"])
minutes = st.integers(0, 12)

SETTINGS = settings(
    max_examples=counts(12, 500), stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


class Machine(RuleBasedStateMachine):
    stores: list[Any]

    def __init__(self) -> None:
        super().__init__()
        name = f"{next(names)}"
        self.tasks = [store.task(name, keep_commits=4) for store in self.stores]
        self.said = itertools.count()
        self.facts: dict[str, tuple[str, bool]] = {}  # the content, and whether it was superseded
        self.episodes: dict[str, tuple[datetime, str]] = {}
        self.procedures: dict[str, tuple[str, float]] = {}
        self.even: dict[str, bool] = {}  # the metadata of those facts that have some
        self.turned: set[str] = set()  # what has been embedded anew, the other way round

    def new(self) -> str:
        return f"text {next(self.said)}"

    def vectors(self, texts: dict[str, str]) -> dict[str, list[float]]:
        """Returns the vector by which each memory is found now."""
        return {name: turned(text) if name in self.turned else vector_of(text) for name, text in texts.items()}

    # Facts.

    @rule(agent=agents, even=st.booleans())
    def store(self, agent: int, even: bool) -> None:
        text = self.new()
        name = self.tasks[agent].semantic.store(text, metadata={"even": even})
        self.facts[name] = text, False
        self.even[name] = even

    @rule(agent=agents, name=ids, replace=st.booleans())
    def store_as(self, agent: int, name: str, replace: bool) -> None:
        text = self.new()
        try:
            self.tasks[agent].semantic.store(text, id=name, replace=replace)
        except ccs.Conflict:
            assert name in self.facts
            assert not replace
        else:
            assert replace or name not in self.facts
            self.facts[name] = text, False
            self.turned.discard(name)

    @rule(agent=agents, name=ids)
    def supersede(self, agent: int, name: str) -> None:
        text = self.new()
        try:
            new = self.tasks[agent].semantic.store(text, supersedes=name)
        except ccs.InvalidValue:
            assert name not in self.facts
        except ccs.Conflict:
            assert self.facts[name][1]
        else:
            assert not self.facts[name][1]
            self.facts |= {name: (self.facts[name][0], True), new: (text, False)}

    @rule(agent=agents, index=st.integers(0, 20))
    def delete(self, agent: int, index: int) -> None:
        if self.facts:
            name = sorted(self.facts)[index % len(self.facts)]
            assert self.tasks[agent].semantic.get(name).content == self.facts[name][0]
            del self.facts[name]
            self.turned.discard(name)
            assert self.tasks[agent].semantic.forget(name)
            assert not self.tasks[agent].semantic.forget(name)

    @rule(agent=agents, even=st.booleans())
    def delete_matching(self, agent: int, even: bool) -> None:
        old = {name for name in self.facts if self.even.get(name) is even}
        assert self.tasks[agent].semantic.delete_matching({"even": even}) == len(old)
        self.facts = {name: each for name, each in self.facts.items() if name not in old}

    @rule(agent=agents, limit=st.integers(1, 4), even=st.none() | st.booleans())
    def list_facts(self, agent: int, limit: int, even: bool | None) -> None:
        where = None if even is None else {"even": {"$eq": even}}
        found = pages(self.tasks[agent].semantic.list, limit, where=where)
        wanted = sorted(name for name in self.facts if even is None or self.even.get(name) is even)
        assert [(fact.id, fact.content, fact.superseded_by is not None) for fact in found] == [
            (name, *self.facts[name]) for name in wanted
        ]

    @rule(agent=agents, name=ids, reader=agents)
    def store_briefly(self, agent: int, name: str, reader: int) -> None:
        """Once it is due it is no longer found, whether it was swept or not."""
        task = self.tasks[agent]
        task.semantic.store("brief", id=name, replace=True, ttl=0.03)
        self.facts.pop(name, None)
        self.turned.discard(name)
        self.tasks[reader].semantic.query("asked")
        eventually(lambda: task.semantic.get(name) is None)

    @rule(agent=agents, count=st.integers(1, 6))
    def query(self, agent: int, count: int) -> None:
        vectors = self.vectors({name: text for name, (text, superseded) in self.facts.items() if not superseded})
        found = self.tasks[agent].semantic.query("asked", count)
        check_found(found, ranking(vector_of("asked"), vectors)[:count])
        assert all(match.content == self.facts[match.id][0] for match in found)

    # Episodes.

    @rule(agent=agents, minute=minutes, most=st.none() | st.integers(1, 5))
    def record(self, agent: int, minute: int, most: int | None) -> None:
        # Each at a moment of its own, so that it is clear which is the earliest.
        text, at = self.new(), NOON + timedelta(minutes=minute, microseconds=next(self.said))
        name = self.tasks[agent].episodic.record(text, at=at, max_entries=most)
        self.episodes[name] = at, text
        if most is not None:
            self.episodes = dict(sorted(self.episodes.items(), key=lambda each: each[1])[-most:])

    @rule(agent=agents, minute=minutes, summing=st.booleans())
    def prune(self, agent: int, minute: int, summing: bool) -> None:
        text = self.new()
        before = NOON + timedelta(minutes=minute, microseconds=next(self.said))
        old = {name for name, (at, _) in self.episodes.items() if at < before}
        options: dict[str, Any] = {"summarize": lambda episodes: text} if summing else {}
        assert self.tasks[agent].episodic.prune(before, **options) == len(old)
        self.episodes = {name: each for name, each in self.episodes.items() if name not in old}
        if old and summing:
            (name,) = [each.id for each in self.tasks[agent].episodic.recent(100) if each.description == text]
            self.episodes[name] = before, text

    @rule(agent=agents, count=st.integers(1, 8))
    def recent(self, agent: int, count: int) -> None:
        expected = sorted(self.episodes.values(), reverse=True)[:count]
        assert [(each.at, each.description) for each in self.tasks[agent].episodic.recent(count)] == expected

    @rule(agent=agents, minute=minutes)
    def recent_since(self, agent: int, minute: int) -> None:
        since = NOON + timedelta(minutes=minute)
        expected = sorted(each for each in self.episodes.values() if each[0] >= since)[::-1]
        found = self.tasks[agent].episodic.recent(100, since=since)
        assert [(each.at, each.description) for each in found] == expected

    @rule(agent=agents, count=st.integers(1, 6))
    def recall_similar(self, agent: int, count: int) -> None:
        vectors = self.vectors({name: text for name, (_, text) in self.episodes.items()})
        found = self.tasks[agent].episodic.recall_similar("asked", count)
        check_found(found, ranking(vector_of("asked"), vectors)[:count])

    @rule(agent=agents, index=st.integers(0, 9))
    def forget_episode(self, agent: int, index: int) -> None:
        if self.episodes:
            name = sorted(self.episodes)[index % len(self.episodes)]
            found = self.tasks[agent].episodic.get(name)
            assert (found.at, found.description) == self.episodes.pop(name)
            assert self.tasks[agent].episodic.forget(name)
            assert not self.tasks[agent].episodic.forget(name)

    @rule(agent=agents, limit=st.integers(1, 4))
    def list_episodes(self, agent: int, limit: int) -> None:
        found = pages(self.tasks[agent].episodic.list, limit)
        assert [(each.id, (each.at, each.description)) for each in found] == sorted(self.episodes.items())

    # Procedures.

    @rule(agent=agents)
    def learn(self, agent: int) -> None:
        text = self.new()
        self.procedures[self.tasks[agent].procedural.learn(text, [])] = text, 0.5

    @rule(agent=agents, index=st.integers(0, 9), success=st.booleans())
    def reinforce(self, agent: int, index: int, success: bool) -> None:
        if self.procedures:
            name = sorted(self.procedures)[index % len(self.procedures)]
            text, before = self.procedures[name]
            after = round(min(1.0, max(0.0, before + (0.1 if success else -0.05))), 10)
            assert self.tasks[agent].procedural.reinforce(name, success) == after
            self.procedures[name] = text, after

    @rule(agent=agents, least=st.sampled_from([0.0, 0.5, 0.55]))
    def recall(self, agent: int, least: float) -> None:
        vectors = self.vectors({name: text for name, (text, trust) in self.procedures.items() if trust >= least})
        found = self.tasks[agent].procedural.recall("asked", 100, min_confidence=least)
        check_found(found, ranking(vector_of("asked"), vectors))
        assert all(each.confidence == self.procedures[each.id][1] for each in found)

    @rule(agent=agents, index=st.integers(0, 9))
    def forget_procedure(self, agent: int, index: int) -> None:
        if self.procedures:
            name = sorted(self.procedures)[index % len(self.procedures)]
            found = self.tasks[agent].procedural.get(name)
            assert (found.name, found.confidence) == self.procedures.pop(name)
            assert self.tasks[agent].procedural.forget(name)
            assert not self.tasks[agent].procedural.forget(name)

    @rule(agent=agents, limit=st.integers(1, 4))
    def list_procedures(self, agent: int, limit: int) -> None:
        found = pages(self.tasks[agent].procedural.list, limit)
        assert [(each.id, (each.name, each.confidence)) for each in found] == sorted(self.procedures.items())

    # All of them.

    @rule(agent=agents, turn=st.booleans())
    def reembed(self, agent: int, turn: bool) -> None:
        searched = {name for name, (_, superseded) in self.facts.items() if not superseded}
        searched |= self.episodes.keys() | self.procedures.keys()
        made = self.tasks[agent].semantic.reembed((lambda texts: list(map(turned, texts))) if turn else None)
        assert made == len(searched)
        self.turned = searched if turn else set()

    # The rest of the world.

    @rule(agent=agents, times=st.sampled_from([1, 3, 40]))
    def write_elsewhere(self, agent: int, times: int) -> None:
        for i in range(times):
            self.tasks[agent].set("elsewhere", i)

    @rule(agent=agents)
    def drop(self, agent: int) -> None:
        self.tasks[agent].drop()
        self.facts, self.episodes, self.procedures = {}, {}, {}


def turned(text: str) -> list[float]:
    """Returns the vector of another model."""
    return vector_of(text)[::-1]


def pages(list_of: Callable[..., list[Any]], limit: int, **options: Any) -> list[Any]:
    """Returns all memories, page by page."""
    found: list[Any] = []
    while page := list_of(limit=limit, after=found[-1].id if found else None, **options):
        found += page
    return found


@pytest.mark.parametrize("colour", COLOURS)
def test_every_read_sees_every_write_before_it(valkey: str, namespace: str, colour: str) -> None:
    """G3, G4, G9, G10."""
    options: dict[str, Any] = {"namespace": namespace, "embed": embed}
    with (
        open_in(colour, valkey, agent="0", **options) as one,
        open_in(colour, valkey, agent="1", **options) as two,
        open_in(colour, valkey, agent="2", **options) as three,
    ):
        machine = type("Machine", (Machine,), {"stores": [one, two, three]})
        run_state_machine_as_test(machine, settings=SETTINGS)
