"""Claims against a model: agents that ask, line up, look, act late, write, release, give up and expire, in any order.

One hold at a time and the oldest ticket next, whatever an agent believes; tokens of accepted writes only grow.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, multiple, rule, run_state_machine_as_test

import ccs
from ccs._core.commits.operations import renew_op
from ccs._core.recipes.claim import Lines, Wish, site_of
from ccs._core.recipes.lease import Lease
from ccs._sync.recipes.claim import Claim
from ccs._sync.recipes.claim_taking import Taking
from ccs.types import Entry
from tests.support.waiting import counts, eventually

RESOURCES = ["a", "a/b"]
names = itertools.count()
agents, resources = st.integers(0, 3), st.sampled_from(RESOURCES)


@dataclass
class Line:
    """A resource in the model: the token that holds it, 0 for none, and the tickets in line, the oldest first."""

    holder: int = 0
    queue: list[Ticket] = field(default_factory=list)
    tokens: list[int] = field(default_factory=list)
    accepted: list[int] = field(default_factory=list)


@dataclass(eq=False)
class Ticket:
    """A waiter, and the picture that it saw last, which may be old."""

    task: ccs.Context
    resource: str
    taking: Taking
    lease: Lease
    seen: list[Entry]


class Machine(RuleBasedStateMachine):
    store: ccs.Store

    tickets = Bundle("tickets")
    holds = Bundle("holds")

    def __init__(self) -> None:
        super().__init__()
        name = f"{next(names)}"
        self.tasks = [self.store.task(name, agent=f"agent {index}") for index in range(4)]
        self.lines = {resource: Line() for resource in RESOURCES}

    @rule(target=holds, agent=agents, resource=resources)
    def ask(self, agent: int, resource: str) -> Any:
        claim, line = self.tasks[agent].claim(resource), self.lines[resource]
        try:
            claim.acquire()
        except ccs.AlreadyClaimed as refused:
            assert line.holder or line.queue
            self.check_told(refused, line)
            return multiple()
        assert not line.holder
        assert not line.queue
        return self.taken(claim)

    def check_told(self, refused: ccs.AlreadyClaimed, line: Line) -> None:
        assert (refused.holder is None) == (line.holder == 0)

    @rule(target=holds, agent=agents)
    def ask_for_any(self, agent: int) -> Any:
        free = [name for name, line in self.lines.items() if not line.holder and not line.queue]
        claim = self.tasks[agent].claim_any(RESOURCES)
        assert (claim and claim.resource) == (free[0] if free else None)
        return self.taken(claim) if claim else multiple()

    def taken(self, claim: Claim) -> Claim:
        line = self.lines[claim.resource]
        assert claim.held
        assert claim.token > max(line.tokens, default=0)
        line.tokens.append(claim.token)
        line.holder = claim.token
        return claim

    @rule(target=tickets, agent=agents, resource=resources)
    def line_up(self, agent: int, resource: str) -> Ticket:
        task = self.tasks[agent]
        taking = task.claim(resource)._new_taking()
        (lease,) = taking.line_up().values()
        ticket = Ticket(task, resource, taking, lease, [])
        self.lines[resource].queue.append(ticket)
        self.look(ticket)
        return ticket

    @rule(ticket=tickets)
    def look(self, ticket: Ticket) -> None:
        ticket.seen = list(self.tasks[0].snapshot(*site_of(ticket.resource).patterns).values())

    @rule(target=holds, ticket=tickets)
    def look_and_step_up(self, ticket: Ticket) -> Any:
        self.look(ticket)
        return self.step_up(ticket)

    @rule(target=holds, ticket=tickets)
    def step_up(self, ticket: Ticket) -> Any:
        """Acts on the picture that it has seen, which may be old."""
        line, site = self.lines[ticket.resource], site_of(ticket.resource)
        chances = Wish((site,)).choose(Lines([site], ticket.seen), ticket.taking.attempt)
        if not chances:
            return multiple()
        allowed = ticket in line.queue and not line.holder
        claim = ticket.task.claim(ticket.resource)
        try:
            claim._obtain(ticket.taking, lambda: ticket.taking.in_turn(chances, {ticket.lease.path: ticket.lease}))
        except ccs.Conflict:
            assert not allowed
            return multiple()
        assert allowed
        assert line.queue.pop(0) is ticket, "somebody else was first in line"
        return self.taken(claim)

    @rule(ticket=consumes(tickets))
    def give_up(self, ticket: Ticket) -> None:
        if ticket in self.lines[ticket.resource].queue:
            self.lines[ticket.resource].queue.remove(ticket)
            ticket.task.handle.let_go(ticket.lease)
            ticket.taking.withdraw()

    @rule(ticket=tickets)
    def ticket_lapses(self, ticket: Ticket) -> None:
        if ticket in self.lines[ticket.resource].queue:
            self.lapse(ticket.lease)
            self.lines[ticket.resource].queue.remove(ticket)

    @rule(claim=holds)
    def hold_lapses(self, claim: Claim) -> None:
        """Its process is stopped, or dead: nothing is renewed, and it does not know that."""
        if self.is_holder(claim) and claim._lease:
            self.lapse(claim._lease)
            self.lines[claim.resource].holder = 0
            assert claim.held

    def lapse(self, lease: Lease) -> None:
        self.tasks[0].handle.let_go(lease)
        self.tasks[0].handle.commit([renew_op(lease.path, 1)])
        eventually(lambda: self.tasks[0].entry(lease.path) is None)

    def is_holder(self, claim: Claim) -> bool:
        return claim.token == self.lines[claim.resource].holder

    @rule(claim=holds)
    def write(self, claim: Claim) -> None:
        line = self.lines[claim.resource]
        try:
            claim.context.set(f"written/{claim.resource}", claim.token)
        except ccs.ClaimLost:
            assert not self.is_holder(claim)
        else:
            assert self.is_holder(claim), "a write of a holder of the past"
            line.accepted.append(claim.token)

    @rule(claim=consumes(holds))
    def release(self, claim: Claim) -> None:
        try:
            claim.release()
        except ccs.ClaimLost:
            assert not self.is_holder(claim)
        else:
            assert self.is_holder(claim)
            self.lines[claim.resource].holder = 0

    def teardown(self) -> None:
        task = self.tasks[0]
        assert {info.resource: info.token for info in task.claims()} == {
            resource: line.holder for resource, line in self.lines.items() if line.holder
        }
        waiting = {ticket.lease.path for line in self.lines.values() for ticket in line.queue}
        assert set(task.paths("@waiting/**")) == waiting, "a ticket was left behind, or has gone"
        for line in self.lines.values():
            assert line.accepted == sorted(line.accepted)
            assert line.tokens == sorted(set(line.tokens))
        for lease in [ticket.lease for line in self.lines.values() for ticket in line.queue]:
            task.handle.let_go(lease)


def test_claims_keep_their_promises_whatever_their_holders_do(valkey: str, namespace: str) -> None:
    with ccs.connect(valkey, namespace=namespace) as store:
        Machine.store = store
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            Machine,
            settings=settings(
                max_examples=counts(25, 1500),
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
