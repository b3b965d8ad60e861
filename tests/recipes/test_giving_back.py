"""Objects that are forgotten, left or closed give back what they hold: others need not wait until it expires. Both colours."""

from __future__ import annotations

import asyncio
import gc
import signal
import subprocess
import sys
import threading
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

import ccs
from tests.context.probes import Open
from tests.recipes.holds import lapse, nothing_left, plain
from tests.recipes.inboxes import PATIENCE, close
from tests.recipes.test_inbox_machine import heard
from tests.support.colours import COLOURS, connect_in
from tests.support.waiting import aeventually, bounded, eventually, scaled

# Long: what is had within PATIENCE was given back, and did not lapse.
TTL = 300.0


@pytest.fixture
async def other(open_store: Open) -> Any:
    """The same context, through a store of its own."""
    return (await open_store("other")).task("t")


@asynccontextmanager
async def told(match: str) -> AsyncIterator[None]:
    """The background warns of what was forgotten, a moment after it was released."""
    with pytest.warns(ResourceWarning, match=match) as warnings:  # noqa: PT031  # it comes from the background
        yield
        await aeventually(lambda: any(match in str(warning.message) for warning in warnings))


async def is_free(task: Any, resource: str) -> bool:
    return not await task.claims(resource)


# Claims that are forgotten.


async def test_a_claim_that_is_forgotten_is_released_by_the_background_with_a_warning(task: Any, other: Any) -> None:
    claim = await task.claim("a", ttl=TTL).acquire()
    async with told("@claims/a in /tasks/t was held and then forgotten"):
        del claim
        gc.collect()
        async with other.claim("a", wait=PATIENCE):
            (released,) = [change for change in await task.history("@claims/a") if change.op == "delete"]
    assert released.agent == "test"


async def test_many_forgotten_claims_are_all_released(task: Any) -> None:
    claims = [await task.claim(f"a/{index}", ttl=TTL).acquire() for index in range(20)]
    async with told(""):
        claims.clear()
        gc.collect()
        await aeventually(lambda: is_free(task, "**"))


async def test_objects_derived_from_a_claim_keep_it_alive(task: Any) -> None:
    kept, marker = await task.claim("kept", ttl=TTL).acquire(), await task.claim("marker", ttl=TTL).acquire()
    inbox, bus, nested = kept.context.inbox("r"), kept.context.bus, kept.context.claim("nested")
    fenced = kept.context
    async with told("marker"):
        del kept, marker
        gc.collect()
        await aeventually(lambda: is_free(task, "marker"))
    for owner in ("fenced", "inbox", "bus", "nested"):
        assert not await is_free(task, "kept"), f"released, though there was its {owner}"
        if owner == "fenced":
            await fenced.set("x", 1)
            del fenced
        elif owner == "inbox":
            del inbox
        elif owner == "bus":
            del bus
        gc.collect()
    async with told("kept"):
        del nested
        gc.collect()
        await aeventually(lambda: is_free(task, "kept"))


async def test_a_claim_that_was_released_or_lost_is_forgotten_without_a_warning(task: Any, recwarn: Any) -> None:
    released, lost, marker = [await task.claim(name, ttl=TTL).acquire() for name in ("released", "lost", "marker")]
    await released.release()
    await lapse(task, lost)
    del released, lost
    gc.collect()
    del marker
    gc.collect()
    await aeventually(lambda: is_free(task, "**"))
    await aeventually(lambda: recwarn.list)
    assert [str(warning.message).split()[0] for warning in recwarn] == ["@claims/marker"]


async def test_a_claim_whose_block_is_entered_without_a_name_is_kept(task: Any, other: Any) -> None:
    async with task.claim("a", ttl=TTL):
        marker = await task.claim("marker", ttl=TTL).acquire()
        async with told("marker"):
            del marker
            gc.collect()
            await aeventually(lambda: is_free(task, "marker"))
        with pytest.raises(ccs.AlreadyClaimed):
            await other.claim("a").acquire()


