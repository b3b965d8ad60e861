"""The loss of a claim is told: to callbacks, to callers that wait, and to the body of the block. Both colours."""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress
from typing import Any

import pytest

import ccs
import ccs.aio
from tests.recipes.holds import expire, in_line, lapse, nothing_left, plain, tickets
from tests.support.proxy import Proxy
from tests.support.waiting import aeventually, bounded, eventually, scaled

TTL = scaled(0.4)


@pytest.fixture
def other(shared: Any) -> Any:
    """The same context, for another agent."""
    return shared.task("t", agent="other")


def unrenewed(task: Any, claim: Any) -> None:
    """Has the background renew a claim no longer, as if the process could not reach the server."""
    dispatcher = task.handle.engine.opening.dispatcher
    getattr(dispatcher, "_dispatcher", dispatcher)._leases.remove(task.address, plain(claim)._lease)


async def test_a_claim_that_is_taken_away_is_told_at_the_next_renewal_once(task: Any, other: Any) -> None:
    told = list[Any]()
    claim = task.claim("a", ttl=TTL)
    claim.on_lost(told.append)
    await claim.acquire()
    waiting = asyncio.ensure_future(claim.wait_lost(timeout=20))
    await other.break_claim("a")
    assert await bounded(waiting, 20) is True
    await aeventually(lambda: told, what="the callback")
    assert (told, claim.lost, claim.held) == ([plain(claim)], True, False)
    assert await claim.wait_lost(timeout=0) is True
    with pytest.raises(ccs.ClaimLost):
        await claim.release()
    await asyncio.sleep(0.3)  # in which a second renewal would have been due
    assert len(told) == 1


async def test_a_claim_whose_deadline_passes_without_a_renewal_is_lost_for_good(task: Any) -> None:
    claim = await task.claim("a", ttl=TTL).acquire()
    unrenewed(task, claim)
    began = time.monotonic()
    assert await claim.wait_lost(timeout=20) is True
    assert 0.2 < time.monotonic() - began < scaled(5)
    lease = plain(claim)._lease
    lease.renewed(time.monotonic(), 60)  # what a late answer does
    assert (claim.held, claim.lost) == (False, True)


async def test_a_callback_that_comes_late_is_told_at_once(task: Any) -> None:
    claim = await task.claim("a", ttl=TTL).acquire()
    unrenewed(task, claim)
    await aeventually(lambda: claim.lost)
    told = list[Any]()
    claim.on_lost(told.append)
    await aeventually(lambda: told, what="the callback")
    claim.on_lost(told.append)
    await aeventually(lambda: len(told) == 2, what="another callback")


async def test_a_release_is_no_loss(task: Any) -> None:
    told = list[Any]()
    claim = task.claim("a", ttl=TTL)
    claim.on_lost(told.append)
    async with claim:
        waiting = asyncio.ensure_future(claim.wait_lost(timeout=20))
        await asyncio.sleep(0.05)
    assert await bounded(waiting) is False
    assert await claim.wait_lost() is False
    await asyncio.sleep(1.2 * TTL)  # past the deadline that it had
    assert told == []
    async with claim:  # the callback is still there, for the next hold
        unrenewed(task, claim)
        assert await claim.wait_lost(timeout=20)
        await aeventually(lambda: told, what="the callback")
        with pytest.raises(ccs.ClaimLost):
            await claim.release()


async def test_waiting_has_a_timeout_and_needs_a_hold(task: Any) -> None:
    claim = task.claim("a")
    with pytest.raises(ccs.Misuse, match="not acquired"):
        await claim.wait_lost()
    async with claim:
        with pytest.raises(TimeoutError, match="still claimed"):
            await claim.wait_lost(timeout=0.05)
        assert claim.held
    with pytest.raises(ccs.InvalidValue):
        await claim.wait_lost(timeout=-1)


async def test_a_loss_that_only_the_release_finds_is_told_too(task: Any, other: Any) -> None:
    told = list[Any]()
    claim = await task.claim("a").acquire()
    claim.on_lost(told.append)
    await other.break_claim("a")
    with pytest.raises(ccs.ClaimLost):
        await claim.release()
    await aeventually(lambda: told, what="the callback")


