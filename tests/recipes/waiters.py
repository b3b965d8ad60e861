"""Waiters, recipe by recipe: what they need before, how they wait, and what ends the wait of one of them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, NamedTuple

from tests.support.waiting import aeventually, scaled

PATIENCE = scaled(20)


class Seat(NamedTuple):
    """How the waiter of a number waits, for some seconds, and the pattern of the entry that it has meanwhile."""

    wait: Callable[[int, float | None], Awaitable[Any]]
    mark: str = ""
    shared: bool = False
    """Whether all waiters in a store share one subscription."""


Play = Callable[[Any, Any], AbstractAsyncContextManager[Seat]]
"""Takes the context of the waiters and that of another agent, which ends the wait of one of them when the block is left."""


@asynccontextmanager
async def receiving(task: Any, other: Any) -> AsyncIterator[Seat]:
    async def wait(_: int, timeout: float | None) -> Any:
        async with task.inbox("r") as inbox:
            return (await inbox.receive(timeout=timeout)).content

    yield Seat(wait, shared=True)
    await other.send("r", "hello")


@asynccontextmanager
async def running(task: Any, other: Any) -> AsyncIterator[Seat]:
    begun, go = asyncio.Event(), asyncio.Event()

    async def run() -> str:
        begun.set()
        await go.wait()
        return "done"

    runner = asyncio.ensure_future(other.once("k", run))
    await begun.wait()
    yield Seat(lambda _, timeout: task.once("k", str, timeout=timeout))
    go.set()
    assert await runner == "done"


@asynccontextmanager
async def looking(task: Any, other: Any) -> AsyncIterator[Seat]:
    yield Seat(lambda _, timeout: task.wait_for("status", timeout=timeout))
    await other.set("status", "ready")


@asynccontextmanager
async def claiming(task: Any, other: Any) -> AsyncIterator[Seat]:
    claim = await other.claim("c").acquire()
    yield Seat(lambda _, timeout: task.claim("c").acquire(timeout=timeout), "@waiting/**", shared=True)
    await claim.release()


@asynccontextmanager
async def agreeing(task: Any, other: Any, voters: int = 1) -> AsyncIterator[Seat]:
    names = [f"voter {number}" for number in range(voters)]

    def wait(number: int, timeout: float | None) -> Awaitable[Any]:
        party = task.store.task("t", agent=names[number])
        return party.agree("n", parties=[*names, other.agent], timeout=timeout)  # type: ignore[no-any-return]

    yield Seat(wait, "@agreements/n/votes/*")
    await other.agree("n", parties=[*names, other.agent], timeout=PATIENCE)


@asynccontextmanager
async def meeting(task: Any, other: Any, parties: int = 1) -> AsyncIterator[Seat]:
    yield Seat(lambda _, timeout: task.barrier("b", parties=parties + 1, timeout=timeout), "@barriers/b/*", shared=True)
    await other.barrier("b", parties=parties + 1, timeout=PATIENCE)


async def seated(task: Any, other: Any, seat: Seat, count: int = 1) -> None:
    """Waits until that many waiters wait, and have done all that they do before."""

    async def there() -> bool:
        return listening(task) >= (1 if seat.shared else count) and (
            not seat.mark or len(await other.paths(seat.mark)) == count
        )

    await aeventually(there, what=f"{count} to wait")


def listening(task: Any) -> int:
    """Returns how many waiters of this store are subscribed to the context, once the first has seen the present state."""
    dispatcher = task.handle.engine.opening.dispatcher
    feed = getattr(dispatcher, "_dispatcher", dispatcher)._feeds.get(task.address)
    return len(feed.mailboxes) if feed and feed.last is not None else 0
