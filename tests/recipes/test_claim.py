"""Claims: exclusive, expiring, fenced, visible, and given in turn. Both colours, every kind of server."""

from __future__ import annotations

import asyncio
import time
from datetime import timedelta
from typing import Any

import pytest

import ccs
from ccs._core.codec import encode
from ccs._core.commits.operations import delete_op, set_op
from ccs._core.names.pattern import compile_patterns
from ccs._core.recipes.claim import Lines, Wish, site_of
from tests.context.probes import Open
from tests.recipes.holds import HOSTILE, expire, in_line, lapse, nothing_left, plain, queue_up, tickets, whole
from tests.recipes.work import commit
from tests.support.waiting import aeventually, bounded


@pytest.fixture
def other(shared: Any) -> Any:
    """The same context, for another agent."""
    return shared.task("t", agent="other")


async def test_a_claim_is_exclusive_and_all_see_its_holder(task: Any, other: Any) -> None:
    async with task.claim("sources/a", note={"why": "reading"}) as claim:
        assert (claim.held, claim.lost, claim.resource) == (True, False, "sources/a")
        with pytest.raises(ccs.AlreadyClaimed) as caught:
            await other.claim("sources/a").acquire()
        (info,) = await other.claims()
        assert (info.resource, info.holder, info.note) == ("sources/a", "test", {"why": "reading"})
        assert info.token == claim.token
        assert info.expires_at - info.claimed_at == pytest.approx(timedelta(seconds=30), abs=timedelta(seconds=0.1))
        assert (caught.value.resource, caught.value.holder) == ("sources/a", "test")
        assert caught.value.expires_at == info.expires_at
        entry = await other.entry("@claims/sources/a")
        assert (entry.value["holder"], entry.value["note"], entry.revision) == ("test", info.note, claim.token)
    assert (claim.held, claim.lost) == (False, False)
    assert await nothing_left(task)
    async with other.claim("sources/a") as next_claim:
        assert next_claim.token > claim.token


async def test_a_claim_and_its_release_are_two_commits_and_no_read(open_store: Open) -> None:
    store = await open_store()
    task = store.task("t")
    await task.set("warm", 1)
    before = store.stats()
    async with task.claim("a"):
        pass
    assert store.stats().commits - before.commits == 2
    assert len(await task.history("@claims/**", "@waiting/**")) == 2


async def test_a_hold_belongs_to_the_object_not_to_the_agent(task: Any) -> None:
    claim = task.claim("a")
    await claim.acquire()
    with pytest.raises(ccs.AlreadyClaimed):
        await task.claim("a").acquire()
    with pytest.raises(ccs.Misuse, match="in use"):
        await claim.acquire()
    assert claim.held
    await claim.release()


async def test_a_claim_object_can_be_used_again_with_a_larger_token(task: Any) -> None:
    claim, got = task.claim("a"), []
    for _ in range(3):
        async with claim:
            got.append(claim.token)
        assert claim.token == got[-1]
    assert got == sorted(set(got))


async def test_a_claim_that_was_never_acquired_is_misuse(task: Any) -> None:
    claim = task.claim("a")
    assert (claim.held, claim.lost) == (False, False)
    for use in (lambda: claim.token, lambda: claim.context):
        with pytest.raises(ccs.Misuse, match="not acquired"):
            use()
    with pytest.raises(ccs.Misuse, match="not acquired"):
        await claim.release()
    assert await task.revision() == 0


async def test_a_second_release_is_claim_lost_and_changes_nothing(task: Any, other: Any) -> None:
    claim = task.claim("a")
    async with claim:
        await claim.release()
    async with other.claim("a") as held:
        with pytest.raises(ccs.ClaimLost):
            await claim.release()
        assert (await other.claims())[0].token == held.token


async def test_a_lost_claim_cannot_be_released_and_its_successor_is_left_alone(task: Any, other: Any) -> None:
    claim = task.claim("a")
    await claim.acquire()
    await lapse(task, claim)
    async with other.claim("a") as successor:
        with pytest.raises(ccs.ClaimLost) as caught:
            await claim.release()
        assert caught.value.resource == "a"
        assert (successor.held, [info.token for info in await task.claims()]) == (True, [successor.token])