async def test_a_claim_that_raised_its_loss_is_lost_until_it_is_taken_again(task: Any, other: Any) -> None:
    async def write(claim: Any) -> None:
        await claim.context.set("x", 1)

    async def leave(claim: Any) -> None:
        await claim.__aexit__(None, None, None)

    for end in (write, lambda claim: claim.release(), leave):
        told = list[Any]()
        claim = task.claim("a")
        claim.on_lost(told.append)
        await claim.__aenter__()
        await other.break_claim("a")
        for _ in range(2):
            with pytest.raises(ccs.ClaimLost):
                await write(claim)
        with pytest.raises(ccs.ClaimLost):
            await end(claim)
        assert (claim.lost, claim.state, claim.held) == (True, "lost", False)
        assert await claim.wait_lost(timeout=0) is True
        await aeventually(lambda told=told: told, what="the callback")
        async with claim:
            assert (claim.lost, claim.state) == (False, "held")
        assert (claim.lost, claim.state) == (False, "released")
        with pytest.raises(ccs.ClaimLost):
            await claim.release()
        assert claim.state == "released", "it was given back, not lost"
        assert len(told) == 1


async def test_finishing_the_context_ends_its_claims_and_is_no_loss(
    task: Any, other: Any, caplog: pytest.LogCaptureFixture
) -> None:
    told = list[Any]()
    claim = task.claim("a", ttl=TTL)
    claim.on_lost(told.append)
    async with claim, task.join(ttl=TTL) as presence:
        waiting = asyncio.ensure_future(claim.wait_lost(timeout=20))
        await other.finish("over")
        assert await bounded(waiting, 20) is False
        await aeventually(lambda: not presence.joined, what="the presence to end")
        assert (claim.state, claim.lost, claim.held) == ("released", False, False)
        with pytest.raises(ccs.ContextFinished):
            await claim.context.set("x", 1)
        await asyncio.sleep(TTL)
    assert (told, claim.state) == ([], "released")
    assert not [record for record in caplog.records if record.levelname in ("WARNING", "ERROR")]


async def test_a_callback_that_fails_hurts_nobody(shared: Any) -> None:
    told, task = list[Any](), shared.task("t")
    before = shared.stats().callback_errors
    claim = await task.claim("a", ttl=TTL).acquire()

    def fail(_: Any) -> None:
        raise ZeroDivisionError

    claim.on_lost(fail)
    claim.on_lost(told.append)
    unrenewed(task, claim)
    await aeventually(lambda: told, what="the other callback")
    await aeventually(lambda: shared.stats().callback_errors == before + 1, what="the error to be counted")
    with pytest.raises(ccs.InvalidValue):
        claim.on_lost(7)


async def test_a_forgotten_claim_with_a_callback_is_given_back(valkey: str, namespace: str) -> None:
    async with ccs.aio.connect(valkey, namespace=namespace) as store:
        task = store.task("t")
        claim = await task.claim("a").acquire()
        claim.on_lost(print)

        async def given_back() -> None:
            await aeventually(lambda: nothing_left(task), what="the claim to be given back")
            await aeventually(lambda: not task.handle.holdings.forgotten(), what="the answer")

        del claim
        with pytest.warns(ResourceWarning, match="@claims/a"):
            await given_back()


async def test_closing_the_store_ends_the_waiting_and_waits_for_callbacks(valkey: str, namespace: str) -> None:
    done = list[str]()
    async with ccs.aio.connect(valkey, namespace=namespace) as store:
        task = store.task("t")
        kept, broken = await task.claim("a").acquire(), await task.claim("b", ttl=TTL).acquire()
        waiting = asyncio.ensure_future(kept.wait_lost())

        @broken.on_lost
        async def work(claim: ccs.aio.Claim) -> None:
            done.append("begun")
            await asyncio.sleep(0.2)
            done.append("ended")

        unrenewed(task, broken)
        await aeventually(lambda: done)
    assert await bounded(waiting) is False
    assert done == ["begun", "ended"]


# An outage: no server says that it is over.


async def test_a_holder_that_is_cut_off_is_told_by_its_own_clock(proxy: Proxy, namespace: str) -> None:
    async with ccs.aio.connect(proxy.url, namespace=namespace, retry_for=30) as store:
        claim = await store.task("t").claim("a", ttl=TTL).acquire()
        proxy.filter = lambda count, chunk: "hold"
        assert await claim.wait_lost(timeout=20)
        until = plain(claim)._lease.until
        assert until <= time.monotonic() < until + scaled(0.5)
        began = time.monotonic()
        with pytest.raises(ccs.ClaimLost):  # at once: a server that is silent is not asked
            await claim.release()
        assert time.monotonic() - began < scaled(1)
        proxy.filter = lambda count, chunk: "pass"
        proxy.release()


