"""How commands travel, asyncio: one connection that all tasks share, each reply to its caller, in order.

Nobody's cancellation can break it: a caller that goes away leaves its place in the queue, and its reply is dropped
when it comes. The blocking twin of this file is written by hand too: threads take a connection each.
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
from ccs._async.transport.connection import OnReply, Wire, open_wire
from ccs._core.commits.commit import Argument
from ccs._core.retry import Patience
from ccs._protocol.faults import LinkDown, copy_of
from ccs._protocol.replies import ServerError, pack
from ccs._stats import Counters
from ccs.errors import CCSError, StoreClosed

__all__ = ["Pool"]

# Seconds between two looks at what waits.
_LOOK = 0.1


class Pool:
    """A connection that is opened when it is needed, and again after it broke."""

    def __init__(self, dialer: Dialer, stats: Counters) -> None:
        self._dialer = dialer
        self._stats = stats
        self.clock = dialer.clock
        self._talk: _Talk | None = None
        self._dialing: asyncio.Task[_Talk] | None = None
        self._opened = 0
        self._closed = False

    def __repr__(self) -> str:
        return f"<Pool to {self._dialer.address}, {'up' if self._talk and self._talk.wire.up else 'down'}>"

    async def call(self, command: tuple[Argument, ...], patience: Patience) -> Any:
        """The reply to one command; `LinkDown` where there is none, `ServerError` where the server refuses."""
        talk = self._talk if self._talk and self._talk.wire.up else await self._open(patience)
        return await talk.call(command, patience)

    async def call_all(self, commands: Sequence[tuple[Argument, ...]], patience: Patience) -> list[Any]:
        """The replies to several commands, sent one right after the other, errors of the server among them."""
        talk = self._talk if self._talk and self._talk.wire.up else await self._open(patience)
        replies = await talk.call_all(commands, patience)
        for reply in replies:
            if isinstance(reply, BaseException) and not isinstance(reply, ServerError):
                raise reply
        return replies

    def post(self, command: tuple[Argument, ...], on_reply: OnReply) -> bool:
        """Sends a command at once, for who does not wait; whether there was a connection to send it by.

        `on_reply` gets what `call` would return or raise.
        """
        if self._talk is None or not self._talk.wire.up:
            return False
        self._talk.send(command, on_reply)
        return True

    async def aclose(self) -> None:
        """Closes the connection for good; callers that wait get `LinkDown`, and `StoreClosed` if they try again."""
        self._closed = True
        if self._dialing:
            self._dialing.cancel()
            await asyncio.wait([self._dialing])
        if self._talk:
            await self._talk.wire.aclose(ConnectionError("the store was closed"))
        await self._dialer.aclose()

    async def _open(self, patience: Patience) -> _Talk:
        # One attempt for all who wait, in a task of its own: nobody waits for the others' attempts too, and who goes
        # away takes it from nobody.
        if self._closed:
            raise StoreClosed(f"the store at {self._dialer.address} is closed; connect anew")
        if self._dialing is None:
            self._dialing = asyncio.create_task(self._dial(), name="ccs dial")
            # Looked at here too: all who waited for it may have gone away.
            self._dialing.add_done_callback(lambda task: task.cancelled() or task.exception())
        dialing = self._dialing
        await asyncio.wait([dialing], timeout=patience.left(time.monotonic()))
        if not dialing.done():
            raise LinkDown("no connection could be opened in time", sent=False)
        if dialing.cancelled():
            raise StoreClosed(f"the store at {self._dialer.address} was closed; connect anew")
        if error := dialing.exception():
            raise copy_of(error)
        return dialing.result()

    async def _dial(self) -> _Talk:
        talk = _Talk(self._dialer.timeout, self._stats)
        try:
            talk.wire = await open_wire(self._dialer, talk.hear, talk.end)
        finally:
            self._dialing = None
        self._talk = talk
        self._opened += 1
        self._stats.add("reconnects", int(self._opened > 1))
        return talk


class _Talk:
    """What is said on one open connection: commands, and those who wait for their replies, in order."""

    wire: Wire

    def __init__(self, timeout: float, stats: Counters) -> None:
        self._timeout = timeout
        self._stats = stats
        # Each with the moment at which its patience ends.
        self._waiting: deque[tuple[OnReply, float]] = deque()
        self._loop = asyncio.get_running_loop()
        self._progress = self._loop.time()
        self._watchdog: asyncio.TimerHandle | None = None

    def send(self, command: tuple[Argument, ...], on_reply: OnReply) -> None:
        """Sends a command at once; `on_reply` is called with its reply, an error of the server, or `LinkDown`.

        What is in flight is bounded by those who wait for it, so there is no need to drain.
        """
        self._transmit(pack(command), ((on_reply, math.inf),))

    def _transmit(self, packed: bytes, waiting: Sequence[tuple[OnReply, float]]) -> None:
        idle = not self._waiting
        self._waiting.extend(waiting)
        self.wire.write(packed)
        # The rest is done while the server works.
        if idle:
            self._progress = self._loop.time()
            self._watch()
        self._stats.add("bytes", len(packed))

    async def call(self, command: tuple[Argument, ...], patience: Patience) -> Any:
        """The reply to a command; whoever goes away leaves its place in the queue."""
        if not self.wire.up:
            # Between its opening and its first command: nobody is left who would answer.
            raise LinkDown("the connection broke as it was opened", sent=False)
        # First this: a command that cannot be packed must not leave anybody behind who waits for a reply.
        packed = pack(command)
        reply: asyncio.Future[Any] = self._loop.create_future()
        now = time.monotonic()
        patience.begin()
        self._transmit(packed, ((partial(_settle, reply), now + patience.left(now)),))
        try:
            return await reply
        finally:
            # Else its error, which knows this frame, would keep that until the next collection, and all callers' too.
            del reply

    async def call_all(self, commands: Sequence[tuple[Argument, ...]], patience: Patience) -> list[Any]:
        """The replies to several commands, errors among them."""
        if not self.wire.up:
            raise LinkDown("the connection broke as it was opened", sent=False)
        packed = b"".join(map(pack, commands))
        replies = [self._loop.create_future() for _ in commands]
        now = time.monotonic()
        until = now + patience.left(now)
        patience.begin()
        self._transmit(packed, [(partial(_settle, reply), until) for reply in replies])
        return await asyncio.gather(*replies, return_exceptions=True)

    def hear(self, reply: Any) -> None:
        """A reply, for who has waited the longest."""
        self._progress = self._loop.time()
        self._waiting.popleft()[0](reply)

    def end(self, reason: BaseException) -> None:
        """There will be no more replies: who waits is told why."""
        if self._watchdog:
            self._watchdog.cancel()
        while self._waiting:
            self._waiting.popleft()[0](reason if isinstance(reason, CCSError) else LinkDown(reason, sent=True))

    def _watch(self) -> None:
        # A timer that still runs looks again by itself.
        if not self._watchdog:
            self._watchdog = self._loop.call_later(min(_LOOK, self._timeout), self._check)

    def _check(self) -> None:
        # One timer for everybody: it ends the connection when replies are due and nothing has come for a while, and the
        # waiting of those whose patience is over.
        self._watchdog = None
        if not self._waiting or not self.wire.up:
            return None
        self._give_up(time.monotonic())
        if self._loop.time() < self._progress + self._timeout:
            return self._watch()
        return self.wire.lose(TimeoutError(f"no answer within {self._timeout:g} seconds"))

    def _give_up(self, now: float) -> None:
        for place, (on_reply, until) in enumerate(self._waiting):
            if until <= now:
                # Its reply may still come, and must find its place.
                self._waiting[place] = _nobody, math.inf
                on_reply(LinkDown("no answer in time", sent=True))


def _nobody(_: Any) -> None: ...


def _settle(future: asyncio.Future[Any], reply: Any) -> None:
    if future.done():
        return
    if isinstance(reply, Exception):
        future.set_exception(reply)
    else:
        future.set_result(reply)
