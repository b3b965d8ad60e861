"""Presence, agreements and barriers among real processes: some are killed, some are stopped for a while."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest

import ccs
from tests.embedded.players import crowd
from tests.recipes.team import hold_everything, pass_barrier, stay, vote_briefly, vote_yes
from tests.support.waiting import eventually, scaled


@pytest.fixture
def task(valkey: str, namespace: str) -> Iterator[Any]:
    with ccs.connect(valkey, namespace=namespace, agent="a") as store:
        yield store.task("t")


def agents(task: Any) -> list[str]:
    return sorted(member.agent for member in task.members())


def test_a_killed_agent_leaves_within_its_ttl(valkey: str, namespace: str, task: Any) -> None:
    with crowd(2) as (first, second), task.watch("@members/*") as changes:
        first.begin(stay, valkey, namespace, "first", 1.0)
        second.begin(stay, valkey, namespace, "second", 1.0)
        eventually(lambda: agents(task) == ["first", "second"])
        (seen,) = [member.seen_at for member in task.members() if member.agent == "first"]
        first.kill()
        gone = changes.receive(timeout=scaled(10))
        while gone.op == "set":
            gone = changes.receive(timeout=scaled(10))
        assert (gone.op, gone.agent) == ("expire", "first")
        assert gone.at >= seen + timedelta(seconds=0.99)
        assert agents(task) == ["second"]
        task.set("go", True)
        assert second.result() == 1
    assert agents(task) == []


def test_leases_of_a_killed_agent_end_when_its_presence_ends(valkey: str, namespace: str, task: Any) -> None:
    """Within the ttl of its presence, though the leases are for a minute."""
    task.send("role", "do this")
    with crowd(1) as (mortal,):
        mortal.begin(hold_everything, valkey, namespace, 0.8)
        task.wait_for("held", timeout=scaled(20))
        mortal.kill()
        with task.claim("resource", wait=scaled(20)), task.inbox("role") as inbox:
            message = inbox.receive(timeout=scaled(20))
            assert (message.content, message.attempts) == ("do this", 2)
            message.ack()
        assert task.once("key", lambda: "the next", timeout=scaled(20)) == "the next"
        assert agents(task) == []


def test_leases_of_a_present_agent_are_kept_for_longer_than_its_ttl(valkey: str, namespace: str, task: Any) -> None:
    task.send("role", "do this")
    with crowd(1) as (holder,):
        holder.begin(hold_everything, valkey, namespace, 0.4)
        held = task.wait_for("held", timeout=scaled(20)).updated_at
        eventually(lambda: max(member.seen_at for member in task.members()) > held + timedelta(seconds=1.2))
        with pytest.raises(ccs.AlreadyClaimed), task.claim("resource"):
            pass
        with task.inbox("role") as inbox, pytest.raises(TimeoutError):
            inbox.receive(timeout=0.1)
        with pytest.raises(TimeoutError):
            task.once("key", lambda: "the next", timeout=0.1)
        task.set("go", True)
        holder.result()


def test_an_agent_that_was_stopped_past_its_ttl_leaves_and_joins_again(valkey: str, namespace: str, task: Any) -> None:
    with crowd(1) as (sleeper,):
        sleeper.begin(stay, valkey, namespace, "sleeper", 0.5)
        eventually(lambda: agents(task) == ["sleeper"])
        os.kill(sleeper.pid, signal.SIGSTOP)
        try:
            eventually(lambda: agents(task) == [])
        finally:
            os.kill(sleeper.pid, signal.SIGCONT)
        eventually(lambda: agents(task) == ["sleeper"])
        task.set("go", True)
        assert sleeper.result() == 2
    assert agents(task) == []


def test_a_vote_counts_though_its_party_was_killed_and_it_reads_the_decision_when_it_is_back(
    valkey: str, namespace: str, task: Any
) -> None:
    with crowd(2) as (mortal, back):
        mortal.begin(vote_yes, valkey, namespace, "b", ["a", "b"])
        eventually(lambda: task.exists("@agreements/n/votes/b"))
        mortal.kill()
        decision = task.agree("n", parties=["a", "b"], timeout=scaled(30))
        assert decision.committed
        assert back.ask(vote_yes, valkey, namespace, "b", ["a", "b"]) == decision


def test_when_the_waiting_parties_are_killed_a_later_one_decides(valkey: str, namespace: str, task: Any) -> None:
    with crowd(1) as (mortal,):
        mortal.begin(vote_briefly, valkey, namespace, "b", ["a", "b", "c"])
        eventually(lambda: task.exists("@agreements/n/votes/b"))
        mortal.kill()
        eventually(lambda: not task.exists("@agreements/n/deadline"))
        assert not task.exists("@agreements/n/decision")
        decision = task.agree("n", parties=["a", "b", "c"], timeout=scaled(30))
        assert (decision.committed, decision.votes) == (False, {"b": True})


def test_a_party_that_is_killed_before_it_votes_aborts_when_its_presence_ends(
    valkey: str, namespace: str, task: Any
) -> None:
    with crowd(1) as (mortal,):
        mortal.begin(stay, valkey, namespace, "b", 0.5)
        eventually(lambda: agents(task) == ["b"])
        mortal.kill()
        began = time.monotonic()
        decision = task.agree("n", parties=["a", "b"], timeout=scaled(60))
        assert (decision.committed, decision.reason) == (False, "'b' left without a vote")
        assert time.monotonic() - began < scaled(30), "it waited for the deadline"


def test_the_arrival_of_a_killed_process_does_not_count(valkey: str, namespace: str, task: Any) -> None:
    with crowd(2) as (mortal, other):
        mortal.begin(pass_barrier, valkey, namespace, 3, scaled(30))
        eventually(lambda: len(task.paths("@barriers/b/*")) == 1)
        mortal.kill()
        eventually(lambda: not task.paths("@barriers/b/*"))
        other.begin(pass_barrier, valkey, namespace, 3, scaled(30))
        eventually(lambda: len(task.paths("@barriers/b/*")) == 1)
        with pytest.raises(TimeoutError):
            task.barrier("b", parties=3, timeout=0.3)
        assert len(task.paths("@barriers/b/*")) == 1
        other.kill()


def test_whether_processes_pass_or_time_out_is_the_same_for_all(valkey: str, namespace: str, task: Any) -> None:
    with crowd(4) as players:
        for player, timeout in zip(players, (0.2, 0.4, 20, 20), strict=True):
            player.begin(pass_barrier, valkey, namespace, 4, timeout)
        eventually(lambda: task.exists("@barriers/b"))
        short = [player.result() for player in players[:2]]
        if "passed" in short:
            assert short == ["passed"] * 2
        else:
            again = [pass_barrier] * 2
            for player, function in zip(players, again, strict=False):
                player.begin(function, valkey, namespace, 4, 20)
        assert [player.result() for player in players[2:]] == ["passed"] * 2
