"""Run-once against a model: agents that look, begin, succeed, fail, die and wake up late, in any order.

One run for each key and lease; all callers get the first result while it is kept; attempts are counted exactly.
"""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, precondition, rule, run_state_machine_as_test

import ccs
from ccs._core.commits.operations import renew_op
from ccs._core.recipes.once import Done, terms_of
from ccs._sync.recipes.once import Attempt, Function, Once
from tests.support.waiting import counts, eventually

KEY, RECORD, RUN = "k", "@once/k", "@runs/k"
names = itertools.count()
agents = st.integers(0, 3)


@dataclass(frozen=True)
class Model:
    """The state of the key. `record` and `lease` are identities, 0 for none; `by` is the caller that wrote the record."""

    state: str = ""
    attempts: int = 0
    input: int = 0
    outcome: Any = None
    record: int = 0
    lease: int = 0

    def step(self, wanted: int, limit: int) -> str:
        """Returns the next step of a caller, or its result."""
        if not self.record:
            return "wait" if self.lease else "begin"
        if self.input != wanted:
            return "IdempotencyMismatch"
        if self.state == "done":
            return "done"
        if self.lease:
            return "wait"
        if self.attempts < limit:
            return "begin"
        return "RetriesExhausted" if self.state == "failed" else "condemn"


class Caller:
    """One call of `once`, taken apart, with what it has seen, and with the model as it was then."""

    def __init__(self, task: ccs.Context, model: Model, wanted: int, limit: int) -> None:
        self.function, self.wanted, self.limit = Function(lambda: self.result), wanted, limit
        self.result: Any = None
        self.once = Once(task, self.function, KEY, wanted, terms_of(60, 60, limit, None, None))
        self.seen, self.model = dict(task.snapshot(RECORD, RUN)), model
        self.attempt: Attempt | None = None
        self.number = 0

    def act(self) -> str:
        """Acts on what it has seen."""
        try:
            found = self.once._act(self.seen)
        except ccs.CCSError as error:
            self.result = error
            return type(error).__name__
        self.attempt = found if isinstance(found, Attempt) else None
        self.result = found.result if isinstance(found, Done) else None
        return "wait" if found is None else "begin" if self.attempt else "done"


class Machine(RuleBasedStateMachine):
    store: ccs.Store

    callers = Bundle("callers")
    runs = Bundle("runs")

    def __init__(self) -> None:
        super().__init__()
        name = f"{next(names)}"
        self.tasks = [self.store.task(name, agent=f"agent {index}") for index in range(4)]
        self.model = Model()
        self.ids = itertools.count(1)
        self.tokens: list[int] = []

    @rule(target=callers, agent=agents, wanted=st.sampled_from([1, 1, 1, 2]), limit=st.integers(1, 4))
    def look(self, agent: int, wanted: int, limit: int) -> Caller:
        return Caller(self.tasks[agent], self.model, wanted, limit)

    @rule(target=runs, agent=agents, limit=st.integers(1, 4))
    def call(self, agent: int, limit: int) -> Caller:
        return self.act(self.look(agent, 1, limit))

    @rule(target=runs, caller=consumes(callers))
    def act(self, caller: Caller) -> Caller:
        """Acts on what it has seen, which may be old."""
        seen, now = caller.model, self.model
        expected = seen.step(caller.wanted, caller.limit)
        late = now.record != seen.record or now.lease
        found = caller.act()
        if expected == "begin" and not late:
            assert found == "begin"
            self.begin(caller, seen.attempts + 1 if seen.record else 1)
        elif expected == "condemn" and not late:
            assert found == "RetriesExhausted"
            self.model = replace(now, state="failed", outcome="did not end within its lease", record=next(self.ids))
        elif expected in ("begin", "condemn"):
            assert found == "wait", "it acted on what was not true any more"
        else:
            assert found == expected
            self.check_told(caller, found)
        return caller

    def begin(self, caller: Caller, attempts: int) -> None:
        assert caller.attempt
        assert caller.attempt.token > max(self.tokens, default=0)
        self.tokens.append(caller.attempt.token)
        caller.number = next(self.ids)
        self.model = Model("running", attempts, caller.wanted, None, caller.number, caller.number)

    def check_told(self, caller: Caller, found: str) -> None:
        if found == "done":
            assert caller.result == caller.model.outcome
        if found == "RetriesExhausted":
            assert caller.result.attempts == caller.model.attempts
            assert caller.model.outcome in caller.result.error

    @rule(caller=consumes(runs))
    def succeed(self, caller: Caller) -> None:
        if caller.attempt is None:
            return
        mine = caller.result = f"result {caller.number}"
        try:
            found = caller.once._perform(caller.attempt, (), {})
        except ccs.ClaimLost:
            found = None
        if self.model.record == caller.number:
            assert found == mine
            self.model = replace(self.model, state="done", outcome=mine, record=next(self.ids), lease=0)
        elif self.model.state == "done" and self.model.input == caller.wanted:
            assert found == self.model.outcome
        else:
            assert found is None

    @rule(caller=consumes(runs))
    def fail(self, caller: Caller) -> None:
        if caller.attempt is None:
            return
        caller.attempt.give_up(ValueError(f"error {caller.number}"))
        assert not caller.attempt.is_open
        if self.model.record == caller.number:
            outcome = f"ValueError: error {caller.number}"
            self.model = replace(self.model, state="failed", outcome=outcome, record=next(self.ids), lease=0)

    @rule(caller=runs)
    def stall(self, caller: Caller) -> None:
        """Its process is stopped, or has died: nothing is renewed until the lease has expired."""
        if caller.attempt and self.model.lease == caller.number:
            for lease in caller.attempt._leases:
                self.tasks[0].handle.let_go(lease)
            self.expire(RUN)
            self.model = replace(self.model, lease=0)

    @precondition(lambda self: self.model.record and not self.model.lease)
    @rule()
    def forget(self) -> None:
        """Lets the result expire: the key is free."""
        self.expire(RECORD)
        self.model = Model()

    def expire(self, path: str) -> None:
        self.tasks[0].handle.commit([renew_op(path, 1)])
        eventually(lambda: not self.tasks[0].exists(path))

    def teardown(self) -> None:
        told = [change.op for change in self.tasks[0].history(RUN)]
        assert told.count("set") == len(self.tokens)
        assert all((op == "set") == (index % 2 == 0) for index, op in enumerate(told)), "two leases at a time"
        assert self.tasks[0].exists(RUN) == bool(self.model.lease)


def test_run_once_keeps_its_promises_whatever_its_callers_do(valkey: str, namespace: str) -> None:
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