async def test_forgetting_a_lost_claim_takes_nothing_from_its_present_holder(shared: Any, task: Any) -> None:
    """Given two claims of one store on a resource, when the first, which was broken, is forgotten, then the second is kept."""
    lost = await task.claim("a", ttl=TTL).acquire()
    await task.break_claim("a")
    claim, marker = await task.claim("a", ttl=scaled(2.7)).acquire(), await task.claim("marker", ttl=TTL).acquire()
    async with told("marker"):
        del lost, marker
        gc.collect()
        await aeventually(lambda: is_free(task, "marker"))
    until = (await task.claims("a"))[0].expires_at
    await aeventually(lambda: _renewed(task, until))
    assert claim.held
    await claim.release()


async def _renewed(task: Any, until: Any) -> bool:
    (info,) = await task.claims("a")
    return bool(info.expires_at > until)


@pytest.mark.parametrize("late", ["release", "forget"])
@pytest.mark.parametrize("colour", COLOURS)
async def test_a_second_delivery_is_given_back_at_close_though_the_first_was_settled_late(
    colour: str, late: str, other: Any, target: str, namespace: str
) -> None:
    async with connect_in(colour, target, namespace=namespace) as store:
        task = store.task("t")
        lost = await task.claim("a", ttl=TTL).acquire()
        await other.break_claim("a")
        claim = await task.claim("a", ttl=TTL).acquire()
        if late == "release":
            with pytest.raises(ccs.ClaimLost):
                await lost.release()
        else:
            marker = await task.claim("marker", ttl=TTL).acquire()
            async with told("marker"):
                del lost, marker
                gc.collect()
                await aeventually(lambda: is_free(task, "marker"))
        assert claim.held
    assert await other.claims() == []


def test_a_thousand_claims_forgotten_in_a_loop_while_a_signal_collects_garbage_are_all_released(
    valkey: str, namespace: str
) -> None:
    """Finalizers run at any point of the program, also inside our locks: nothing hangs, and no claim stays."""

    def collect(number: int, frame: object) -> None:
        gc.collect(0)
        if not over:  # a signal after the end would find no handler, and end the process
            signal.setitimer(signal.ITIMER_REAL, 0.001)

    over = False
    with ccs.connect(valkey, namespace=namespace) as store:
        task = store.task("t")
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            before = signal.signal(signal.SIGALRM, collect)
            signal.setitimer(signal.ITIMER_REAL, 0.001)
            try:
                for index in range(1000):
                    claim = task.claim(f"a/{index}", ttl=TTL).acquire()
                    claim.cycle = claim  # type: ignore[attr-defined]  # it goes only when garbage is collected
                    del claim
            finally:
                over = True
                signal.setitimer(signal.ITIMER_REAL, 0)
                signal.signal(signal.SIGALRM, before)
            gc.collect()
            eventually(lambda: not task.claims(), timeout=20)
            eventually(lambda: len(warned) >= 1000)
        assert len({str(warning.message) for warning in warned}) == 1000
        assert (
            store._engine.opening.dispatcher.holdings.all()
            == store._engine.opening.dispatcher.holdings.forgotten()
            == []
        )


async def test_a_claim_that_is_forgotten_by_another_thread_inside_our_locks_hangs_nothing(
    shared: Any, task: Any
) -> None:
    engine = getattr(shared, "blocking", shared)._engine
    claim = await task.claim("a", ttl=TTL).acquire()
    held = [plain(claim)]
    del claim
    leases = getattr(engine.opening.dispatcher, "_dispatcher", engine.opening.dispatcher)._leases

    def forget() -> None:
        with leases._lock, engine._sharing:
            held.clear()
            gc.collect()

    async with told("@claims/a"):
        thread = threading.Thread(target=forget)
        thread.start()
        await asyncio.to_thread(thread.join, scaled(10))
        assert not thread.is_alive()
        await aeventually(lambda: is_free(task, "a"))


# Claims that are broken.


async def test_a_claim_is_broken_and_its_holder_is_fenced_off(task: Any, other: Any) -> None:
    claim = await task.claim("a", ttl=0.9).acquire()
    fenced = claim.context
    assert await other.break_claim("a") is True
    with pytest.raises(ccs.ClaimLost):
        await fenced.set("x", 1)
    await aeventually(lambda: claim.lost)
    assert await other.break_claim("a") is False
    with pytest.raises(ccs.ClaimLost):
        await claim.release()
    assert await nothing_left(task)


