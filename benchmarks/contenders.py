"""Who takes part: each contender with its adapter, its server and its event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from contextlib import aclosing, asynccontextmanager, closing, contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any, TypeVar

from benchmarks.adapters.bare_aio import BareAsync
from benchmarks.adapters.bare_blocking import BareBlocking
from benchmarks.adapters.ccs_aio import AsyncStore
from benchmarks.adapters.ccs_blocking import BlockingStore
from benchmarks.adapters.etcd import Etcd
from benchmarks.adapters.naive_aio import NaiveAsync
from benchmarks.adapters.naive_blocking import NaiveBlocking
from benchmarks.adapters.nats_kv import NatsKV
from benchmarks.client import AsyncClient, Client

__all__ = ["CONTENDERS", "AsyncContender", "BlockingContender", "Contender", "Entrant", "Where"]

# The URL of the server, the room, and how many callers there will be at once.
Where = tuple[str, str, int]
Connect = Callable[[str, str, int], Client]
AsyncConnect = Callable[[str, str, int], Awaitable[AsyncClient]]
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Entrant:
    """Someone who takes part: a row of the tables."""

    name: str
    about: str
    takes: tuple[str, ...]  # the measures it takes part in
    server: str = "valkey"
    beside: str | None = None  # whom it is compared with
    needs: str | None = None  # a module that may not be installed

    def missing(self) -> str | None:
        """Why it cannot take part, its server aside."""
        return f"{self.needs} is not installed" if self.needs and find_spec(self.needs) is None else None


@dataclass(frozen=True, slots=True, kw_only=True)
class BlockingContender(Entrant):
    """One whose calls block."""

    connect: Connect

    def run(
        self,
        blocking: Callable[[BlockingContender], T],
        asynchronous: Callable[[AsyncContender], Coroutine[Any, Any, T]],
    ) -> T:
        """Does what is meant for its colour."""
        return blocking(self)

    @contextmanager
    def client(self, where: Where) -> Iterator[Client]:
        """A client, closed in the end."""
        with closing(self.connect(*where)) as client:
            yield client


@dataclass(frozen=True, slots=True, kw_only=True)
class AsyncContender(Entrant):
    """One on an event loop."""

    connect: AsyncConnect
    uvloop: bool = False

    def run(
        self,
        blocking: Callable[[BlockingContender], T],
        asynchronous: Callable[[AsyncContender], Coroutine[Any, Any, T]],
    ) -> T:
        """Does what is meant for its colour, on a new event loop."""
        with asyncio.Runner(loop_factory=_uvloop if self.uvloop else None) as runner:
            return runner.run(asynchronous(self))

    @asynccontextmanager
    async def client(self, where: Where) -> AsyncIterator[AsyncClient]:
        """A client, closed in the end."""
        async with aclosing(await self.connect(*where)) as client:
            yield client


Contender = BlockingContender | AsyncContender


def _uvloop() -> asyncio.AbstractEventLoop:
    import uvloop  # noqa: PLC0415  optional

    loop: asyncio.AbstractEventLoop = uvloop.new_event_loop()
    return loop


_CALLS = ("put", "get")
_LIVE = (*_CALLS, "latency", "fanout")
_OURS = (*_LIVE, "claim", "durability", "handover", "delivery", "resume", "mirror", "growth")
_BARE = (*_CALLS, "mirror")
_UV = (*_CALLS, "latency")

CONTENDERS: tuple[Contender, ...] = (
    BlockingContender("ccs", "CCS, blocking", _OURS, beside="naive", connect=BlockingStore),
    AsyncContender("ccs.aio", "CCS, asyncio", (*_OURS, "memory"), beside="naive.aio", connect=AsyncStore.connect),
    AsyncContender(
        "ccs.aio+uvloop",
        "CCS on uvloop",
        _UV,
        beside="naive.aio+uvloop",
        needs="uvloop",
        connect=AsyncStore.connect,
        uvloop=True,
    ),
    AsyncContender(
        "ccs.aio+fsync",
        "CCS, the server with appendfsync always",
        ("put",),
        "fsync",
        beside="etcd.aio",
        connect=AsyncStore.connect,
    ),
    BlockingContender("naive", "SET + PUBLISH + JSON, redis-py", _LIVE, connect=NaiveBlocking),
    AsyncContender("naive.aio", "SET + PUBLISH + JSON, redis-py's asyncio", _LIVE, connect=NaiveAsync.connect),
    AsyncContender(
        "naive.aio+uvloop",
        "SET + PUBLISH + JSON, redis-py on uvloop",
        _UV,
        needs="uvloop",
        connect=NaiveAsync.connect,
        uvloop=True,
    ),
    BlockingContender("bare", "SET / GET of bytes, redis-py", (*_BARE, "memory"), beside="naive", connect=BareBlocking),
    AsyncContender(
        "bare.aio", "SET / GET of bytes, redis-py's asyncio", _BARE, beside="naive.aio", connect=BareAsync.connect
    ),
    AsyncContender(
        "nats.aio",
        "NATS JetStream KV, nats-py",
        _LIVE,
        "nats",
        beside="naive.aio",
        needs="nats",
        connect=NatsKV.connect,
    ),
    AsyncContender(
        "etcd.aio",
        "etcd, aetcd",
        (*_LIVE, "resume"),
        "etcd",
        beside="naive.aio",
        needs="aetcd",
        connect=Etcd.connect,
    ),
)
