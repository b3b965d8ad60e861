"""Claims among real processes: many at once, some that are killed or stopped."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import Any

import pytest

import ccs
import ccs.aio
from tests.embedded.players import crowd
from tests.recipes.claim_players import (
    RESOURCE,
    be_told,
    count_up,
    forget,
    hold,
    hold_several,
    wait_for_several,
    wait_in_line,
)
from tests.recipes.holds import in_line, tickets
from tests.support.waiting import bounded, counts, eventually, scaled


@pytest.fixture
def task(valkey: str, namespace: str) -> Any:
    with ccs.connect(valkey, namespace=namespace, agent="the second") as store:
        yield store.task("t")


def test_processes_that_only_a_claim_keeps_apart_lose_no_update(valkey: str, namespace: str, task: Any) -> None:
    rounds = counts(5, 50)
    with crowd(4) as players:
        for player in players:
            player.begin(count_up, valkey, namespace, 3, rounds)
        for player in players:
            player.result()
    assert task.get("n") == 12 * rounds
    tokens = task.get("tokens")
    assert tokens == sorted(set(tokens))
    assert task.paths("@claims/**", "@waiting/**") == []


def test_the_claim_of_a_killed_process_expires_and_wakes_the_waiters(valkey: str, namespace: str, task: Any) -> None:
    with crowd(1) as (holder,):
        holder.begin(hold, valkey, namespace, 1.0)
        eventually(lambda: task.get("pid") == holder.pid)
        (before,) = task.claims()
        holder.kill()
        with task.claim(RESOURCE, wait=20) as claim:
            assert claim.token > before.token
        (lapsed,) = (change for change in task.history("@claims/**") if change.op == "expire")
        assert before.expires_at <= lapsed.at < claim_of(task, claim.token).at


def claim_of(task: Any, token: int) -> ccs.Change:
    return next(change for change in task.history("@claims/**") if change.revision == token)


def test_a_process_that_was_stopped_past_its_ttl_changes_nothing_and_knows_it_at_once(
    valkey: str, namespace: str, task: Any
) -> None:
    with crowd(1) as (holder,):
        holder.begin(hold, valkey, namespace, 1.0)
        eventually(lambda: task.get("pid") == holder.pid)
        os.kill(holder.pid, signal.SIGSTOP)
        stopped = time.monotonic()
        with task.claim(RESOURCE, wait=20) as claim:
            claim.context.set("n", "mine")
            eventually(lambda: time.monotonic() - stopped > 1.1)
            os.kill(holder.pid, signal.SIGCONT)
            assert holder.result() == {"believed": False, "write": "ClaimLost", "release": "ClaimLost"}
            assert (task.get("n"), claim.held) == ("mine", True)


def test_a_process_that_forgot_its_claim_and_was_stopped_past_its_ttl_takes_nothing_from_the_next_holder(
    valkey: str, namespace: str, task: Any
) -> None:
    with crowd(1) as (holder,):
        holder.begin(forget, valkey, namespace, 0.8)
        eventually(lambda: task.get("pid") == holder.pid)
        task.set("stop", True)
        with task.claim(RESOURCE, wait=20) as claim:
            os.kill(holder.pid, signal.SIGCONT)
            assert holder.result() == ["@claims/marker"]
            claim.context.set("n", "mine")
            assert claim.held


def test_a_process_that_forgot_its_claim_and_was_stopped_for_a_moment_gives_it_back_when_it_goes_on(
    valkey: str, namespace: str, task: Any
) -> None:
    with crowd(1) as (holder,):
        holder.begin(forget, valkey, namespace, 300.0)
        eventually(lambda: task.get("pid") == holder.pid)
        task.set("stop", True)
        eventually(lambda: is_stopped(holder.pid))
        assert [info.resource for info in task.claims()] == [RESOURCE]
        os.kill(holder.pid, signal.SIGCONT)
        assert sorted(holder.result()) == ["@claims/marker", f"@claims/{RESOURCE}"]
        with task.claim(RESOURCE):
            pass


def is_stopped(pid: int) -> bool:
    with open(f"/proc/{pid}/stat") as stat:
        return stat.read().rpartition(")")[2].split()[0] == "T"


async def test_a_waiter_that_is_killed_leaves_the_line_within_its_ttl(valkey: str, namespace: str) -> None:
    async with ccs.aio.connect(valkey, namespace=namespace) as store:
        task, done = store.task("t"), list[str]()
        with crowd(1) as (waiter,):
            claim = await task.claim(RESOURCE).acquire()
            waiter.begin(wait_in_line, valkey, namespace, 1.0)
            await in_line(task, RESOURCE, 1)

            async def wait() -> None:
                async with task.claim(RESOURCE, wait=30):
                    done.append("next")

            waiting = asyncio.create_task(wait())
            await in_line(task, RESOURCE, 2)
            (dead, _) = await tickets(task, RESOURCE)
            await asyncio.to_thread(waiter.kill)
            await claim.release()
            await bounded(waiting, 20)
        changes = await task.history("@claims/**", "@waiting/**")
        lapsed = next(change for change in changes if change.op == "expire")
        assert (lapsed.path, done) == (dead, ["next"])
        assert next(change.path for change in changes if change.revision > lapsed.revision) == f"@claims/{RESOURCE}"


def test_what_a_killed_process_held_or_waited_for_goes_to_those_behind_it(
    valkey: str, namespace: str, task: Any
) -> None:
    with crowd(2) as (holder, waiter):
        holder.begin(hold_several, valkey, namespace, scaled(1.0))
        eventually(lambda: task.get("pid") == holder.pid)
        before = max(info.token for info in task.claims())
        waiter.begin(wait_for_several, valkey, namespace, scaled(1.0))
        eventually(lambda: len(task.paths("@waiting/**")) == 2)
        holder.kill()
        waiter.kill()
        with task.claim_all(["x", "y"], wait=30) as claims, task.claim("z", slots=1, wait=30) as third:
            assert min(claim.token for claim in (*claims, third)) > before
            assert all(claim.held for claim in claims)
    assert task.paths("@claims/**", "@waiting/**") == []


def test_a_process_that_was_stopped_past_its_ttl_is_told_when_it_goes_on(
    valkey: str, namespace: str, task: Any
) -> None:
    with crowd(1) as (holder,):
        holder.begin(be_told, valkey, namespace, scaled(0.8))
        eventually(lambda: task.get("pid") == holder.pid)
        os.kill(holder.pid, signal.SIGSTOP)
        with task.claim(RESOURCE, wait=20):
            os.kill(holder.pid, signal.SIGCONT)
            assert holder.result() == [True, True]