async def test_when_a_claim_is_broken_the_first_waiter_gets_it(task: Any, other: Any) -> None:
    claim = await task.claim("a", ttl=TTL).acquire()
    waiting = asyncio.ensure_future(other.claim("a", ttl=TTL).acquire(timeout=PATIENCE))
    await aeventually(lambda: task.paths("@waiting/**"))
    assert await task.break_claim("a")
    taken = await bounded(waiting)
    assert taken.token > claim.token
    await taken.release()
    with pytest.raises(ccs.ClaimLost):
        await claim.release()


# Inboxes that are left.


async def test_a_loop_that_ends_gives_back_what_it_was_given(task: Any, other: Any) -> None:
    await task.send("r", 1)
    inbox = task.inbox("r", lease=TTL)
    async for message in inbox:
        assert message.content == 1
        break
    again = await other.inbox("r").receive(timeout=PATIENCE)
    assert (again.id, again.attempts) == (message.id, 2)
    with pytest.raises(ccs.ClaimLost):
        await message.ack()
    await again.ack()


async def test_a_loop_that_raises_gives_back_what_it_was_given(task: Any, other: Any) -> None:
    await task.send("r", 1)

    async def work() -> None:
        async for _ in task.inbox("r", lease=TTL):
            raise RuntimeError("no")

    with pytest.raises(RuntimeError, match="no"):
        await work()
    assert (await other.inbox("r").receive(timeout=PATIENCE)).content == 1


async def test_a_second_loop_keeps_what_it_takes_while_the_first_is_given_back(task: Any, other: Any) -> None:
    await task.send("r", 1)
    inbox = task.inbox("r", lease=TTL)
    async for first in inbox:
        assert first.attempts == 1
        break
    async for second in inbox:
        assert second.content == 1
        assert second.attempts == 2
        await second.ack()
        break
    assert first.id == second.id
    assert await other.inbox("r").unread() == []


async def test_a_message_may_still_be_acknowledged_after_the_loop_while_nobody_has_it(task: Any) -> None:
    await task.send("r", 1)
    async for message in task.inbox("r", lease=TTL):
        assert message.attempts == 1
        break
    await aeventually(lambda: _gone(task, "@inbox/r/%-/leases/*"))
    await message.ack()
    assert await task.paths("@inbox/**") == []


async def _gone(task: Any, pattern: str) -> bool:
    return not await task.paths(pattern)


@pytest.mark.parametrize("way", ["block", "close"])
async def test_an_inbox_that_is_closed_gives_back_what_it_holds_at_once(task: Any, other: Any, way: str) -> None:
    for index in range(3):
        await task.send("r", index)
    inbox = task.inbox("r", lease=TTL)
    if way == "block":
        async with inbox:
            messages = [await inbox.receive(timeout=PATIENCE) for _ in range(3)]
            await messages[1].ack()
    else:
        messages = [await inbox.receive(timeout=PATIENCE) for _ in range(3)]
        await messages[1].ack()
        await close(inbox)
    async with other.inbox("r", lease=TTL) as receiver:
        again = [await receiver.receive(timeout=0) for _ in range(2)]
    assert [(message.content, message.attempts) for message in again] == [(0, 2), (2, 2)]


async def test_messages_of_an_inbox_that_is_left_go_to_waiting_receivers_at_once_and_in_order(
    task: Any, other: Any
) -> None:
    """Also if it received them in another order, because another receiver held the oldest for a while."""
    for index in range(30):
        await task.send("r", index)
    first = await task.inbox("r").receive(timeout=PATIENCE)
    inbox = task.inbox("r", lease=TTL)
    messages = [await inbox.receive(timeout=PATIENCE) for _ in range(20)]
    await first.release()
    released = await task.revision()
    await aeventually(lambda: heard(plain(inbox)) >= released)
    messages.append(await inbox.receive(timeout=PATIENCE))
    assert [message.content for message in messages] == [*range(1, 21), 0]
    await messages[4].ack()
    got: list[int] = []
    async with other.inbox("r", lease=TTL) as waiting:
        rest = [await waiting.receive(timeout=PATIENCE) for _ in range(9)]

        async def receive() -> None:
            while len(got) < 20:
                message = await waiting.receive(timeout=PATIENCE)
                got.append(message.content)
                await message.ack()

        receiving = asyncio.ensure_future(receive())
        await close(inbox)
        await bounded(receiving, 20)
    assert [message.content for message in rest] == [*range(21, 30)]
    assert got == [0, 1, 2, 3, 4, *range(6, 21)]


