"""What the tests of presence, agreements and barriers share, and functions that a `Player` runs in a process of its own."""

from __future__ import annotations

from typing import Any

import ccs
from ccs._core.commits.operations import delete_op, renew_op
from tests.support.waiting import eventually, scaled


def expire(task: ccs.Context, path: str) -> None:
    """Lets an entry expire, with a commit: one that names a due entry expires it first."""
    task.handle.commit([renew_op(path, 1)])
    eventually(lambda: not task.exists(path))
    task.handle.commit([delete_op(path)])


def stay(url: str, namespace: str, agent: str, ttl: float) -> int:
    """Joins, and stays until there is an entry `go`. Returns how often it has joined."""
    with ccs.connect(url, namespace=namespace, agent=agent) as store:
        task = store.task("t")
        with task.join("worker", ttl=ttl):
            task.wait_for("go", timeout=scaled(30))
        changes = task.history("@members/*")
        return len([change for change in changes if change.agent == agent and change.op == "set"])


def hold_everything(url: str, namespace: str, ttl: float) -> None:
    """Joins, then takes a claim, a message and the run of a key, each for a minute, and keeps them."""
    with ccs.connect(url, namespace=namespace, agent="holder") as store:
        task = store.task("t")
        with task.join(ttl=ttl), task.claim("resource", ttl=60), task.inbox("role", lease=60) as inbox:
            inbox.receive(timeout=scaled(10))
            task.once("key", _hold, task, lease=60)


def _hold(task: ccs.Context) -> None:
    task.set("held", True)
    task.wait_for("go", timeout=scaled(30))


def agree(url: str, namespace: str, agent: str, parties: list[str], joined: bool, **options: Any) -> ccs.Decision:
    """Votes, as a member or not."""
    with ccs.connect(url, namespace=namespace, agent=agent) as store:
        task = store.task("t")
        if not joined:
            return task.agree("n", parties=parties, **options)
        with task.join(ttl=0.5):
            return task.agree("n", parties=parties, **options)


def vote_yes(url: str, namespace: str, agent: str, parties: list[str]) -> ccs.Decision:
    return agree(url, namespace, agent, parties, False, timeout=scaled(30))


def vote_briefly(url: str, namespace: str, agent: str, parties: list[str]) -> ccs.Decision:
    return agree(url, namespace, agent, parties, False, timeout=1.0)


def pass_barrier(url: str, namespace: str, parties: int, timeout: float) -> str:
    """Waits at a barrier. Returns "passed" or "timed out"."""
    with ccs.connect(url, namespace=namespace) as store:
        try:
            store.task("t").barrier("b", parties=parties, timeout=timeout, ttl=0.6)
        except TimeoutError:
            return "timed out"
        return "passed"
