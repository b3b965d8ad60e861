"""Presence among agents that join, leave, die, and are stopped past their ttl: the members are the living that have joined."""

from __future__ import annotations

import itertools

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

import ccs
from tests.recipes.team import expire
from tests.support.waiting import counts, eventually

names = itertools.count()
indexes = st.integers(0, 20)


class Machine(RuleBasedStateMachine):
    stores: list[ccs.Store]

    def __init__(self) -> None:
        super().__init__()
        name = f"{next(names)}"
        self.tasks = [store.task(name) for store in self.stores]
        self.living: list[ccs.Presence] = []
        self.dead: list[ccs.Presence] = []
        self.left: list[ccs.Presence] = []

    @rule(agent=st.integers(0, 2), ttl=st.sampled_from([30.0, 60.0]))
    def join(self, agent: int, ttl: float) -> None:
        presence = self.tasks[agent].join(f"role {agent}", ttl=ttl)
        presence.enter()
        assert presence.joined
        self.living.append(presence)

    @rule(index=indexes)
    def leave(self, index: int) -> None:
        if self.living:
            presence = self.living.pop(index % len(self.living))
            presence.leave()
            self.left.append(presence)

    @rule(index=indexes)
    def die(self, index: int) -> None:
        """Stops renewing it."""
        if self.living:
            presence = self.living.pop(index % len(self.living))
            assert presence._lease
            presence._handle.let_go(presence._lease)
            expire(self.tasks[0], f"@members/{presence.id}")
            self.dead.append(presence)

    @rule(index=indexes)
    def be_stopped(self, index: int) -> None:
        """Stops it past its ttl, so that the next renewal fails."""
        if self.living:
            presence = self.living[index % len(self.living)]
            before, lease = presence.joined_at, presence._lease
            assert lease
            presence._handle.let_go(lease)
            expire(self.tasks[0], f"@members/{presence.id}")
            lease.lose()
            eventually(lambda: presence.joined and presence.joined_at != before)

    @rule(index=indexes)
    def leave_when_it_is_told(self, index: int) -> None:
        """Leaves just as it comes back."""
        if self.living:
            presence = self.living.pop(index % len(self.living))
            lease = presence._lease
            assert lease
            presence._handle.let_go(lease)
            expire(self.tasks[0], f"@members/{presence.id}")
            lease.lose()
            presence.leave()
            self.left.append(presence)

    @invariant()
    def the_members_are_the_living(self) -> None:
        wanted = {(each.id, each.agent, each.role, each.joined_at) for each in self.living}
        for task in self.tasks:
            members = task.members()
            assert {(each.id, each.agent, each.role, each.joined_at) for each in members} == wanted
            assert [each.joined_at for each in members] == sorted(each.joined_at for each in members)
        assert not any(each.joined for each in self.left)

    def teardown(self) -> None:
        for presence in self.living + self.dead:
            presence.leave()
        assert self.tasks[0].members() == []
        assert {task.handle.term(1000.0) for task in self.tasks} == {1000.0}, "a presence that is over still counts"


def test_whatever_happens_the_members_are_the_living(valkey: str, namespace: str) -> None:
    with (
        ccs.connect(valkey, namespace=namespace, agent="one") as first,
        ccs.connect(valkey, namespace=namespace, agent="two") as second,
    ):
        Machine.stores = [first, first, second]
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            Machine,
            settings=settings(
                max_examples=counts(25, 1000),
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