async def test_the_commit_checks_the_fence_whatever_the_holder_believes(task: Any, other: Any) -> None:
    """Given a holder that does not know that its claim has expired, then whatever it writes is refused."""
    claim = task.claim("a")
    await claim.acquire()
    fenced = claim.context
    assert (await fenced.set("kept", 1)).value == 1
    await lapse(task, claim)
    assert claim.held, "the test is about a holder who does not know yet"
    before = await task.history()

    async def transact() -> None:
        async with fenced.transaction() as tx:
            tx.set("b", 1)

    for write in (
        lambda: fenced.set("b", 1),
        lambda: fenced.delete("kept"),
        lambda: fenced.set_many({"b": 1}),
        lambda: fenced.update("kept", lambda value: 2),
        lambda: fenced.increment("n"),
        lambda: fenced.append("list", 1),
        lambda: fenced.delete_matching("**"),
        lambda: fenced.renew("kept", 5),
        lambda: fenced.claim("within").acquire(),
        lambda: fenced.finish(),
        lambda: fenced.drop(),
        transact,
    ):
        with pytest.raises(ccs.ClaimLost):
            await write()
    assert (await task.history(), await task.paths("**", "@claims/**")) == (before, ["kept"])
    async with other.claim("a"):
        with pytest.raises(ccs.ClaimLost):
            await fenced.set("b", 1)
    with pytest.raises(ccs.ClaimLost):
        await claim.release()


async def test_a_released_claim_fences_too_and_an_older_hold_stays_refused(task: Any) -> None:
    claim = task.claim("a")
    async with claim:
        old = claim.context
    with pytest.raises(ccs.ClaimLost):
        await old.set("b", 1)
    async with claim:
        assert (await claim.context.set("b", 2)).value == 2
        with pytest.raises(ccs.ClaimLost):
            await old.set("b", 1)


async def test_claims_within_claims_are_fenced_by_both(task: Any) -> None:
    async with task.claim("outer") as outer, outer.context.claim("inner") as inner:
        assert (await inner.context.set("a", 1)).value == 1
        await lapse(task, inner)
        with pytest.raises(ccs.ClaimLost) as caught:
            await inner.context.set("a", 2)
        assert caught.value.resource == "inner"
        await outer.context.set("a", 3)
        with pytest.raises(ccs.ClaimLost):
            await inner.release()


async def test_leaving_a_block_whose_claim_was_lost_raises(task: Any) -> None:
    async def lose(claim: Any, error: Exception | None) -> None:
        async with claim:
            await lapse(task, claim)
            if error:
                raise error

    with pytest.raises(ccs.ClaimLost):
        await lose(task.claim("a"), None)
    with pytest.raises(ZeroDivisionError):
        await lose(task.claim("a"), ZeroDivisionError())


async def test_a_context_that_is_finished_within_the_block_ends_its_claim(task: Any) -> None:
    async with task.claim("leader") as claim:
        await claim.context.finish("done")
    assert not claim.held
    with pytest.raises(ccs.ContextFinished):
        await task.claim("leader").acquire()


async def test_a_held_claim_is_renewed_without_a_commit(task: Any, other: Any) -> None:
    async with task.claim("a", ttl=0.6) as claim:
        before = await task.revision()
        first = (await task.claims())[0].expires_at

        async def renewed() -> bool:
            return (await task.claims())[0].expires_at - first > timedelta(seconds=0.7)

        await aeventually(renewed, what="a deadline past the first term")
        assert (claim.held, await task.revision()) == (True, before)
        with pytest.raises(ccs.AlreadyClaimed):
            await other.claim("a").acquire()


async def test_the_holder_stops_believing_before_the_server_does(task: Any, other: Any) -> None:
    """By its monotonic clock, from before the claim was requested."""
    asked = time.monotonic()
    claim = task.claim("a", ttl=0.5)
    await claim.acquire()
    lease = plain(claim)._lease
    assert lease.until <= time.monotonic() + 0.5
    assert lease.until >= asked + 0.5
    task.handle.let_go(lease)
    async with other.claim("a", wait=10):
        assert (claim.held, claim.lost) == (False, True)
    async with claim:  # it can be had again
        assert claim.held


# Waiting: in turn, woken by what happens.


async def test_waiters_get_the_claim_in_the_order_in_which_they_came(open_store: Open) -> None:
    """Given waiters of two stores in turn, when the claim is released, then they get it in the order in which they came."""
    tasks = [(await open_store(agent)).task("t") for agent in ("first", "second")]
    claim, waiting, done = tasks[0].claim("a"), [], list[int]()
    await claim.acquire()
    for index in range(6):
        waiting += await queue_up(tasks[index % 2], "a", [index], done)
    await claim.release()
    await bounded(asyncio.gather(*waiting), 20)
    assert done == list(range(6))
    assert await nothing_left(tasks[0])