# The body of a block: asyncio.


@pytest.fixture
async def aio_task(valkey: str, namespace: str) -> Any:
    async with ccs.aio.connect(valkey, namespace=namespace) as store:
        yield store.task("t")


async def test_a_body_is_cancelled_when_its_claim_is_lost(aio_task: Any) -> None:
    steps = list[str]()

    async def work() -> None:
        async with aio_task.claim("a", ttl=TTL, cancel=True):
            steps.append("begun")
            await aio_task.break_claim("a")
            try:
                await asyncio.sleep(60)
            finally:
                steps.append("cleaned up")

    with pytest.raises(ccs.ClaimLost) as caught:
        await work()
    assert (steps, caught.value.resource) == (["begun", "cleaned up"], "a")
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    task = asyncio.current_task()
    assert task
    assert task.cancelling() == 0
    await asyncio.sleep(0)  # and this task goes on


async def test_a_loss_that_is_raised_is_not_logged_too(aio_task: Any, caplog: pytest.LogCaptureFixture) -> None:
    async def lose(*, write: bool) -> None:
        async with aio_task.claim("a", ttl=TTL, cancel=True) as claim:
            await aio_task.break_claim("a")
            await (claim.context.set("x", 1) if write else asyncio.sleep(60))

    for write in (True, False):
        with pytest.raises(ccs.ClaimLost):
            await lose(write=write)
    assert not [record for record in caplog.records if record.levelname == "WARNING"]

    async def fail() -> None:
        async with aio_task.claim("a", ttl=TTL):
            await aio_task.break_claim("a")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fail()
    assert "was not released" in caplog.text, "another error hides the loss, so that is logged"


async def test_a_body_in_a_context_that_is_finished_goes_on(aio_task: Any) -> None:
    steps = list[str]()
    async with aio_task.claim("a", ttl=TTL, cancel=True) as claim:
        await aio_task.finish()
        assert await claim.wait_lost(timeout=20) is False
        await asyncio.sleep(1.5 * TTL)
        steps.append("ended")
    assert steps == ["ended"]


async def test_a_body_that_keeps_its_claim_is_left_alone(aio_task: Any) -> None:
    async with aio_task.claim("a", ttl=TTL, cancel=True) as claim:
        await asyncio.sleep(1.5 * TTL)
        assert claim.held
    assert await nothing_left(aio_task)
    async with claim:  # and again
        assert claim.held


async def test_an_error_of_the_body_wins(aio_task: Any) -> None:
    async def work() -> None:
        async with aio_task.claim("a", ttl=TTL, cancel=True):
            await aio_task.break_claim("a")
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                raise ZeroDivisionError from None

    with pytest.raises(ZeroDivisionError):
        await work()


async def test_a_body_that_swallows_the_cancellation_is_told_at_the_end(aio_task: Any) -> None:
    async def work() -> None:
        async with aio_task.claim("a", ttl=TTL, cancel=True) as claim:
            await aio_task.break_claim("a")
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(60)
            assert claim.lost

    with pytest.raises(ccs.ClaimLost):
        await work()
    task = asyncio.current_task()
    assert task
    assert task.cancelling() == 0


async def test_a_body_that_is_left_in_the_moment_of_the_loss_cancels_nothing_later(aio_task: Any) -> None:
    async def see_the_loss(*, wait: bool) -> None:
        async with aio_task.claim("a", ttl=TTL, cancel=True) as claim:
            if wait:
                plain(claim)._lease.until = 0.0  # its clock has run out, and no timer was there yet to tell
                assert await claim.wait_lost()
            else:
                await aio_task.break_claim("a")
                await claim.release()

    for wait in (True, False):
        with pytest.raises(ccs.ClaimLost):
            await see_the_loss(wait=wait)
        await aeventually(lambda: nothing_left(aio_task))
        await asyncio.sleep(0.01)
        task = asyncio.current_task()
        assert task
        assert task.cancelling() == 0


async def test_a_cancellation_from_outside_wins(aio_task: Any) -> None:
    begun = asyncio.Event()

    async def work(*, lose: bool) -> None:
        async with aio_task.claim("a", ttl=TTL, cancel=True) as claim:
            begun.set()
            if lose:
                unrenewed(aio_task, claim)
                while not claim.lost:
                    time.sleep(0.01)  # noqa: ASYNC251  # so that both come at once
            await asyncio.sleep(60)

    for lose in (False, True):
        begun.clear()
        doing = asyncio.ensure_future(work(lose=lose))
        await begun.wait()
        doing.cancel()
        await asyncio.wait([doing])
        assert doing.cancelled()
    await aeventually(lambda: nothing_left(aio_task))


