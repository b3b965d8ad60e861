"""How commands travel, asyncio: one connection that all tasks share, each reply to its caller, in order.

Nobody's cancellation can break it: a caller that goes away leaves its place in the queue, and its reply is dropped
when it comes. The blocking twin of this file is written by hand too: threads take a connection each.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import hiredis
from redis.exceptions import RedisError, ResponseError

from ccs._core.commit import Argument
from ccs._core.grouping import copy_of
from ccs._faults import LinkDown, dial_fault
from ccs._replies import NOTHING_YET, reply_reader
from ccs._stats import Counters
from ccs.aio.dial import Dialer
from ccs.errors import StoreClosed

__all__ = ["Link", "OnReply", "dial"]

OnReply = Callable[[Any], None]


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

    async def call(self, command: tuple[Argument, ...]) -> Any:
        """The reply to one command; `LinkDown` where there is none, redis-py's errors for those of the server."""
        wire = self._wire if self._wire and self._wire.up else await self._open()
        return await wire.call(command)

    async def call_all(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        """The replies to several commands, sent one right after the other; the first error of the server is raised."""
        wire = self._wire if self._wire and self._wire.up else await self._open()
        replies = await asyncio.gather(*map(wire.call, commands), return_exceptions=True)
        for reply in replies:
            if isinstance(reply, BaseException):
                raise reply
        return replies

    def post(self, command: tuple[Argument, ...], on_reply: OnReply) -> bool:
        """Sends a command at once, for who does not wait; whether there was a connection to send it by.

        `on_reply` gets what `call` would return or raise.
        """
        if self._wire is None or not self._wire.up:
            return False
        self._wire.send(command, on_reply)
        return True

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
            connection = await dial(self._dialer)
            kind = _SocketWire if hasattr(connection._writer, "transport") else _MemoryWire
            self._wire = kind(connection, self._dialer.timeout, self._stats)
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


class _Wire:
    """One open connection, and those who wait for their replies, in order."""

    def __init__(self, connection: Any, timeout: float, stats: Counters) -> None:
        self._connection, self._timeout, self._stats = connection, timeout, stats
        self._waiting: deque[OnReply] = deque()
        self._loop = asyncio.get_running_loop()
        self._progress = self._loop.time()
        self._watchdog: asyncio.TimerHandle | None = None
        self.up = True

    def send(self, command: tuple[Argument, ...], on_reply: OnReply) -> None:
        """Sends a command at once; `on_reply` is called with its reply, an error of the server, or `LinkDown`."""
        if not self._waiting:
            self._progress = self._loop.time()
            self._watch()
        # First this: a command that cannot be packed must not leave anybody behind who waits for a reply.
        packed = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub knows only tuples of one
        self._waiting.append(on_reply)
        self._write(packed)
        self._stats.add("bytes", len(packed))

    async def call(self, command: tuple[Argument, ...]) -> Any:
        """The reply to a command; whoever goes away leaves its place in the queue."""
        if not self.up:
            # Between its opening and its first command: nobody is left who would answer.
            raise LinkDown("the connection broke as it was opened", sent=False)
        reply: asyncio.Future[Any] = self._loop.create_future()
        self.send(command, partial(_settle, reply))
        return await reply

    async def aclose(self, reason: BaseException) -> None:
        """Ends the connection; who waits is told why."""
        raise NotImplementedError

    def _write(self, packed: bytes) -> None:
        """Sends bytes at once.

        Not with `send_command`: cancelled in its drain, it would close a connection that others share. What is in flight
        is bounded by those who wait for it, so there is no need to drain.
        """
        raise NotImplementedError

    def _end(self) -> None:
        """Lets go of the connection at once."""
        raise NotImplementedError

    def _hand_out(self, reply: Any) -> None:
        self._progress = self._loop.time()
        self._waiting.popleft()(reply)

    def _fail(self, reason: BaseException) -> None:
        self.up = False
        if self._watchdog:
            self._watchdog.cancel()
        while self._waiting:
            self._waiting.popleft()(LinkDown(reason, sent=True))

    def _watch(self) -> None:
        # A timer that still runs looks again by itself.
        if not self._watchdog:
            self._watchdog = self._loop.call_at(self._progress + self._timeout, self._check)

    def _check(self) -> None:
        # One timer for everybody: it ends the connection when replies are due and nothing has come for a while.
        self._watchdog = None
        if not self._waiting or not self.up:
            return None
        if self._loop.time() < self._progress + self._timeout:
            return self._watch()
        self._fail(TimeoutError(f"no answer within {self._timeout:g} seconds"))
        self._end()


class _SocketWire(_Wire, asyncio.Protocol):
    """A connection that redis-py has opened; from then on its bytes come to us, without a task in between."""

    def __init__(self, connection: Any, timeout: float, stats: Counters) -> None:
        super().__init__(connection, timeout, stats)
        self._reader = reply_reader()
        self._lost: asyncio.Future[None] = self._loop.create_future()
        self._transport = connection._writer.transport
        self._transport.set_protocol(self)

    def data_received(self, data: bytes) -> None:
        """Hands out the replies that are complete."""
        try:
            self._reader.feed(data)
            while (reply := self._reader.gets()) is not NOTHING_YET:
                if isinstance(reply, RedisError) and not isinstance(reply, ResponseError):
                    raise reply  # one that says that this connection is of no use, as redis-py sees it
                self._hand_out(reply)
        except (RedisError, IndexError) as error:  # IndexError: a reply that nobody has asked for
            self._fail(error)
            self._end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tells those who still wait."""
        self._fail(exc or ConnectionError("the server closed the connection"))
        self._end()
        if not self._lost.done():
            self._lost.set_result(None)

    async def aclose(self, reason: BaseException) -> None:
        self._fail(reason)
        self._end()
        await asyncio.wait([self._lost])

    def _write(self, packed: bytes) -> None:
        self._transport.write(packed)

    def _end(self) -> None:
        self._transport.abort()
        self._connection._close()


class _MemoryWire(_Wire):
    """A connection to a server of fakeredis, which has no socket."""

    def __init__(self, connection: Any, timeout: float, stats: Counters) -> None:
        super().__init__(connection, timeout, stats)
        self._reader = self._loop.create_task(self._read(), name="ccs link")

    async def _read(self) -> None:
        try:
            while True:
                try:
                    reply = await self._connection.read_response()
                except ResponseError as error:
                    self._hand_out(error)
                else:
                    self._hand_out(reply)
        except (RedisError, OSError, IndexError) as error:
            self._fail(error)
            await self._connection.disconnect(nowait=True)

    async def aclose(self, reason: BaseException) -> None:
        self._fail(reason)
        self._end()
        await asyncio.wait([self._reader])
        await self._connection.disconnect()

    def _write(self, packed: bytes) -> None:
        self._connection._writer.writelines((packed,))

    def _end(self) -> None:
        self._reader.cancel()


def _settle(future: asyncio.Future[Any], reply: Any) -> None:
    if future.done():
        return
    if isinstance(reply, Exception):
        future.set_exception(reply)
    else:
        future.set_result(reply)