async def test_no_caller_gets_in_before_the_waiters(task: Any, other: Any) -> None:
    """Given a claim without a holder and a slow waiter, then the claim is not free until the ticket of the waiter has expired."""
    await commit(task, [set_op("@waiting/a/%queue/slow", encode({"holder": "slow"}), 60_000)])
    with pytest.raises(ccs.AlreadyClaimed, match="others wait") as caught:
        await other.claim("a").acquire()
    assert (caught.value.holder, caught.value.expires_at) == (None, None)
    assert await other.claim_any(["a"]) is None
    waiting = await queue_up(other, "a", [1], done := [])
    await expire(task, "@waiting/a/%queue/slow")
    await bounded(asyncio.gather(*waiting), 10)
    assert done == [1]


async def test_a_waiter_that_times_out_leaves_the_queue(task: Any, other: Any) -> None:
    async with task.claim("a"):
        with pytest.raises(ccs.AlreadyClaimed) as caught:
            await other.claim("a", wait=0.1).acquire()
        assert caught.value.holder == "test"
        assert await tickets(task, "a") == []
        with pytest.raises(ccs.AlreadyClaimed):
            await other.claim("a", wait=60).acquire(timeout=0)
    assert await nothing_left(task)


async def test_a_waiter_whose_ticket_expired_lines_up_again(task: Any, other: Any) -> None:
    async with task.claim("a"):
        waiting = await queue_up(other, "a", ["paused"], done := [])
        (ticket,) = await tickets(task, "a")
        before = (await task.entry(ticket)).revision
        await expire(task, ticket)
        await in_line(task, "a", 1)
        assert (await task.entry(ticket)).revision > before
    await bounded(asyncio.gather(*waiting), 10)
    assert done == ["paused"]
    assert await nothing_left(task)


async def test_an_expired_ticket_gets_nothing(task: Any) -> None:
    """Given a waiter that was stopped at its turn, when it goes on after its ticket has expired, then it gets nothing."""
    taking = plain(task.claim("a"))._new_taking()
    tickets = await whole(task, taking.line_up)
    (path,) = tickets
    lines = Lines([site_of("a")], [await task.entry(path)])
    await expire(task, path)
    with pytest.raises(ccs.Conflict):
        await whole(task, taking.in_turn, Wish((site_of("a"),)).choose(lines, taking.attempt), tickets)
    assert await nothing_left(task)


async def test_the_expiry_of_a_claim_wakes_the_waiters(task: Any, other: Any) -> None:
    claim = task.claim("a")
    await claim.acquire()
    waiting = await queue_up(other, "a", ["next"], done := [])
    await lapse(task, claim)
    await bounded(asyncio.gather(*waiting), 10)
    assert done == ["next"]


async def test_the_end_of_the_context_ends_the_waiting(task: Any, other: Any) -> None:
    claim = task.claim("a")
    await claim.acquire()
    waiting = await queue_up(other, "a", ["never"], [])
    await task.finish()
    with pytest.raises(ccs.ContextFinished):
        await bounded(waiting[0], 10)


# Any of several, and which there are.


async def test_claim_any_takes_the_first_free_one_and_nothing_else(task: Any, other: Any) -> None:
    async with task.claim("jobs/1"):
        async with await other.claim_any(["jobs/1", "jobs/2", "jobs/3"], ttl=5) as job:
            assert (job.resource, job.held) == ("jobs/2", True)
            assert [info.resource for info in await task.claims()] == ["jobs/1", "jobs/2"]
            third = await task.claim_any(iter(["jobs/1", "jobs/2", "jobs/3"]))
            assert third.resource == "jobs/3"
            assert await task.claim_any(["jobs/1", "jobs/2", "jobs/3"]) is None
        await third.release()
        assert not job.held
    assert await task.claim_any([]) is None
    with pytest.raises(ccs.InvalidValue):
        await task.claim_any("jobs")
    assert await nothing_left(task)


async def test_a_claim_from_claim_any_is_entered_once(task: Any) -> None:
    job = await task.claim_any(["jobs/1"])
    async with job:
        with pytest.raises(ccs.Misuse, match="in use"):
            await job.__aenter__()
    async with job:
        assert job.held


