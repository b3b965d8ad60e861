"""A server that lacks a command, as some managed ones do, says which; what is lost without it is said, or done without."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

import ccs
from tests.support.colours import COLOURS, connect_in
from tests.support.servers import PrivateServer

Start = Callable[..., PrivateServer]
KINDS = ("valkey", "redis")

# By the command that is missing: a call that needs it, after a first commit where there can be one.
NEEDED: dict[str, Callable[[Any], Any]] = {
    "PUBLISH": lambda task: task.set("a", 1),
    "XADD": lambda task: task.set("a", 1),
    "HSET": lambda task: task.set("a", 1),
    "ZADD": lambda task: task.set("a", 1),
    "TIME": lambda task: task.set("a", 1),
    "HGET": lambda task: task.get("a"),
    "HGETALL": lambda task: task.snapshot(),
    "XREVRANGE": lambda task: task.history(newest_first=True),
    "ZREM": lambda task: task.delete("before"),
}
LATER = ("HGETALL", "XREVRANGE", "ZREM")
"""Those without which a context can begin."""


UNNEEDED = ("COPY", "RENAME", "HLEN", "XTRIM", "EVALSHA_RO", "EVAL_RO")
"""Those that save memory, or that others stand in for."""


def without(start: Start, kind: str, *commands: str) -> PrivateServer:
    options = [option for command in commands for option in ("--rename-command", command, "")]
    return start(*options, kind=kind)


@pytest.mark.parametrize("command", NEEDED)
async def test_a_command_that_is_missing_is_named(command: str, start: Start) -> None:
    """Given a server without a command, when a call needs it, then its error names the command, and nothing is half done."""
    kind = KINDS[list(NEEDED).index(command) % 2]
    server = await asyncio.to_thread(without, start, kind, command)
    for colour in COLOURS:
        async with connect_in(colour, server.url, namespace=colour) as store:
            task = store.task("42")
            if command in LATER:
                await task.set("before", 1)
            with pytest.raises(ccs.UnsafeServer, match=rf"no command {command}\b"):
                await NEEDED[command](task)
            if command == "ZREM":
                assert await task.get("before") == 1
                assert len(await task.history()) == 1
            with server.client() as client:
                assert bool(client.keys(f"*{colour}*:journal")) == (command in LATER)


@pytest.mark.parametrize("kind", KINDS)
async def test_what_only_tidies_up_is_done_without(kind: str, start: Start) -> None:
    """Given a server without what only saves memory, or what another command stands in for, then all works."""
    server = await asyncio.to_thread(without, start, kind, *UNNEEDED)
    for colour in COLOURS:
        async with connect_in(colour, server.url, namespace=colour) as store:
            task = store.task("42", keep_commits=2)
            for number in range(20):
                await task.set("a", number, ttl=60)
            assert await task.set_many({"b": 1, "c": 2})
            assert await task.delete("a")
            assert await task.delete_matching("b", "c") == 2
            assert dict(await task.snapshot()) == {}
            assert (await task.history())[-1].op == "delete"


@pytest.mark.parametrize("kind", KINDS)
async def test_in_a_batch_only_what_needs_the_missing_command_is_refused(kind: str, start: Start) -> None:
    """Given commits that travel together, when one needs a command that is missing, then the others stand, and say so."""
    server = await asyncio.to_thread(without, start, kind, "ZREM")
    async with ccs.aio.connect(server.url) as store:
        task = store.task("42")
        await task.set_many({"a": 0, "b": 0})
        calls = [task.increment("a") if number % 3 else task.delete("b") for number in range(30)]
        answers = await asyncio.gather(*calls, return_exceptions=True)
        refused = [answer for answer in answers if isinstance(answer, ccs.UnsafeServer)]
        assert len(refused) == 10
        assert sorted(answer for answer in answers if isinstance(answer, int)) == list(range(1, 21))
        assert {path: entry.value for path, entry in (await task.snapshot()).items()} == {"a": 20, "b": 0}
        assert len(await task.history("a")) == 21