async def test_a_late_ack_keeps_the_hold_of_another_inbox_of_the_store(shared: Any, task: Any, other: Any) -> None:
    await task.send("r", 1)
    slow, quick = task.inbox("r", lease=0.05), task.inbox("r", lease=TTL)
    late = await slow.receive(timeout=PATIENCE)
    taken = await quick.receive(timeout=PATIENCE)
    with pytest.raises(ccs.ClaimLost):
        await late.ack()
    await close(slow)
    await close(quick)
    async with other.inbox("r") as receiver:
        again = await receiver.receive(timeout=0)
    assert (again.id, again.attempts, taken.attempts) == (taken.id, 3, 2)


async def test_an_inbox_behind_a_claim_that_was_lost_still_gives_back(task: Any, other: Any) -> None:
    await task.send("r", 1)
    claim = await task.claim("a", ttl=TTL).acquire()
    inbox = claim.context.inbox("r", lease=TTL)
    await inbox.receive(timeout=PATIENCE)
    await other.break_claim("a")
    await close(inbox)
    async with other.inbox("r") as receiver:
        assert (await receiver.receive(timeout=0)).attempts == 2


async def test_an_inbox_gives_back_only_its_own_messages(task: Any, other: Any) -> None:
    for index in range(2):
        await task.send("r", index)
    staying = task.inbox("r", lease=TTL)
    kept = await staying.receive(timeout=PATIENCE)
    async with task.inbox("r", lease=TTL) as leaving:
        await leaving.receive(timeout=PATIENCE)
    async with other.inbox("r") as receiver:
        assert (await receiver.receive(timeout=PATIENCE)).content == 1
        with pytest.raises(TimeoutError):
            await receiver.receive(timeout=0.1)
    await kept.ack()


# Stores that are closed.


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_store_that_is_closed_gives_back_all_that_it_holds(
    colour: str, other: Any, target: str, namespace: str
) -> None:
    await other.send("r", 1)
    store = connect_in(colour, target, agent="leaving", namespace=namespace)
    async with store:
        task = store.task("t")
        claim = await task.claim("a", ttl=TTL).acquire()
        elsewhere = await store.task("u").claim("b", ttl=TTL).acquire()
        presence = task.join("worker", ttl=TTL)
        await presence.enter()
        message = await task.inbox("r", lease=TTL).receive(timeout=PATIENCE)
        fenced = claim.context
        assert (claim.held, message.attempts) == (True, 1)
    assert (claim.held, elsewhere.held) == (False, False)
    assert await other.claims() == []
    assert await other.members() == []
    async with other.inbox("r") as receiver:
        assert (await receiver.receive(timeout=0)).attempts == 2
    async with other.claim("a"):
        pass
    with pytest.raises(ccs.StoreClosed):
        await fenced.set("x", 1)


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_waiter_in_a_store_that_is_closed_leaves_the_line(
    colour: str, other: Any, target: str, namespace: str
) -> None:
    held = await other.claim("a", ttl=TTL).acquire()
    store = connect_in(colour, target, namespace=namespace)
    async with store:
        waiting = asyncio.ensure_future(store.task("t").claim("a", ttl=TTL).acquire(timeout=TTL))
        await aeventually(lambda: other.paths("@waiting/**"))
    with pytest.raises(ccs.StoreClosed):
        await bounded(waiting)
    assert await other.paths("@waiting/**") == []
    await held.release()


@pytest.mark.parametrize("colour", COLOURS)
async def test_when_a_store_is_closed_during_a_run_the_next_caller_runs_at_once(
    colour: str, other: Any, target: str, namespace: str
) -> None:
    """Given a run that outlasts its store, when the store is closed, then the next caller need not wait for the lease."""
    begun, go_on = threading.Event(), threading.Event()

    def work() -> str:
        begun.set()
        assert go_on.wait(PATIENCE)
        return "late"

    async with connect_in(colour, target, namespace=namespace) as store:
        running = asyncio.ensure_future(store.task("t").once("k", work, lease=TTL))
        await asyncio.to_thread(begun.wait, PATIENCE)
    assert await other.paths("@runs/**") == []
    assert await other.once("k", lambda: "next", timeout=PATIENCE) == "next"
    go_on.set()
    with pytest.raises(ccs.StoreClosed):
        await bounded(running)
    assert await other.get("@once/k") == await other.get("@once/k") | {"state": "done", "attempts": 2, "result": "next"}


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_party_that_waits_at_a_barrier_is_not_counted_after_its_store_is_closed(
    colour: str, other: Any, target: str, namespace: str
) -> None:
    async with connect_in(colour, target, namespace=namespace) as store:
        waiting = asyncio.ensure_future(store.task("t").barrier("b", parties=2, timeout=TTL, ttl=TTL))
        await aeventually(lambda: other.paths("@barriers/b/*"))
    with pytest.raises(ccs.StoreClosed):
        await bounded(waiting)
    assert await other.paths("@barriers/b/*") == []
    with pytest.raises(TimeoutError, match="1 of 2"):
        await other.barrier("b", parties=2, timeout=0.1)


