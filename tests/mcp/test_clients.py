"""The clients of a server: each has a toolset of its own, and who has gone gives back what it held."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

import ccs.aio
from ccs.mcp.clients import Clients
from tests.support.waiting import aeventually


@pytest.fixture
def clients(task: ccs.aio.Context) -> Clients:
    return Clients(lambda: task.tools(write=["**"]))


@pytest.fixture
def fleeting(task: ccs.aio.Context) -> Clients:
    """Clients that are taken for gone after a tenth of a second."""
    return Clients(lambda: task.tools(write=["**"]), silence=0.1)


async def claim(clients: Clients, key: Any) -> bool:
    result = await clients.call(key, "claim", {"resource": "r"})
    return bool(result.data["done"])


async def test_the_claim_of_one_client_is_not_that_of_another(clients: Clients) -> None:
    assert await claim(clients, "a")
    assert not await claim(clients, "b")
    await clients.leave("a")
    assert await claim(clients, "b")
    await clients.aclose()


async def test_a_client_that_is_not_heard_any_more_gives_back_what_it_held(
    fleeting: Clients, task: ccs.aio.Context
) -> None:
    assert await claim(fleeting, "a")
    await aeventually(lambda: _holds(task, set()), 5, "the claim to be given back")
    assert await claim(fleeting, "a")
    await fleeting.aclose()


async def test_who_waits_is_heard_and_the_client_of_a_pipe_never_goes(fleeting: Clients, task: ccs.aio.Context) -> None:
    assert (await fleeting.call(None, "claim", {"resource": "pipe"})).data["done"]
    waiting = asyncio.create_task(fleeting.call("a", "wait", {"timeout": 25, "patterns": ["never"]}))
    assert await claim(fleeting, "a")
    await fleeting.call("b", "claim", {"resource": "other"})
    await aeventually(lambda: _holds(task, {"pipe", "r"}), 5, "who is silent to be taken for gone")
    waiting.cancel()
    await aeventually(lambda: _holds(task, {"pipe"}), 5, "who waits no more too")
    await fleeting.aclose()
    assert await _holds(task, set())


async def test_calls_that_depend_on_each_other_take_turns(clients: Clients, task: ccs.aio.Context) -> None:
    for number in range(3):
        await task.send("analyst", number)
    turns = Clients(lambda: task.tools(role="analyst"))
    received = await asyncio.gather(*(turns.call(None, "inbox", {}) for _ in range(3)))
    assert {each.data["message"] for each in received} == {received[0].data["message"]}
    await turns.aclose()


async def _holds(task: ccs.aio.Context, wanted: set[str]) -> bool:
    return {each.resource for each in await task.claims()} == wanted
