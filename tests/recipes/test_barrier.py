"""Barriers: no party passes before all have arrived, and an arrival either counts or is taken back."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis
from anyio import to_thread

import ccs
from ccs._core.commits.operations import renew_op
from ccs._core.recipes.barrier import arrival_at, next_action
from tests.context.probes import gone
from tests.recipes.work import commit
from tests.support.servers import PrivateServer
from tests.support.waiting import aeventually, bounded, counts

LONG = 60.0


def wait(task: Any, name: str = "b", parties: int = 3, timeout: float = LONG, **options: Any) -> asyncio.Future[None]:
    return asyncio.ensure_future(task.barrier(name, parties=parties, timeout=timeout, **options))


async def arrivals(task: Any, name: str = "b") -> list[str]:
    found: list[str] = await task.paths(f"@barriers/{name}/*")
    return found


async def came(task: Any, count: int, name: str = "b") -> list[str]:
    async def there() -> list[str]:
        found = await arrivals(task, name)
        return found if len(found) == count else []

    found: list[str] = await aeventually(there, what=f"{count} arrivals")
    return found


async def test_it_opens_when_all_have_arrived_and_not_before(task: Any) -> None:
    first, second = wait(task), wait(task)
    await came(task, 2)
    assert not first.done()
    assert not second.done()
    assert await bounded(wait(task)) is None
    await bounded(asyncio.gather(first, second))
    assert await arrivals(task) == [], "arrivals are left behind"
    assert await task.get("@barriers/b") == {"parties": 3, "open": True}


async def test_it_opens_in_one_commit(task: Any) -> None:
    await bounded(asyncio.gather(*(wait(task) for _ in range(3))))
    opened = [change for change in await task.history("@barriers/b") if change.value["open"]]
    assert len(opened) == 1
    left = [change for change in await task.history("@barriers/b/*") if change.op == "delete"]
    assert {change.revision for change in left} == {opened[0].revision}


async def test_an_open_barrier_stays_open_for_later_callers(task: Any) -> None:
    await bounded(asyncio.gather(*(wait(task) for _ in range(3))))
    revision = await task.revision()
    await bounded(asyncio.gather(*(wait(task, timeout=0) for _ in range(4))))
    assert await task.revision() == revision, "who comes later writes something"


async def test_one_party_alone_passes_at_once(task: Any) -> None:
    await bounded(wait(task, parties=1))


async def test_a_party_that_times_out_no_longer_counts(task: Any) -> None:
    with pytest.raises(TimeoutError, match=r"1 of 2 had arrived at the barrier 'b' after 0\.05 s"):
        await bounded(wait(task, parties=2, timeout=0.05))
    assert await arrivals(task) == []
    later = wait(task, parties=2)
    await came(task, 1)
    assert not later.done(), "it counted one that had gone"
    await bounded(asyncio.gather(later, wait(task, parties=2)))


async def test_one_that_times_out_leaves_the_others_waiting(task: Any) -> None:
    first = wait(task)
    await came(task, 1)
    with pytest.raises(TimeoutError):
        await bounded(wait(task, timeout=0.1))
    await came(task, 1)
    await bounded(asyncio.gather(first, wait(task), wait(task)))


@pytest.mark.parametrize("turn", range(0, 8, counts(4, 1)))
async def test_when_time_and_opening_race_all_outcomes_agree(task: Any, turn: int) -> None:
    """Either both pass, or the late one and the one that timed out both were alone."""
    impatient = wait(task, parties=2, timeout=0.05)
    await asyncio.sleep(0.044 + turn * 0.002)  # the attack: right before the end, or right after it
    other = wait(task, parties=2, timeout=0.2)
    outcomes = await bounded(asyncio.gather(impatient, other, return_exceptions=True))
    assert {type(outcome) for outcome in outcomes} in ({type(None)}, {TimeoutError}), "one passed, the other did not"


async def test_a_party_that_died_does_not_count(task: Any) -> None:
    """Killed or stopped: nothing is renewed, and the arrival expires."""
    dead = arrival_at("b", "dead", 3, 0.3)
    step = next_action(dead, {})
    assert step
    await commit(task, step.operations, step.guards)
    task.handle.expect(300)
    survivor = wait(task)
    await aeventually(lambda: gone(task, dead.path))
    await came(task, 1)
    second = wait(task)
    await came(task, 2)
    assert not survivor.done()
    await bounded(asyncio.gather(survivor, second, wait(task)))


async def test_a_party_that_was_stopped_past_its_ttl_arrives_again(task: Any) -> None:
    first = wait(task)
    (path,) = await came(task, 1)
    await commit(task, [renew_op(path, 1)])
    task.handle.expect(1)
    await aeventually(lambda: happened(task, path, ["set", "expire", "set"]))
    await bounded(asyncio.gather(first, wait(task), wait(task)))


async def happened(task: Any, path: str, ops: list[str]) -> bool:
    return [change.op for change in await task.history(path)] == ops


async def test_another_number_for_the_same_name_is_refused(task: Any) -> None:
    first = wait(task, parties=2)
    await came(task, 1)
    with pytest.raises(ccs.InvalidValue, match="'b' is for 2 parties, not 3"):
        await bounded(wait(task, parties=3))
    assert len(await arrivals(task)) == 1
    await bounded(asyncio.gather(first, wait(task, parties=2)))
    with pytest.raises(ccs.InvalidValue):
        await bounded(wait(task, parties=3))


@pytest.mark.parametrize("parties", [0, -1, True, 2.0, None])
async def test_a_number_of_parties_that_makes_no_sense_is_refused(task: Any, parties: Any) -> None:
    with pytest.raises(ccs.InvalidValue):
        await task.barrier("b", parties=parties)


async def test_names_do_not_affect_each_other(task: Any) -> None:
    names = ["x", "x/y", "x/*", "..", "100 % {a,b}\n"]
    waiting = [wait(task, name, parties=2) for name in names]
    await aeventually(lambda: all_came(task, len(names)))
    await bounded(asyncio.gather(*waiting, *(wait(task, name, parties=2) for name in names)))


async def all_came(task: Any, count: int) -> bool:
    return len(await task.paths("@barriers/*/*")) == count


async def test_it_ends_with_its_context(task: Any) -> None:
    waiting = wait(task)
    await came(task, 1)
    await task.finish()
    with pytest.raises(ccs.ContextFinished):
        await bounded(waiting)
    await task.drop()
    waiting = wait(task)
    await came(task, 1)
    await task.drop()
    with pytest.raises(ccs.ContextGone):
        await bounded(waiting)
    assert await task.revision() == 0, "the arrival that was taken back brought the context back"


async def test_a_cancelled_party_takes_its_arrival_back(astore: ccs.aio.Store) -> None:
    """G14."""
    task = astore.task("t")
    waiting = wait(task)
    await came(task, 1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await bounded(waiting)
    assert await arrivals(task) == []


async def test_a_hundred_waiting_parties_cost_the_server_no_more_than_one(own_server: PrivateServer) -> None:
    """One command renews all, and no party polls."""
    async with ccs.aio.connect(own_server.url) as store:
        task = store.task("t")
        waiting = [wait(task, parties=101, ttl=3.0) for _ in range(100)]
        await came(task, 100)
        with own_server.client() as client:
            before = await to_thread.run_sync(scripts_run, client)
            last = max(await to_thread.run_sync(deadlines, client, task))
            await aeventually(lambda: to_thread.run_sync(all_after, client, task, last), what="all to be renewed")
            run = await to_thread.run_sync(scripts_run, client) - before
        assert 1 <= run <= 20
        await bounded(asyncio.gather(*waiting, wait(task, parties=101)))


def scripts_run(client: redis.Redis) -> int:
    """Returns how many scripts the server has run: commits, renewals and reads are scripts."""
    told: Any = client.info("commandstats")
    return sum(int(told.get(f"cmdstat_{name}", {"calls": 0})["calls"]) for name in ("eval", "evalsha"))


def deadlines(client: redis.Redis, task: Any) -> list[float]:
    found: Any = client.zrange(task.handle.keys.deadlines, 0, -1, withscores=True)
    return [score for _, score in found]


def all_after(client: redis.Redis, task: Any, moment: float) -> bool:
    return min(deadlines(client, task)) > moment
