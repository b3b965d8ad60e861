"""Scoped memory under random calls of several agents, against a model: a dict and a list of events for each scope.

Agents share some ids, so each reads other contexts, some of which all share.
"""

from __future__ import annotations

import itertools
from contextlib import ExitStack
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

import ccs
from tests.support.blocked import open_in
from tests.support.colours import COLOURS
from tests.support.waiting import counts, eventually

SCOPES = ("workflow", "session", "actor", "global")
MEMORIES = (
    {"workflow": "1", "session": "1", "actor": "1"},
    {"workflow": "2", "session": "1"},
    {"workflow": "1", "actor": "2"},
    {"actor": "1"},
    {},
)

names = itertools.count()
memories = st.integers(0, len(MEMORIES) - 1)
agents = st.integers(0, 1)
scopes = st.none() | st.sampled_from(SCOPES)
keys = st.sampled_from(["a", "b", "a/b", "*"])
values = st.sampled_from([None, 0, "", False, [1], {"a": b"\x00"}])

Scope = tuple[str, str]

SETTINGS = settings(
    max_examples=counts(12, 400), stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


class Machine(RuleBasedStateMachine):
    open_pair: Any

    def __init__(self) -> None:
        super().__init__()
        self.stores = self.open_pair(f"{next(names)}")
        self.present: dict[Scope, dict[str, Any]] = {}
        self.past: dict[Scope, list[tuple[str, Any, Any, str]]] = {}
        self.told: list[tuple[str, list[ccs.MemoryEvent]]] = [self.listen(number) for number in range(2)]

    def listen(self, number: int) -> tuple[str, list[ccs.MemoryEvent]]:
        seen: list[ccs.MemoryEvent] = []
        memory = self.memory(number, 0)
        memory.on_change("a", "a/**", scope=SCOPES[number])(seen.append)
        memory.exists("a")  # it is live before the store's next command
        return SCOPES[number], seen

    def memory(self, agent: int, number: int) -> Any:
        return self.stores[agent].memory(**MEMORIES[number])

    def looked_through(self, number: int, scope: str | None) -> list[Scope]:
        """Returns the scopes that a call reads; `InvalidValue` is expected if there are none."""
        ids = {**MEMORIES[number], "global": ""}
        return [(name, ids[name]) for name in SCOPES if name in ids and scope in (None, name)]

    def written_through(self, number: int, scope: str | None) -> list[Scope]:
        """Returns the scopes that a call writes to; the global one only if it is named."""
        return self.looked_through(number, scope) if MEMORIES[number] or scope else []

    def write(self, scope: Scope, key: str, action: str, value: Any) -> None:
        present = self.present.setdefault(scope, {})
        self.past.setdefault(scope, []).append((key, value, present.get(key), action))
        present.pop(key, None)
        if action == "set":
            present[key] = value

    @rule(agent=agents, number=memories, scope=scopes, key=keys, value=values)
    def set(self, agent: int, number: int, scope: str | None, key: str, value: Any) -> None:
        through = self.written_through(number, scope)
        if not through:
            with pytest.raises(ccs.InvalidValue):
                self.memory(agent, number).set(key, value, scope=scope)
            return
        self.memory(agent, number).set(key, value, scope=scope)
        self.write(through[0], key, "set", value)

    @rule(agent=agents, number=memories, scope=scopes, key=keys)
    def delete(self, agent: int, number: int, scope: str | None, key: str) -> None:
        through = self.written_through(number, scope)
        if not through:
            with pytest.raises(ccs.InvalidValue):
                self.memory(agent, number).delete(key, scope=scope)
            return
        there = key in self.present.get(through[0], {})
        assert self.memory(agent, number).delete(key, scope=scope) == there
        if there:
            self.write(through[0], key, "delete", None)

    @rule(agent=agents, number=memories, scope=scopes, key=keys)
    def read(self, agent: int, number: int, scope: str | None, key: str) -> None:
        through, memory = self.looked_through(number, scope), self.memory(agent, number)
        if not through:
            with pytest.raises(ccs.InvalidValue):
                memory.get(key, scope=scope)
            return
        having = [self.present[each] for each in through if key in self.present.get(each, {})]
        found = memory.get(key, "missing", scope=scope)
        expected = having[0][key] if having else "missing"
        assert (found, type(found)) == (expected, type(expected))
        assert memory.exists(key, scope=scope) == bool(having)
        every = {key for each in through for key in self.present.get(each, {})}
        assert memory.keys(scope=scope) == sorted(every)
        assert memory.keys("?", scope=scope) == sorted(key for key in every if len(key) == 1)

    @rule(agent=agents, number=memories, scope=scopes)
    def look_back(self, agent: int, number: int, scope: str | None) -> None:
        through = self.looked_through(number, scope)
        if not through:
            return
        events = self.memory(agent, number).history(scope=scope)
        revisions = [event.revision for event in events]
        assert revisions == sorted(revisions)
        for each in through:
            found = [event for event in events if (event.scope, event.scope_id) == each]
            assert list(map(what, found)) == self.past.get(each, [])

    def teardown(self) -> None:
        for scope, seen in self.told:
            happened = self.past.get((scope, "1" if scope != "global" else ""), [])
            expected = [each for each in happened if each[0] in ("a", "a/b")]
            eventually(lambda seen=seen, expected=expected: len(seen) >= len(expected))
            assert list(map(what, seen)) == expected


def what(event: ccs.MemoryEvent) -> tuple[str, Any, Any, str]:
    return event.key, event.data, event.previous_data, event.action


@pytest.mark.parametrize("colour", COLOURS)
def test_memory_agrees_with_a_stack_of_dicts(valkey: str, namespace: str, colour: str) -> None:
    """G2, G3, G7, G8, G11."""

    stack = ExitStack()

    def open_pair(name: str) -> list[Any]:
        stack.close()
        options = {"namespace": f"{namespace}-{name}"}
        return [stack.enter_context(open_in(colour, valkey, agent=f"{i}", **options)) for i in range(2)]

    with stack:
        machine = type("Machine", (Machine,), {"open_pair": staticmethod(open_pair)})
        run_state_machine_as_test(machine, settings=SETTINGS)
