"""Agreement among agents that act on old pictures, die, come back, leave, and time out.

There is at most one decision; it follows from the votes; no vote changes, and none comes after it.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

import ccs
from ccs._core.codec import encode
from ccs._core.commits.operations import delete_op, set_op
from ccs._core.recipes.agreement import ballot_of, next_action
from ccs._core.recipes.guarded_commit import GuardedCommit
from ccs._core.recipes.presence import agents_in, written
from tests.recipes.team import expire
from tests.support.waiting import counts

ABC = ["a", "b", "c"]
ROOT = "@agreements/n"
names = itertools.count()


class Agent:
    """A party, with what it has seen; it may vote otherwise each time, and only its first vote may count."""

    def __init__(self, task: ccs.Context) -> None:
        self.task, self.seen = task, set[str]()
        self.look()

    def look(self) -> None:
        self.view = dict(self.task.snapshot(f"{ROOT}/**", "@members/*"))
        self.seen |= agents_in(self.view)

    def act(self, parties: list[str], vote: bool) -> GuardedCommit | ccs.Decision | None:
        """Acts on the picture that it saw last, which may be old."""
        step = next_action(ballot_of("n", parties, self.task.agent, vote, 600), self.view, self.seen)
        if isinstance(step, GuardedCommit):
            try:
                self.task.handle.commit(step.operations, step.guards)
            except ccs.Conflict:
                self.look()
        return step


class Machine(RuleBasedStateMachine):
    store: ccs.Store

    def __init__(self) -> None:
        super().__init__()
        name = f"{next(names)}"
        self.parties = ABC
        self.agents = {party: Agent(self.store.task(name, agent=party)) for party in self.parties}
        self.task = self.agents["a"].task
        self.told: list[ccs.Decision] = []
        self.late = self.left = False

    votes = st.sampled_from([True, True, True, False])
    parties_ = st.sampled_from(ABC)

    @rule(party=parties_)
    def look(self, party: str) -> None:
        self.agents[party].look()

    @rule(party=parties_, vote=votes)
    def act_on_what_it_saw(self, party: str, vote: bool) -> None:
        step = self.agents[party].act(self.parties, vote)
        if isinstance(step, ccs.Decision):
            self.told.append(step)

    @rule(party=parties_, vote=votes)
    def look_and_act(self, party: str, vote: bool) -> None:
        self.look(party)
        self.act_on_what_it_saw(party, vote)

    @rule(party=parties_, vote=votes)
    def act_twice(self, party: str, vote: bool) -> None:
        """Acts again on the same picture: it was restarted, and does not know that it has acted."""
        view = self.agents[party].view
        self.act_on_what_it_saw(party, vote)
        self.agents[party].view = view
        self.act_on_what_it_saw(party, not vote)

    @rule()
    def all_look(self) -> None:
        for party in self.parties:
            self.look(party)

    @rule()
    def run_out_of_time(self) -> None:
        self.late = self.late or self.task.exists(f"{ROOT}/deadline")
        expire(self.task, f"{ROOT}/deadline")

    @rule(party=parties_, stays=st.booleans())
    def join_or_leave(self, party: str, stays: bool) -> None:
        self.left = self.left or not stays
        path = f"@members/{party}"
        operation = set_op(path, encode(written(None, 60_000, None))) if stays else delete_op(path)
        self.commit(self.agents[party].task, operation)

    def commit(self, task: ccs.Context, operation: Any) -> None:
        task.handle.commit([operation])

    @invariant()
    def all_who_were_told_were_told_the_same(self) -> None:
        assert self.told == self.told[:1] * len(self.told)

    def teardown(self) -> None:
        """All parties come back, and after a while the time is up."""
        for _ in range(2):
            for agent in self.agents.values():
                agent.look()
                agent.act(self.parties, True)
        self.run_out_of_time()
        for party in self.parties * 2:
            self.look_and_act(party, True)
        assert len(self.told) >= 3
        self.all_who_were_told_were_told_the_same()
        self.check_history(self.told[0])

    def check_history(self, decision: ccs.Decision) -> None:
        decided = self.task.history(f"{ROOT}/decision")
        assert [change.version for change in decided] == [1], "it was decided more than once"
        votes = self.task.history(f"{ROOT}/votes/*")
        assert [change.op for change in votes] == ["set"] * len({change.path for change in votes}), "a vote changed"
        assert all(change.revision <= decided[0].revision for change in votes), "somebody voted after the decision"
        ended = [change.revision for change in self.task.history(f"{ROOT}/deadline") if change.op == "expire"]
        assert all(change.revision < ended[0] for change in votes if ended), "a vote came late, and counted"
        cast = {change.agent: change.value["vote"] for change in votes}
        assert decision.votes == cast, "it was decided on other votes than there were"
        all_yes = cast == dict.fromkeys(self.parties, True)
        assert decision.committed == all_yes
        if not self.late and not self.left and all(cast.values()):
            assert decision.committed, "it aborted without a reason"


def test_whatever_the_parties_do_there_is_one_decision(valkey: str, namespace: str) -> None:
    with ccs.connect(valkey, namespace=namespace) as store:
        Machine.store = store
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            Machine,
            settings=settings(
                max_examples=counts(20, 2000),
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )


@pytest.fixture
def agents(valkey: str, namespace: str) -> Iterator[dict[str, Agent]]:
    with ccs.connect(valkey, namespace=namespace) as store:
        yield {party: Agent(store.task("t", agent=party)) for party in ABC}


def votes_of(agents: dict[str, Agent]) -> list[str]:
    return [change.agent for change in agents["a"].task.history(f"{ROOT}/votes/*")]


def test_a_vote_that_comes_late_is_refused_though_its_party_believed_there_was_time(agents: dict[str, Agent]) -> None:
    agents["a"].act(ABC, True)
    agents["b"].look()
    expire(agents["a"].task, f"{ROOT}/deadline")
    agents["b"].act(ABC, True)
    assert votes_of(agents) == ["a"]


def test_a_decision_rests_on_votes_that_are_still_all_there_are(agents: dict[str, Agent]) -> None:
    agents["a"].act(ABC, True)
    agents["b"].look()
    agents["c"].look()
    agents["c"].act(ABC, True)
    agents["b"].act(ABC, False)
    assert not agents["a"].task.exists(f"{ROOT}/decision"), "it was decided without regard to a vote that was there"
    agents["b"].act(ABC, False)
    assert agents["a"].task.get(f"{ROOT}/decision")["votes"] == {"a": True, "b": False, "c": True}


def test_nobody_votes_after_the_decision(agents: dict[str, Agent]) -> None:
    agents["a"].act(ABC, True)
    agents["c"].look()
    agents["b"].look()
    agents["b"].act(ABC, False)
    agents["c"].act(ABC, True)
    assert votes_of(agents) == ["a", "b"]