async def test_a_timeout_around_and_inside_the_block_stays_a_timeout(aio_task: Any) -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1), aio_task.claim("a", cancel=True):
            await asyncio.sleep(60)
    async with aio_task.claim("a", cancel=True) as claim:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await asyncio.sleep(60)
        assert claim.held


async def test_a_block_with_cancel_belongs_to_one_task(aio_task: Any) -> None:
    claim = aio_task.claim("a", cancel=True)
    with pytest.raises(ccs.Misuse, match="with block"):
        await claim.acquire()
    await claim.__aenter__()
    with pytest.raises(ccs.Misuse, match=r"another task.*use on_lost"):
        await asyncio.ensure_future(claim.__aexit__(None, None, None))
    assert await nothing_left(aio_task)


def test_a_thread_cannot_be_cancelled(valkey: str, namespace: str) -> None:
    with ccs.connect(valkey, namespace=namespace) as store:
        with pytest.raises(ccs.InvalidValue, match=r"ccs\.aio"):
            store.task("t").claim("a", cancel=True)
        told = list[Any]()
        claim = store.task("t").claim("a", ttl=TTL).acquire()
        claim.on_lost(lambda lost: told.append(store.task("t").get("none", lost.resource)))  # it may use the store
        store.task("t").break_claim("a")
        assert claim.wait_lost(timeout=20)
        eventually(lambda: told == ["a"], what="the callback")


@pytest.mark.parametrize("cancel", [None, 1, "yes"])
async def test_cancel_is_a_truth_value(task: Any, cancel: Any) -> None:
    with pytest.raises(ccs.InvalidValue, match=f"cancel is {cancel!r}: give True or False"):
        task.claim("a", cancel=cancel)


# A bound.


async def test_a_claim_ends_after_max_hold_although_it_was_renewed(task: Any, other: Any) -> None:
    async def hold() -> None:
        async with task.claim("a", ttl=scaled(0.4), max_hold=scaled(1.0)) as claim:
            began = time.monotonic()
            assert await claim.wait_lost(timeout=20)
            assert scaled(0.8) < time.monotonic() - began < scaled(3)
            assert claim.lost

    with pytest.raises(ccs.ClaimLost):
        await hold()
    async with other.claim("a", wait=20) as claim:
        assert claim.held


async def test_a_waiter_with_max_hold_waits_for_longer_than_that(task: Any, other: Any) -> None:
    async with other.claim("a"):
        waiting = asyncio.ensure_future(task.claim("a", max_hold=scaled(0.4), ttl=TTL, wait=20).acquire())
        await in_line(other, "a", 1)
        (ticket,) = await tickets(other, "a")
        before = (await other.entry(ticket)).revision
        await asyncio.sleep(2 * TTL)
        assert (await other.entry(ticket)).revision == before, "it has kept its place"
    claim = await bounded(waiting, 20)
    assert await claim.wait_lost(timeout=20)


async def test_a_max_hold_below_the_ttl_is_the_ttl_and_the_end(task: Any) -> None:
    claim = await task.claim("a", ttl=30, max_hold=scaled(0.5)).acquire()
    (info,) = await task.claims()
    assert (info.expires_at - info.claimed_at).total_seconds() == pytest.approx(scaled(0.5), abs=0.1)
    assert await claim.wait_lost(timeout=20)
    await aeventually(lambda: nothing_left(task), what="the end")
    for wrong in (0, -1, "1", True):
        with pytest.raises(ccs.InvalidValue, match="max_hold"):
            task.claim("a", max_hold=wrong)


async def test_a_lapsed_claim_of_a_stopped_process_is_told_when_it_goes_on(task: Any) -> None:
    claim = await task.claim("a", ttl=30).acquire()
    told = list[Any]()
    claim.on_lost(told.append)
    await lapse(task, claim)
    plain(claim)._lease.until = 0.0  # its clock ran on
    claim.on_lost(told.append)
    await aeventually(lambda: len(told) == 2, what="both callbacks")


async def test_a_claim_within_a_context_that_expired_is_told(task: Any, other: Any) -> None:
    claim = await task.claim("a", ttl=TTL).acquire()
    await other.set("b", 1)
    await expire(task, "@claims/a")
    assert await claim.wait_lost(timeout=20)
