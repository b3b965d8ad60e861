"""One test for both colours: a blocking store that is spoken to as if it were an asyncio one."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

from anyio import from_thread, to_thread

import ccs
import ccs.aio

COLOURS = ("blocking", "asyncio")
PLAIN = {
    "Store": {"task", "session", "actor", "global_context", "context", "memory", "watch", "stats"},
    "Context": {
        "transaction",
        "watch",
        "scan",
        "events",
        "inbox",
        "claim",
        "claim_all",
        "jobs",
        "join",
        "durable",
        "view",
        "reader",
        "tools",
    },
    "Claim": {"on_lost"},
    "Message": {"keep"},
    "Toolset": {"schemas", "openai", "anthropic"},
    "Transaction": {"set", "delete", "publish", "send", "increment", "append", "merge", "renew"},
}
"""What is called without `await` in both colours."""


class Awaited:
    """A blocking store, context, transaction or watch, whose calls are awaited: each runs in a thread."""

    def __init__(self, blocking: Any) -> None:
        self.blocking = blocking

    def __repr__(self) -> str:
        return f"<Awaited {self.blocking!r}>"

    def __getattr__(self, name: str) -> Any:
        found = getattr(self.blocking, name)
        if not callable(found):
            return _awaited(found)
        if name in PLAIN.get(type(self.blocking).__name__, ()):
            return lambda *args, **options: _awaited(found(*args, **options))
        return partial(_in_thread, found)

    async def __aenter__(self) -> Any:
        return _awaited(await to_thread.run_sync(self.blocking.__enter__))

    async def __aexit__(self, *exc: object) -> Any:
        return await to_thread.run_sync(self.blocking.__exit__, *exc)

    def __aiter__(self) -> AsyncIterator[Any]:
        return _steps(iter(self.blocking))


async def _in_thread(call: Callable[..., Any], *args: Any, **options: Any) -> Any:
    return _awaited(await to_thread.run_sync(partial(call, *map(_plain, args), **options)))


def _plain(argument: Any) -> Any:
    """What the blocking side can take: its own contexts, and functions that it can call, as `transact` does."""
    if isinstance(argument, Awaited):
        return argument.blocking
    if not inspect.iscoroutinefunction(argument):
        return argument
    return lambda *given: from_thread.run(argument, *map(_awaited, given))


def _awaited(result: Any) -> Any:
    if type(result).__name__ in (
        "Store",
        "Context",
        "Transaction",
        "Watch",
        "StoreWatch",
        "Tail",
        "Memory",
        "EventWatch",
        "EventBus",
        "Inbox",
        "Message",
        "Claim",
        "ClaimGroup",
        "Jobs",
        "Job",
        "Presence",
        "Reader",
        "Toolset",
        "Semantic",
        "Episodic",
        "Procedural",
    ):
        return Awaited(result)
    if isinstance(result, list):
        return list(map(_awaited, result))
    return _steps(result) if inspect.isgenerator(result) else result


async def _steps(iterator: Any) -> AsyncIterator[Any]:
    end = object()
    while (step := await to_thread.run_sync(next, iterator, end)) is not end:
        yield _awaited(step)


def awaited(store: ccs.Store) -> Any:
    """The store, as if it were an asyncio one."""
    return Awaited(store)


def connect_in(colour: str, target: str, **options: Any) -> Any:
    """A store of a colour, not entered yet; both are awaited."""
    return ccs.aio.connect(target, **options) if colour == "asyncio" else awaited(ccs.connect(target, **options))
