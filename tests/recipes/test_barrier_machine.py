"""Barriers among agents that act on old pictures, die, give up, and come back.

An agent that gave up does not count; one that passed did so after enough living ones had arrived; it opens once.
"""

from __future__ import annotations

import itertools

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

import ccs
from ccs._core.recipes.barrier import arrival_at, is_open, next_action, withdrawal
from tests.recipes.team import expire
from tests.support.waiting import counts

ROOT, PARTIES = "@barriers/b", 3
names = itertools.count()
indexes = st.integers(0, 4)


class Arriving:
    """An agent on its way through the barrier, and the picture that it has seen."""

    def __init__(self, task: ccs.Context, id: str) -> None:
        self.task, self.arrival = task, arrival_at("b", id, PARTIES, 600)
        self.outcome = ""
        self.look()

    def look(self) -> None:
        self.view = dict(self.task.snapshot(ROOT, f"{ROOT}/**"))

    def act(self) -> None:
        """Acts on the picture that it saw last, which may be old."""
        if is_open(self.view.get(ROOT)):
            self.outcome = self.outcome or "passed"
        elif not self.outcome and (step := next_action(self.arrival, self.view)):
            self.commit(step)

    def give_up(self) -> None:
        """Its time is up: it is taken back, or has counted."""
        while not self.outcome:
            if is_open(self.view.get(ROOT)):
                self.outcome = "passed"
            elif self.commit(withdrawal(self.arrival, self.view.get(ROOT))):
                self.outcome = "gave up"

    def commit(self, step: object) -> bool:
        operations, guards, _ = step  # type: ignore[misc]
        try:
            self.task.handle.commit(operations, guards)
        except ccs.Conflict:
            self.look()
            return False
        return True


class Machine(RuleBasedStateMachine):
    store: ccs.Store

    def __init__(self) -> None:
        super().__init__()
        self.task = self.store.task(f"{next(names)}")
        self.ids = itertools.count()
        self.all: list[Arriving] = []
        self.here = [self.come() for _ in range(5)]

    def come(self) -> Arriving:
        self.all.append(Arriving(self.task, f"{next(self.ids)}"))
        return self.all[-1]

    @rule(index=indexes, fresh=st.booleans())
    def act(self, index: int, fresh: bool) -> None:
        if fresh:
            self.here[index].look()
        self.here[index].act()

    @rule(index=indexes, fresh=st.booleans())
    def give_up(self, index: int, fresh: bool) -> None:
        """Gives up, and another agent arrives instead."""
        if fresh:
            self.here[index].look()
        self.here[index].give_up()
        self.here[index] = self.come()

    @rule(index=indexes)
    def lapse(self, index: int) -> None:
        """Stops it until its arrival has expired; if it wakes up again, it may act."""
        expire(self.task, self.here[index].arrival.path)

    @rule(index=indexes)
    def die(self, index: int) -> None:
        self.lapse(index)
        self.here[index] = self.come()

    @invariant()
    def nobody_passes_before_it_is_open(self) -> None:
        if any(each.outcome == "passed" for each in self.all):
            assert self.task.get(ROOT)["open"]

    def teardown(self) -> None:
        opened = [change for change in self.task.history(ROOT) if change.value["open"]]
        assert len(opened) <= 1, "it has opened twice"
        if opened:
            self.check_opening(opened[0])
        else:
            assert len(self.task.paths(f"{ROOT}/*")) < PARTIES + 2

    def check_opening(self, opened: ccs.Change) -> None:
        before = self.task.at(opened.revision - 1, f"{ROOT}/*")
        counted = {path.removeprefix(f"{ROOT}/") for path in before}
        # The one who opened it need not have been written down: it is there.
        assert len(counted) >= PARTIES - 1
        gave_up = {each.arrival.path.removeprefix(f"{ROOT}/") for each in self.all if each.outcome == "gave up"}
        assert not counted & gave_up, "one counted, and then gave up all the same"


def test_whatever_they_do_an_arrival_counts_or_is_taken_back(valkey: str, namespace: str) -> None:
    with ccs.connect(valkey, namespace=namespace) as store:
        Machine.store = store
        run_state_machine_as_test(  # type: ignore[no-untyped-call]
            Machine,
            settings=settings(
                max_examples=counts(30, 2000),
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            ),
        )
