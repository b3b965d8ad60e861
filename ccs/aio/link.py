"""How commands travel, asyncio: one connection that all tasks share, each reply to its caller, in order.

Nobody's cancellation can break it: a caller that goes away leaves its place in the queue, and its reply is dropped
when it comes. The blocking twin of this file is written by hand too: threads take a connection each.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any

import hiredis
from redis.exceptions import RedisError, ResponseError

from ccs._core.commit import Argument
from ccs._core.grouping import copy_of
from ccs._faults import LinkDown, dial_fault
from ccs._stats import Counters
from ccs.aio.dial import Dialer
from ccs.errors import StoreClosed

__all__ = ["Link", "dial", "post"]


class Link:
    """A connection that is opened when it is needed, and again after it broke."""

    def __init__(self, dialer: Dialer, stats: Counters) -> None:
        self._dialer, self._stats = dialer, stats
        self._wire: _Wire | None = None
        self._dialing: asyncio.Task[_Wire] | None = None
        self._opened = 0
        self._closed = False

    def __repr__(self) -> str:
        return f"<Link to {self._dialer.address}, {'up' if self._wire and self._wire.up else 'down'}>"

    async def call(self, *command: Argument) -> Any:
        """The reply to one command; `LinkDown` where there is none, redis-py's errors for those of the server."""
        wire = self._wire if self._wire and self._wire.up else await self._open()
        return await wire.call(command)

    async def aclose(self) -> None:
        """Closes the connection for good; callers that wait get `LinkDown`, and `StoreClosed` if they try again."""
        self._closed = True
        if self._dialing:
            self._dialing.cancel()
            await asyncio.wait([self._dialing])
        if self._wire:
            await self._wire.aclose(ConnectionError("the store was closed"))

    async def _open(self) -> _Wire:
        # One attempt for all who wait, in a task of its own: nobody waits for the others' attempts too, and who goes
        # away takes it from nobody.
        if self._closed:
            raise StoreClosed(f"the store at {self._dialer.address} is closed; connect anew")
        if self._dialing is None:
            self._dialing = asyncio.create_task(self._dial(), name="ccs dial")
            # Looked at here too: all who waited for it may have gone away.
            self._dialing.add_done_callback(lambda task: task.cancelled() or task.exception())
        dialing = self._dialing
        await asyncio.wait([dialing])
        if dialing.cancelled():
            raise StoreClosed(f"the store at {self._dialer.address} was closed; connect anew")
        if error := dialing.exception():
            raise copy_of(error)
        return dialing.result()

    async def _dial(self) -> _Wire:
        try:
            self._wire = _Wire(await dial(self._dialer), self._dialer.timeout, self._stats)
        finally:
            self._dialing = None
        self._opened += 1
        self._stats.add("reconnects", int(self._opened > 1))
        return self._wire


async def dial(dialer: Dialer) -> Any:
    """A new connection, which waits for replies without end; `LinkDown` where trying again may help."""
    try:
        connection = await dialer.dial()
    except (RedisError, OSError) as error:
        raise dial_fault(error, dialer.address) from error
    # A watchdog or a heartbeat looks after it from here on.
    connection.socket_timeout = None
    return connection


def post(connection: Any, *command: Argument) -> int:
    """Sends a command at once; of how many bytes.

    Not with `send_command`: cancelled in its drain, it would close a connection that others share. What is in flight
    is bounded by those who wait for it, so there is no need to drain.
    """
    packed = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub knows only tuples of one
    if connection._writer:
        connection._writer.writelines((packed,))
    return len(packed)


class _Wire:
    """One open connection and those who wait for their replies."""

    def __init__(self, connection: Any, timeout: float, stats: Counters) -> None:
        self._connection, self._timeout, self._stats = connection, timeout, stats
        self._waiting: deque[asyncio.Future[Any]] = deque()
        self._loop = asyncio.get_running_loop()
        self._progress = self._loop.time()
        self._watchdog: asyncio.TimerHandle | None = None
        self.up = True
        self._reader = self._loop.create_task(self._read(), name="ccs link")

    async def call(self, command: tuple[Argument, ...]) -> Any:
        if not self.up:
            # Between its opening and its first command: nobody is left who would answer.
            raise LinkDown("the connection broke as it was opened", sent=False)
        reply: asyncio.Future[Any] = self._loop.create_future()
        if not self._waiting:
            self._progress = self._loop.time()
            self._watch()
        # First this: a command that cannot be packed must not leave anybody behind who waits for a reply.
        self._stats.add("bytes", post(self._connection, *command))
        self._waiting.append(reply)
        return await reply

    async def aclose(self, reason: BaseException) -> None:
        self._fail(reason)
        self._reader.cancel()
        await asyncio.wait([self._reader])
        await self._connection.disconnect()

    async def _read(self) -> None:
        try:
            while True:
                try:
                    reply = await self._connection.read_response()
                except ResponseError as error:
                    self._hand_out(error)
                else:
                    self._hand_out(reply)
        except (RedisError, OSError, IndexError) as error:  # IndexError: a reply that nobody has asked for
            self._fail(error)
            await self._connection.disconnect(nowait=True)

    def _hand_out(self, reply: Any) -> None:
        self._progress = self._loop.time()
        waiting = self._waiting.popleft()
        if waiting.done():
            return
        if isinstance(reply, ResponseError):
            waiting.set_exception(reply)
        else:
            waiting.set_result(reply)

    def _fail(self, reason: BaseException) -> None:
        self.up = False
        if self._watchdog:
            self._watchdog.cancel()
        while self._waiting:
            waiting = self._waiting.popleft()
            if not waiting.done():
                waiting.set_exception(LinkDown(reason, sent=True))

    def _watch(self) -> None:
        if self._watchdog:
            self._watchdog.cancel()
        self._watchdog = self._loop.call_at(self._progress + self._timeout, self._check)

    def _check(self) -> None:
        # One timer for everybody: it ends the connection when replies are due and nothing has come for a while.
        if not self._waiting or not self.up:
            return None
        if self._loop.time() < self._progress + self._timeout:
            return self._watch()
        self._fail(TimeoutError(f"no answer within {self._timeout:g} seconds"))
        self._reader.cancel()
