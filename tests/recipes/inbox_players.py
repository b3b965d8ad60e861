"""Functions that the tests of inboxes run in processes of their own, by a `Player`."""

from __future__ import annotations

import os
import time

import ccs
from tests.support.waiting import scaled


def work(url: str, namespace: str, lease: float, stop_at: int | None) -> list[int]:
    """Receives and acknowledges until the context is finished; the contents. Hangs in the message `stop_at`."""
    done = []
    with ccs.connect(url, namespace=namespace, agent=str(os.getpid())) as store:
        task = store.task("t")
        with task.inbox("r", lease=lease) as inbox:
            for message in inbox:
                if len(done) == stop_at:
                    task.set("hanging", message.id)
                    time.sleep(scaled(60))
                message.ack()
                done.append(message.content)
    return done


def hold(url: str, namespace: str, lease: float) -> str:
    """Receives one message, and acknowledges it once there is an entry `go`. Returns the outcome."""
    with ccs.connect(url, namespace=namespace, agent=str(os.getpid())) as store:
        task = store.task("t")
        message = task.inbox("r", lease=lease).receive(timeout=scaled(10))
        task.set("holding", message.id)
        task.wait_for("go", timeout=scaled(20))
        try:
            message.ack()
        except ccs.ClaimLost:
            return "lost"
    return "acknowledged"


def echo(url: str, namespace: str) -> None:
    """Answers each message, until the context is finished."""
    with ccs.connect(url, namespace=namespace, agent="echo") as store:
        task = store.task("t")
        with task.inbox("echo") as inbox:
            task.set("listening", True)
            for message in inbox:
                message.reply(message.content)
                message.ack()
