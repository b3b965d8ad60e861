"""Whichever right a user lacks, what needs it is `Forbidden` at once and names it, and all else works."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest

import ccs
import ccs.aio
from ccs._protocol.access_rules import WRITERS
from tests.support.colours import COLOURS, connect_in
from tests.support.waiting import bounded, counts, scaled

KINDS = ("valkey", "redis", "cluster", "sentinel")
COMMANDS = sorted(WRITERS)
# In short rounds, a few commands on each kind of target, in one colour: not the same ones.
EVERY = counts(16, 1)
TRIED = [
    (kind, colour, command)
    for place, kind in enumerate(KINDS)
    for turn, colour in enumerate(COLOURS)
    for number, command in enumerate(COMMANDS)
    if (number + 4 * place) % EVERY == 0 and counts((number // EVERY + place) % 2 == turn, True)
]


async def _watched(task: Any) -> None:
    async with task.watch("**") as changes:
        await task.set("watched", 1)
        await changes.receive(timeout=5)


async def _transaction(task: Any) -> None:
    async with task.transaction() as tx:
        await tx.get("a")
        tx.set("x", 1)
        tx.delete("b")


async def _claimed(task: Any) -> None:
    async with task.claim("r", wait=1):
        pass


CALLS: dict[str, Callable[[Any], Awaitable[Any]]] = {
    "set": lambda task: task.set("a", 1),
    "a deadline": lambda task: task.set("t", 1, ttl=60),
    "set_many": lambda task: task.set_many({"a": 1, "b": 2, "c": 3}),
    "get": lambda task: task.get("a"),
    "snapshot": lambda task: task.snapshot(),
    "below": lambda task: task.snapshot("a/**"),
    "history": lambda task: task.history(),
    "backwards": lambda task: task.history(newest_first=True),
    "info": lambda task: task.info(),
    "watch": _watched,
    "transaction": _transaction,
    "claim": _claimed,
    "delete_matching": lambda task: task.delete_matching("*"),
    "durable": lambda task: task.durable(disk=False, replicas=1, timeout=scaled(5)).set("d", 1),
    "drop": lambda task: task.drop(),
}


@pytest.fixture
def url(request: pytest.FixtureRequest, server_urls: Callable[[str], str]) -> str:
    return server_urls(request.param)


@pytest.mark.parametrize(("url", "colour", "command"), TRIED, indirect=["url"])
async def test_what_needs_a_right_that_is_missing_is_forbidden_at_once(
    url: str, colour: str, command: str, namespace: str
) -> None:
    """Given a granted writer without one of its commands, when it does everything, then nothing but that right is missed."""
    has_replicas = "+" in url
    async with ccs.aio.connect(url, namespace=namespace) as admin:
        grant = await admin.grant(f"d{namespace}", write=["/tasks/*"])
        deny = ("ACL", "SETUSER", grant.user, f"-{command.lower()}")
        try:
            await admin._engine.opening.commands.on_every_server(deny)
        except ccs.CCSError as error:
            pytest.skip(f"this server has no {command}: {error}")
        denied: list[str] = []
        with suppress(ccs.Forbidden):  # entering may need it too
            async with connect_in(colour, grant.url, namespace=namespace, retry_for=scaled(20)) as store:
                for name, call in CALLS.items():
                    if name != "durable" or has_replicas:
                        denied += await _denied(call(store.task("42")))
        named = "subscribe to" if "SUBSCRIBE" in command else command.split("|")[0]
        assert all(named in action for action in denied), denied
        await admin.revoke(grant.user)


async def _denied(call: Awaitable[Any]) -> list[str]:
    """What of a call was denied, if anything was: at once."""
    began = time.monotonic()
    try:
        await bounded(call, 15)
    except ccs.Forbidden as error:
        within = time.monotonic() - began < scaled(2)
        return [error.action if within else "only after a while"]
    return []
