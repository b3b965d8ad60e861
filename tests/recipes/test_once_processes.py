"""Run-once among real processes: many ask at once, and some are killed or stopped during a run."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import pytest

import ccs
from tests.embedded.players import crowd
from tests.recipes.once_players import KEY, together, until_told
from tests.support.waiting import counts, eventually, scaled


@pytest.fixture
def task(valkey: str, namespace: str) -> Any:
    with ccs.connect(valkey, namespace=namespace, agent="the second") as store:
        yield store.task("t")


def test_fifty_callers_in_ten_processes_get_the_result_of_one_run(valkey: str, namespace: str, task: Any) -> None:
    with crowd(10) as players:
        for turn in range(1, counts(1, 20) + 1):
            task.drop()
            for player in players:
                player.begin(together, valkey, namespace, 5)
            found = [result for player in players for result in player.result()]
            assert len(found) == 50
            assert found == [found[0]] * 50
            assert found[0]["by"] in [player.pid for player in players]
            assert task.get("runs") == 1, f"in turn {turn}"


class Waiting:
    """A caller in a thread, and its result."""

    def __init__(self, task: Any, result: str, lease: float) -> None:
        self.began: int | None = None
        self.found: Any = None
        self._go = threading.Event()

        def run(*, token: int) -> str:
            self.began = token
            assert self._go.wait(scaled(20))
            return result

        def call() -> None:
            self.found = task.once(KEY, run, lease=lease)

        self.thread = threading.Thread(target=call, daemon=True)
        self.thread.start()

    def finish(self) -> Any:
        self._go.set()
        self.thread.join(scaled(20))
        assert not self.thread.is_alive()
        return self.found


@pytest.mark.parametrize("lease", [0.5, 1.0])
def test_when_the_runner_is_killed_a_waiting_caller_takes_over_after_its_lease(
    valkey: str, namespace: str, task: Any, lease: float
) -> None:
    with crowd(1) as (runner,):
        runner.begin(until_told, valkey, namespace, lease)
        eventually(lambda: task.get("pid") == runner.pid)
        waiting = [Waiting(task, "the second", 60.0) for _ in range(5)]
        deadline = task.entry("@runs/k").expires_at
        runner.kill()
        eventually(lambda: [each for each in waiting if each.began])
        first, *others = sorted(waiting, key=lambda each: each.began is None)
        assert [each.began for each in others] == [None] * 4
        begun = next(change for change in task.history("@runs/k") if change.revision == first.began)
        assert begun.at >= deadline, "it began before the lease had lapsed"
        first.finish()
        assert {each.finish() for each in waiting} == {"the second"}
    ended = [change.op for change in task.history("@runs/k")]
    assert ended == ["set", "expire", "set", "delete"]


@pytest.mark.parametrize("finished", [True, False], ids=["the other is done", "the other still runs"])
def test_a_runner_that_was_stopped_past_its_lease_is_shut_out(
    valkey: str, namespace: str, task: Any, finished: bool
) -> None:
    with crowd(1) as (runner,):
        runner.begin(until_told, valkey, namespace, 0.2)
        eventually(lambda: task.get("pid") == runner.pid)
        os.kill(runner.pid, signal.SIGSTOP)
        try:
            waiting = Waiting(task, "the second", 60.0)
            eventually(lambda: waiting.began)
            if finished:
                assert waiting.finish() == "the second"
            task.set("go", True)
        finally:
            os.kill(runner.pid, signal.SIGCONT)
        assert runner.result() == ("the second" if finished else "ClaimLost")
        assert waiting.finish() == "the second"
        assert task.once(KEY, lambda: "never") == "the second"