async def test_nothing_is_held_of_runs_and_barriers_that_are_over(shared: Any, task: Any) -> None:
    """Given a run, a failed run, a passed barrier and a missed one, when they are over, then nothing is held."""
    engine = getattr(shared, "blocking", shared)._engine

    def fail() -> None:
        raise RuntimeError("no")

    assert await task.once("a", lambda: 1) == 1
    with pytest.raises(RuntimeError):
        await task.once("b", fail)
    with pytest.raises(TimeoutError):
        await task.barrier("c", parties=2, timeout=0.05)
    await asyncio.gather(*(task.barrier("d", parties=2, timeout=PATIENCE) for _ in range(2)))
    assert engine.opening.dispatcher.holdings.all() == []


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_claims_block_may_be_left_after_its_store(colour: str, target: str, namespace: str) -> None:
    store = connect_in(colour, target, namespace=namespace)
    await store.__aenter__()
    claim = store.task("t").claim("a", ttl=TTL)
    await claim.__aenter__()
    await close(store)
    await claim.__aexit__(None, None, None)
    assert (claim.held, claim.lost) == (False, False)
    assert "released" in repr(plain(claim))


@pytest.mark.parametrize("colour", COLOURS)
async def test_closing_does_not_wait_for_a_server_that_hangs(colour: str, own_server: Any, namespace: str) -> None:
    store = connect_in(colour, own_server.url, namespace=namespace)
    async with store:
        claim = await store.task("t").claim("a", ttl=TTL).acquire()
        own_server.pause()
        await bounded(close(store), scaled(4))
        own_server.resume()
    assert not claim.held


# The end of a program.

PROGRAM = """
import os, sys, threading, ccs
task = ccs.connect(sys.argv[1], namespace=sys.argv[2]).task("t")
task.send("worker", "job")
inbox = task.inbox("worker", lease=300)
message = inbox.receive(timeout=10)
claim = task.claim("a", ttl=300).acquire()
presence = task.join("worker", ttl=300).__enter__()
begun = threading.Event()
run = lambda: (begun.set(), threading.Event().wait())
threading.Thread(target=task.once, args=("k", run), kwargs={"lease": 300}, daemon=True).start()
begun.wait()
if sys.argv[3] == "forks":
    child = os.fork()
    if not child:
        sys.exit()
    os.waitpid(child, 0)
    assert task.claims() and task.members()
if sys.argv[3] == "raises":
    raise RuntimeError("the end")
if sys.argv[3] == "is killed":
    os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("how", ["ends", "raises", "forks", "is killed"])
async def test_a_program_that_ends_without_closing_its_store_gives_back_what_it_holds(
    valkey: str, namespace: str, how: str
) -> None:
    """Given a program that closes nothing, when it ends by itself, then others get what it held; if it is killed, leases expire."""
    command = [sys.executable, "-W", "ignore", "-c", PROGRAM, valkey, namespace, how]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, timeout=scaled(60))
    assert ended.stderr.count("Traceback") == (how == "raises"), ended.stderr
    async with connect_in("asyncio", valkey, namespace=namespace) as store:
        task = store.task("t")
        killed = how == "is killed"
        assert (len(await task.claims()), len(await task.members())) == (killed, killed)
        assert len(await task.paths("@runs/**")) == killed
        if not killed:
            assert (await task.inbox("worker").receive(timeout=PATIENCE)).content == "job"
            return
        with pytest.raises(TimeoutError):
            await task.inbox("worker").receive(timeout=0.2)
