"""The connection of a store, asyncio: all tasks share one, and each gets its replies in order.

A cancelled caller does not break the order: its entry stays in the queue, and its reply is dropped when it comes. The
blocking twin of this file is written by hand too: there each thread takes a connection of its own.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections import deque
from collections.abc import Sequence
from functools import partial
from typing import Any

from ccs._async.transport.connect import Dialer
from ccs._async.transport.connection import Connection, OnReply, open_connection
from ccs._core.commits.commit import Argument
from ccs._core.names.server_url import Endpoint
from ccs._core.nodes.cluster_layout import Node
from ccs._core.retry import Patience
from ccs._protocol.faults import Disconnected, copy_of
from ccs._protocol.replies import ServerError, pack
from ccs._stats import Counters
from ccs.errors import CCSError, StoreClosed

__all__ = ["Pool"]

# Seconds between two checks for replies that are due.
_LOOK = 0.1


class Pool:
    """One connection, opened when it is needed, and again after a loss."""

    def __init__(self, dialer: Dialer, stats: Counters) -> None:
        self._dialer = dialer
        self._stats = stats
        self.clock = dialer.clock
        self._pipeline: _Pipeline | None = None
        self._dialing: asyncio.Task[_Pipeline] | None = None
        self._dialed_at = 0.0
        self._opened = 0
        self._closed = False

    def __repr__(self) -> str:
        return (
            f"<Pool to {self._dialer.address}, {'up' if self._pipeline and self._pipeline.connection.up else 'down'}>"
        )

    @property
    def dialer(self) -> Dialer:
        """What opens the connections."""
        return self._dialer

    @property
    def endpoint(self) -> Endpoint:
        """Where the connections lead to."""
        return self._dialer.target.endpoint

    async def call(self, command: tuple[Argument, ...], patience: Patience) -> Any:
        """Returns the reply to one command. Raises `Disconnected` if there is none, `ServerError` if the server refuses."""
        pipeline = self._pipeline if self._pipeline and self._pipeline.connection.up else await self._open(patience)
        return await pipeline.call(command, patience)

    async def call_all(self, commands: Sequence[tuple[Argument, ...]], patience: Patience) -> list[Any]:
        """Returns the replies to several commands, which are sent together; errors of the server are among them."""
        pipeline = self._pipeline if self._pipeline and self._pipeline.connection.up else await self._open(patience)
        replies = await pipeline.call_all(commands, patience)
        for reply in replies:
            if isinstance(reply, BaseException) and not isinstance(reply, ServerError):
                raise reply
        return replies

    def post(self, command: tuple[Argument, ...], on_reply: OnReply) -> bool:
        """Sends a command at once. Returns whether there was a connection.

        `on_reply` gets what `call` would return or raise.
        """
        if self._pipeline is None or not self._pipeline.connection.up:
            return False
        self._pipeline.send(command, on_reply)
        return True

    @property
    def node(self) -> Node | None:
        """Where the newest connection leads to."""
        return self._dialer.node

    def waits(self) -> float:
        """Returns for how many seconds a command has waited for its reply, or for a connection, without any progress."""
        if self._dialing:
            return time.monotonic() - self._dialed_at
        return self._pipeline.silence() if self._pipeline else 0.0

    def renew(self, reason: str) -> None:
        """Ends the connection, so that commands go over another one; those that wait are tried again."""
        if self._dialing:
            self._dialing.cancel()
        if self._pipeline:
            self._pipeline.connection.lose(ConnectionError(reason))

    async def aclose(self) -> None:
        """Closes the connection for good. Callers that wait get `Disconnected`, and `StoreClosed` if they try again."""
        self._closed = True
        if self._dialing:
            self._dialing.cancel()
            await asyncio.wait([self._dialing])
        if self._pipeline:
            await self._pipeline.connection.aclose(ConnectionError("the store was closed"))
        await self._dialer.aclose()

    async def _open(self, patience: Patience) -> _Pipeline:
        # All callers share one attempt, in a task of its own: attempts do not add up, and a cancelled caller takes it
        # from no other.
        if self._closed:
            raise StoreClosed(f"the store at {self._dialer.address} is closed; connect anew")
        if self._dialing is None:
            self._dialing = asyncio.create_task(self._dial(), name="ccs dial")
            self._dialed_at = time.monotonic()
            # Retrieved here too: all its callers may have been cancelled.
            self._dialing.add_done_callback(lambda task: task.cancelled() or task.exception())
        dialing = self._dialing
        await asyncio.wait([dialing], timeout=patience.left(time.monotonic()))
        if not dialing.done():
            raise Disconnected("no connection could be opened in time", sent=False)
        if dialing.cancelled():
            if self._closed:
                raise StoreClosed(f"the store at {self._dialer.address} was closed; connect anew")
            raise Disconnected("another server has taken over meanwhile", sent=False)
        if error := dialing.exception():
            raise copy_of(error)
        return dialing.result()

    async def _dial(self) -> _Pipeline:
        pipeline = _Pipeline(self._dialer.timeout, self._stats)
        try:
            pipeline.connection = await open_connection(self._dialer, pipeline.receive, pipeline.end)
        finally:
            self._dialing = None
        self._pipeline = pipeline
        self._opened += 1
        self._stats.add("reconnects", int(self._opened > 1))
        return pipeline


class _Pipeline:
    """The commands on one open connection, and the callers that wait for their replies, in order."""

    connection: Connection

    def __init__(self, timeout: float, stats: Counters) -> None:
        self._timeout = timeout
        self._stats = stats
        # Each caller, and the time when its patience ends.
        self._waiting: deque[tuple[OnReply, float]] = deque()
        self._loop = asyncio.get_running_loop()
        self._progress = self._loop.time()
        self._watchdog: asyncio.TimerHandle | None = None

    def send(self, command: tuple[Argument, ...], on_reply: OnReply) -> None:
        """Sends a command at once. `on_reply` gets its reply, an error of the server, or `Disconnected`.

        The callers that wait bound how much is in flight, so there is no need to drain.
        """
        self._transmit(pack(command), ((on_reply, math.inf),))

    def _transmit(self, packed: bytes, waiting: Sequence[tuple[OnReply, float]]) -> None:
        idle = not self._waiting
        self._waiting.extend(waiting)
        self.connection.write(packed)
        # The rest is done while the server works.
        if idle:
            self._progress = self._loop.time()
            self._watch()
        self._stats.add("bytes", len(packed))

    async def call(self, command: tuple[Argument, ...], patience: Patience) -> Any:
        """Returns the reply to a command. A cancelled caller keeps its position in the queue."""
        if not self.connection.up:
            # Lost between its opening and its first command.
            raise Disconnected("the connection broke as it was opened", sent=False)
        # First of all: a command that cannot be packed must leave no waiting reply behind.
        packed = pack(command)
        reply: asyncio.Future[Any] = self._loop.create_future()
        now = time.monotonic()
        patience.begin()
        try:
            self._transmit(packed, ((partial(_settle, reply), now + patience.left(now)),))
            return await reply
        except BaseException:
            reply.cancel()  # nobody waits for it, also if a signal handler raised while it was sent
            raise
        finally:
            # Its error refers to this frame, which would keep all callers alive until the next collection.
            del reply

    async def call_all(self, commands: Sequence[tuple[Argument, ...]], patience: Patience) -> list[Any]:
        """Returns the replies to several commands, errors among them."""
        if not self.connection.up:
            raise Disconnected("the connection broke as it was opened", sent=False)
        packed = b"".join(map(pack, commands))
        replies = [self._loop.create_future() for _ in commands]
        now = time.monotonic()
        until = now + patience.left(now)
        patience.begin()
        try:
            self._transmit(packed, [(partial(_settle, reply), until) for reply in replies])
        except BaseException:
            for reply in replies:
                reply.cancel()
            raise
        return await asyncio.gather(*replies, return_exceptions=True)

    def silence(self) -> float:
        """Returns for how many seconds replies are due and none has come."""
        return self._loop.time() - self._progress if self._waiting else 0.0

    def receive(self, reply: Any) -> None:
        """Takes a reply, which belongs to the caller that has waited longest."""
        self._progress = self._loop.time()
        self._waiting.popleft()[0](reply)

    def end(self, reason: BaseException) -> None:
        """Fails the callers that wait: there will be no more replies."""
        if self._watchdog:
            self._watchdog.cancel()
        while self._waiting:
            self._waiting.popleft()[0](reason if isinstance(reason, CCSError) else Disconnected(reason, sent=True))

    def _watch(self) -> None:
        # A running timer checks again by itself.
        if not self._watchdog:
            self._watchdog = self._loop.call_later(min(_LOOK, self._timeout), self._check)

    def _check(self) -> None:
        # One timer for all callers. It ends the connection if replies are due and none has come for a while. It fails
        # the callers whose patience is over.
        self._watchdog = None
        if not self._waiting or not self.connection.up:
            return None
        self._give_up(time.monotonic())
        if self._loop.time() < self._progress + self._timeout:
            return self._watch()
        return self.connection.lose(TimeoutError(f"no answer within {self._timeout:g} seconds"))

    def _give_up(self, now: float) -> None:
        for index, (on_reply, until) in enumerate(self._waiting):
            if until <= now:
                # Its reply may still come, and must not reach another caller.
                self._waiting[index] = _nobody, math.inf
                on_reply(Disconnected("no answer in time", sent=True))


def _nobody(_: Any) -> None: ...


def _settle(future: asyncio.Future[Any], reply: Any) -> None:
    if future.done():
        return
    if isinstance(reply, Exception):
        future.set_exception(reply)
    else:
        future.set_result(reply)
