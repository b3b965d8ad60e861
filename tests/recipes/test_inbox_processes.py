"""Inboxes among real processes: receivers that are killed or stopped in the middle of a message."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest

import ccs
from ccs._core.recipes.inbox import inbox_paths
from tests.embedded.players import crowd
from tests.recipes.inbox_players import echo, hang, hold, work, work_in_threads
from tests.support.waiting import counts, eventually, scaled


@pytest.fixture
def task(valkey: str, namespace: str) -> Iterator[ccs.Context]:
    with ccs.connect(valkey, namespace=namespace, agent="test") as store:
        yield store.task("t", keep_commits=100_000)


def test_every_message_is_acknowledged_once_although_a_receiver_is_killed(
    valkey: str, namespace: str, task: ccs.Context
) -> None:
    count = counts(100, 5000)
    with crowd(3) as (victim, *others):
        victim.begin(work, valkey, namespace, 0.5, 10)
        for index in range(count // 2):
            task.send("r", index)
        hanging = eventually(lambda: task.get("hanging"))
        for other in others:
            other.begin(work, valkey, namespace, 0.5, None)
        for index in range(count // 2, count):
            task.send("r", index)
        killed = str(victim.pid)
        victim.kill()
        eventually(lambda: not task.inbox("r").unread(), 30, "all messages to be acknowledged")
        task.finish()
        done = [content for other in others for content in other.result()]
    gone = [change for change in task.history("@inbox/r/%-/messages/*") if change.op != "set"]
    assert {change.op for change in gone} == {"delete"}
    by_others = Counter(change.previous["content"] for change in gone if change.agent != killed)
    assert by_others == Counter(done)
    assert sorted(change.previous["content"] for change in gone) == list(range(count))
    leased = [change for change in task.history(f"@inbox/r/%-/leases/{hanging}") if change.op == "set"]
    assert [change.agent == killed for change in leased] == [True, False]
    assert leased[1].at - leased[0].at >= timedelta(seconds=0.5)


def test_a_renewed_lease_outlives_its_length_and_ends_with_its_process(
    valkey: str, namespace: str, task: ccs.Context
) -> None:
    sent, lease = task.send("r", 1), scaled(0.4)
    path = inbox_paths("r").at("leases", sent.id)
    with crowd(1) as (player,):
        player.begin(hang, valkey, namespace, lease)
        eventually(lambda: task.get("hanging") == sent.id)
        held = task.entry(path)
        assert held
        eventually(lambda: ends_at(task, path) > held.created_at + timedelta(seconds=3 * lease))
        assert [change.op for change in task.history(path)] == ["set"]
        player.kill()
        last = ends_at(task, path)
        with task.inbox("r") as inbox:
            message = inbox.receive(timeout=scaled(10))
            assert (message.id, message.attempts) == (sent.id, 2)
            taken = task.history(path)[-1]
            assert timedelta() <= taken.at - last < timedelta(seconds=scaled(2))
            message.ack()


def ends_at(task: ccs.Context, path: str) -> datetime:
    """When a lease ends, as the server has it."""
    lease = task.entry(path)
    assert lease
    assert lease.expires_at
    return lease.expires_at


def test_a_receiver_that_was_stopped_past_its_lease_cannot_acknowledge(
    valkey: str, namespace: str, task: ccs.Context
) -> None:
    sent = task.send("r", 1)
    with crowd(1) as (stopped,):
        stopped.begin(hold, valkey, namespace, 0.3)
        eventually(lambda: task.get("holding") == sent.id)
        os.kill(stopped.pid, signal.SIGSTOP)
        try:
            with task.inbox("r") as inbox:
                message = inbox.receive(timeout=scaled(10))
            assert (message.id, message.attempts) == (sent.id, 2)
            task.set("go", True)
        finally:
            os.kill(stopped.pid, signal.SIGCONT)
        assert stopped.result() == "lost"
    message.ack()
    assert task.inbox("r").unread() == []


def test_messages_reach_other_receivers_when_a_process_that_is_woken_is_stopped_or_killed(
    valkey: str, namespace: str, task: ccs.Context
) -> None:
    count = counts(75, 2000)
    with crowd(4) as players:
        for player in players:
            player.begin(work_in_threads, valkey, namespace, 0.5, 8)
        eventually(lambda: len(task.paths("ready/*")) == len(players))
        killed, stopped, *others = players
        for index in range(count):
            if index == count // 3:
                os.kill(stopped.pid, signal.SIGSTOP)
            if index == count // 2:
                killed.kill()
            task.send("r", index)
        try:
            eventually(lambda: not task.inbox("r").unread(), 30, "all messages to be acknowledged")
        finally:
            os.kill(stopped.pid, signal.SIGCONT)
        task.finish()
        done = [content for player in (stopped, *others) for content in player.result()]
    assert len(done) == len(set(done)), "a message was acknowledged twice"
    gone = [change for change in task.history("@inbox/r/%-/messages/*") if change.op != "set"]
    assert sorted(change.previous["content"] for change in gone) == list(range(count))


def test_a_conversation_of_two_processes(valkey: str, namespace: str, task: ccs.Context) -> None:
    with crowd(1) as (other,):
        other.begin(echo, valkey, namespace)
        task.wait_for("listening", timeout=scaled(10))
        with task.inbox("test") as inbox:
            for index in range(50):
                asked = task.send("echo", index)
                answer = inbox.receive(timeout=scaled(10))
                assert (answer.content, answer.reply_to, answer.sender) == (index, asked.id, "echo")
                answer.ack()
        eventually(lambda: not task.paths("@inbox/**"))
        task.finish()
        other.result()
