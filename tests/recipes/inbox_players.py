"""Functions that the tests of inboxes run in processes of their own, by a `Player`."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor

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


def hang(url: str, namespace: str, lease: float) -> None:
    """Receives one message, renews its lease, and never acknowledges it."""
    with ccs.connect(url, namespace=namespace, agent=str(os.getpid())) as store:
        task = store.task("t")
        with task.inbox("r", lease=lease, renew=True) as inbox, inbox.receive(timeout=scaled(10)) as message:
            task.set("hanging", message.id)
            time.sleep(scaled(60))


def echo(url: str, namespace: str) -> None:
    """Answers each message, until the context is finished."""
    with ccs.connect(url, namespace=namespace, agent="echo") as store:
        task = store.task("t")
        with task.inbox("echo") as inbox:
            task.set("listening", True)
            for message in inbox:
                message.reply(message.content)
                message.ack()


def work_in_threads(url: str, namespace: str, lease: float, threads: int) -> list[int]:
    """Receives and acknowledges in many threads of one store until the context is finished; the contents."""
    with ccs.connect(url, namespace=namespace, agent=str(os.getpid())) as store:
        task = store.task("t")

        def receive() -> list[int]:
            done = []
            with task.inbox("r", lease=lease, attempts=1000) as inbox:
                for message in inbox:
                    try:
                        message.ack()
                    except (ccs.ClaimLost, ccs.ContextFinished):
                        continue  # this process stood still for too long
                    done.append(message.content)
            return done

        with ThreadPoolExecutor(threads) as pool:
            running = [pool.submit(receive) for _ in range(threads)]
            task.set(f"ready/{os.getpid()}", True)
            return [content for each in running for content in each.result()]
