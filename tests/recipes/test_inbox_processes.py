"""Inboxes among real processes: receivers that are killed or stopped in the middle of a message."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from datetime import timedelta

import pytest

import ccs
from tests.embedded.players import crowd
from tests.recipes.inbox_players import echo, hold, work
from tests.support.waiting import counts, eventually, scaled


@pytest.fixture
def task(valkey: str, namespace: str) -> Iterator[ccs.Context]:
    with ccs.connect(valkey, namespace=namespace, agent="test") as store:
        yield store.task("t", keep_commits=100_000)


def test_every_message_is_acknowledged_once_although_a_receiver_is_killed(
    valkey: str, namespace: str, task: ccs.Context
) -> None:
    count = counts(200, 5000)
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