async def test_many_callers_of_claim_any_get_one_claim_each(open_store: Open) -> None:
    tasks = [(await open_store(f"agent-{index}")).task("t") for index in range(3)]
    jobs = [f"jobs/{index}" for index in range(12)]
    got = await bounded(asyncio.gather(*(tasks[index % 3].claim_any(jobs) for index in range(15))), 20)
    assert sorted(job.resource for job in got if job) == sorted(jobs)
    assert sum(job is None for job in got) == 3


async def test_claims_lists_those_whose_names_match(task: Any) -> None:
    held = [await task.claim(resource).acquire() for resource in ("b/1", "a", "b/2", "@odd")]
    assert [info.resource for info in await task.claims()] == ["@odd", "a", "b/1", "b/2"]
    assert [info.resource for info in await task.claims("b/*", "a")] == ["a", "b/1", "b/2"]
    assert [info.token for info in await task.claims("a")] == [held[1].token]
    assert await task.claims("c/**") == []
    assert await task.paths() == []


# Names and numbers.


async def test_any_text_names_a_resource_of_its_own(task: Any, other: Any) -> None:
    """Given a holder and a waiter of each, when one is released, then its own waiter gets it."""
    held = [await task.claim(resource).acquire() for resource in HOSTILE]
    assert [info.resource for info in await other.claims()] == sorted(HOSTILE)
    for resource in HOSTILE:
        await commit(task, [set_op(site_of(resource).ticket("next"), encode({}), 60_000)])
    for claim in held:
        await claim.release()
        assert await other.claim_any(HOSTILE) is None
        await commit(task, [delete_op(site_of(claim.resource).ticket("next"))])
        async with await other.claim_any(HOSTILE) as free:
            assert free.resource == claim.resource
        await commit(task, [set_op(site_of(claim.resource).ticket("next"), encode({}), 60_000)])


def test_no_site_is_within_another() -> None:
    sites = [site_of(resource) for resource in HOSTILE]
    paths = [path for site in sites for path in (site.path, site.ticket("next"))]
    assert len(set(paths)) == 2 * len(HOSTILE)
    for site in sites:
        assert [path for path in paths if path.startswith(site.queue)] == [site.ticket("next")]
        assert [path for path in paths if compile_patterns(site.patterns).matches(path)] == [
            site.path,
            site.ticket("next"),
        ]
        assert not compile_patterns(site.patterns[2:]).matches(site.path)


@pytest.mark.parametrize("resource", ["", None, 7, "x" * 2000, "lone \ud800", "/".join("y" * 100)])
async def test_a_resource_without_a_name_is_refused(task: Any, resource: Any) -> None:
    with pytest.raises(ccs.InvalidPath):
        task.claim(resource)
    with pytest.raises(ccs.InvalidPath):
        await task.claim_any(["a", resource])
    assert await task.revision() == 0


@pytest.mark.parametrize("ttl", [0, -1, True, "30", float("nan"), float("inf"), timedelta(0), None])
async def test_a_ttl_is_a_duration(task: Any, ttl: Any) -> None:
    with pytest.raises(ccs.InvalidValue, match="ttl"):
        task.claim("a", ttl=ttl)
    with pytest.raises(ccs.InvalidValue, match="ttl"):
        await task.claim_any(["a"], ttl=ttl)
    if ttl != 0:
        with pytest.raises(ccs.InvalidValue, match="wait"):
            task.claim("a", wait=timedelta(seconds=-1) if isinstance(ttl, timedelta) else ttl)
    assert await task.revision() == 0


async def test_a_note_that_cannot_be_stored_claims_nothing(task: Any) -> None:
    with pytest.raises(ccs.EncodingError):
        await task.claim("a", note=object()).acquire()
    assert await task.claims() == []


async def test_a_claim_shows_its_state(task: Any, other: Any) -> None:
    claim = task.claim("a")
    assert "<Claim on 'a' in /tasks/t by 'test', new>" in repr(claim)
    async with claim:
        assert f"'test', held with token {claim.token}>" in repr(claim)
        waiting = other.claim("a", wait=20)
        got = asyncio.create_task(waiting.acquire())
        await in_line(task, "a", 1)
        assert "'other', waiting>" in repr(waiting)
    assert f"released with token {claim.token}>" in repr(claim)
    await (await bounded(got, 10)).release()
    short = await task.claim("a", ttl=0.2).acquire()
    await lapse(task, short)
    await aeventually(lambda: short.lost)
    assert f"lost with token {short.token}>" in repr(short)
