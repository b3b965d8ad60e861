"""Claims, results and messages outlive the server, which is killed and started again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import ccs
import ccs.aio
from ccs._async.recipes.claim_queue import Turns
from tests.support.colours import COLOURS, connect_in
from tests.support.servers import PrivateServer
from tests.support.waiting import aeventually, bounded, scaled


def restart(server: PrivateServer) -> None:
    server.sync()  # what it wrote within the last second would be lost with it
    server.kill()
    server.start()


@pytest.fixture
async def task(own_server: PrivateServer, namespace: str, colour: str) -> Any:
    async with connect_in(colour, own_server.url, namespace=namespace, agent="a") as store:
        yield store.task("t")


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_claim_is_still_held_and_the_next_token_is_larger(own_server: PrivateServer, task: Any) -> None:
    claim = await task.claim("r", ttl=60).acquire()
    token = claim.token
    restart(own_server)
    with pytest.raises(ccs.AlreadyClaimed):
        await task.claim("r").acquire()
    await claim.context.set("by", token)
    await claim.release()
    restart(own_server)
    assert (await task.claim("r").acquire()).token > token
    with pytest.raises(ccs.ClaimLost):
        await claim.context.set("by", token)


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_key_that_was_run_is_not_run_again(own_server: PrivateServer, task: Any) -> None:
    def fail() -> None:
        raise ArithmeticError

    assert await task.once("done", lambda: "first") == "first"
    with pytest.raises(ArithmeticError):
        await task.once("failed", fail, attempts=1)
    restart(own_server)
    assert await task.once("done", fail) == "first"
    with pytest.raises(ccs.RetriesExhausted):
        await task.once("failed", lambda: "second", attempts=1)


@pytest.mark.parametrize("colour", COLOURS)
async def test_messages_stay_in_order_and_keep_their_leases(own_server: PrivateServer, task: Any) -> None:
    for content in range(3):
        await task.send("r", content)
    async with task.inbox("r") as inbox:
        held = await inbox.receive(timeout=scaled(10))
        restart(own_server)
        second = await inbox.receive(timeout=scaled(10))
        assert [message.content for message in await inbox.unread()] == [0, 1, 2]
        await held.ack()
        await second.ack()
        assert (held.content, second.content, (await inbox.receive(timeout=scaled(10))).content) == (0, 1, 2)


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_decision_and_an_open_barrier_stay(own_server: PrivateServer, task: Any) -> None:
    decision = await task.agree("n", parties=["a"])
    await task.barrier("b", parties=1)
    restart(own_server)
    assert await task.agree("n", parties=["a"], vote=False) == decision
    await task.barrier("b", parties=1, timeout=0)


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_present_agent_stays_present(own_server: PrivateServer, task: Any) -> None:
    async with task.join("worker", ttl=60) as presence:
        joined = presence.joined_at
        restart(own_server)
        (member,) = await task.members()
        assert (member.id, member.joined_at) == (presence.id, joined)
    assert await task.members() == []


# Servers that lost all they had.


def lose_everything(server: PrivateServer) -> None:
    with server.client() as client:
        client.flushall()


@pytest.mark.parametrize("anew", [False, True], ids=["nobody else there", "made anew by others"])
@pytest.mark.parametrize("colour", COLOURS)
async def test_a_present_agent_comes_back_within_its_ttl(own_server: PrivateServer, task: Any, anew: bool) -> None:
    async with task.join("worker", ttl=1.5) as presence:
        lose_everything(own_server)
        if anew:
            await task.set("here", 1)
        await aeventually(task.members, timeout=1.5)
        (member,) = await task.members()
        assert (member.id, member.role) == (presence.id, "worker")
    assert await task.members() == []


@pytest.mark.parametrize("colour", COLOURS)
async def test_a_claim_is_lost_and_its_waiters_line_up_again(own_server: PrivateServer, task: Any) -> None:
    claim = await task.claim("r", ttl=0.9).acquire()
    token = claim.token
    waiting = asyncio.ensure_future(task.claim("r").acquire(timeout=scaled(20)))
    await aeventually(lambda: task.paths("@waiting/**"))
    lose_everything(own_server)
    await aeventually(lambda: claim.lost)
    with pytest.raises(ccs.ClaimLost):
        await claim.context.set("by", token)
    taken = await bounded(waiting, 20)
    assert taken.token > token
    await taken.release()


async def test_a_waiter_that_lines_up_just_before_all_is_lost_lines_up_again(
    own_server: PrivateServer, namespace: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a waiter that has not looked at its line yet, when all data are lost, then it does not wait for the lost line."""
    real, lost = Turns._draw, list[bool]()

    async def after_the_loss(self: Any) -> None:
        if not lost:
            await asyncio.to_thread(lose_everything, own_server)
            lost.append(True)
        await real(self)

    monkeypatch.setattr(Turns, "_draw", after_the_loss)
    async with ccs.aio.connect(own_server.url, namespace=namespace) as store:
        await store.task("t").claim("r", ttl=300).acquire()
        taken = await bounded(store.task("t").claim("r").acquire(timeout=scaled(20)), 10)
        assert taken.held
        assert lost
