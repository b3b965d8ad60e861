"""The subscription connection: it is kept open and alive, and delivers the messages of its channels.

After a loss it reconnects by itself, subscribes again, and reports which channels are live again, so that their
subscribers can read in the journal what they missed.

The server answers every command once, in order. So a refusal belongs to one channel, which is retried later; the others
are not affected. The back-off starts anew only after the server has granted a subscription: a server that closes each
connection is asked less and less often.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from ccs._async.transport.connect import Dialer
from ccs._async.transport.connection import Connection, Plain, open_connection
from ccs._compat import call
from ccs._core.retry import backoff
from ccs._log import logger
from ccs._protocol.faults import Disconnected, copy_of, denied, passes
from ccs._protocol.replies import InvalidReply, ServerError, pack
from ccs._stats import Counters
from ccs.errors import CCSError, Forbidden, Unavailable

__all__ = ["PubSub"]

# Seconds of silence after which it sends a PING; after twice that, it gives the connection up.
HEARTBEAT = 3.0


class PubSub:
    """One connection for subscriptions; the first `subscribe` opens it.

    Messages are received in any thread, one at a time. Everything else that is received is passed to the event loop
    by `call_soon`.
    """

    def __init__(
        self,
        dialer: Dialer,
        on_message: Callable[[bytes, str, bytes], None],
        on_live: Callable[[str], None],
        on_down: Callable[[CCSError], None],
        on_refused: Callable[[str, CCSError], None],
        patience: float,
        stats: Counters,
        call_soon: Callable[..., object] = call,
        plain: Plain | None = None,
    ) -> None:
        self._dialer = dialer
        self._patience = patience
        self._stats = stats
        self._call_soon = call_soon
        self._plain = plain
        self._on_message = on_message
        self._on_live = on_live
        self._on_down = on_down
        self._on_refused = on_refused
        self._connection: Connection | None = None
        self._channels: dict[str, str] = {}
        self._live: set[str] = set()
        self._known: set[str] = set()
        # The commands on this connection that are not answered yet: the channel of each, or an empty text.
        self._asked: deque[str] = deque()
        # How often the server has refused a channel since it was last live.
        self._refusals: dict[str, int] = {}
        self._reason = "no subscription could be made"
        self._proven = self._reported = False
        self._closed: CCSError | None = None
        self._joining: dict[str, asyncio.Future[None]] = {}
        self._received = True
        self._tasks: list[asyncio.Task[None]] = []

    def __repr__(self) -> str:
        return f"<PubSub to {self._dialer.address}, {'up' if self._connection else 'down'}, {len(self._live)} channels>"

    async def subscribe(self, verb: str, channel: str, timeout: float) -> None:
        """Subscribes to a channel, which is live when this returns. Raises `Unavailable` after `timeout` seconds."""
        if self._closed:
            raise copy_of(self._closed)
        if channel in self._live:
            return
        joining = self._joining.setdefault(channel, asyncio.get_running_loop().create_future())
        if channel not in self._channels:
            self._channels[channel] = verb
            self._ask(channel)
        self._start()
        try:
            async with asyncio.timeout(timeout):
                await asyncio.shield(joining)
        except TimeoutError:
            raise Unavailable(self._dialer.address, reason=self._reason) from None

    def unsubscribe(self, verb: str, channel: str) -> None:
        """Ends the subscription to a channel."""
        if joining := self._joining.pop(channel, None):
            joining.cancel()
        if self._forget(channel):
            self._send("", verb, channel)

    async def aclose(self, error: CCSError) -> None:
        """Ends the connection. Callers that wait for a channel, now or later, get the error."""
        self._closed = error
        self._give_up(error)
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._hang_up()

    def _start(self) -> None:
        if not self._tasks:
            self._tasks = [asyncio.create_task(run(), name="ccs listener") for run in (self._keep_up, self._keep_alive)]

    def _forget(self, channel: str) -> bool:
        self._live.discard(channel)
        self._known.discard(channel)
        self._refusals.pop(channel, None)
        return self._channels.pop(channel, None) is not None

    def _ask(self, channel: str) -> None:
        self._send(channel, self._channels[channel], channel)

    def _send(self, channel: str, *command: str) -> None:
        if self._connection and self._connection.up:
            self._asked.append(channel)
            self._connection.write(pack(command))

    async def _keep_up(self) -> None:
        attempt = 0
        down_since = time.monotonic()
        while True:
            self._proven = False
            try:
                lost = await self._connect()
                raise Disconnected(await lost, sent=False)
            except (Disconnected, OSError, CCSError) as error:
                attempt = 0 if self._proven else attempt
                down_since = down_since if attempt else time.monotonic()
                await self._hang_up()
                self._lost(error, attempt, down_since)
            await asyncio.sleep(backoff(attempt, random.random()))
            attempt += 1

    async def _connect(self) -> asyncio.Future[BaseException]:
        """Opens the connection and subscribes. Returns a future of the reason for its end."""
        lost: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

        def on_lost(reason: BaseException) -> None:
            if not lost.done():  # cancelled, when the store is closed
                lost.set_result(reason)

        asked = self._asked = deque()
        self._connection = await open_connection(self._dialer, partial(self._receive, asked), on_lost, self._plain)
        for channel in self._channels:
            self._ask(channel)
        return lost

    async def _hang_up(self) -> None:
        connection = self._connection
        self._connection = None
        self._live.clear()
        if connection:
            await connection.aclose(ConnectionError("the subscriptions were given up"))

    def _lost(self, error: Exception, attempt: int, down_since: float) -> None:
        if attempt == 0:
            self._stats.add("reconnects")
            logger.warning("lost the subscriptions at %s, reconnecting: %s", self._dialer.address, error)
        self._reason = error.reason if isinstance(error, Unavailable) else str(error)
        final = error if isinstance(error, CCSError) else None
        if not self._reported and (final or time.monotonic() - down_since > self._patience):
            self._reported = True
            final = final or Unavailable(self._dialer.address, reason=self._reason)
            self._on_down(final)
        if final:
            self._give_up(final)

    def _give_up(self, error: CCSError) -> None:
        given_up = self._joining
        self._joining = {}
        for joining in given_up.values():
            if not joining.done():
                joining.set_exception(error)

    def _receive(self, asked: deque[str], reply: Any) -> None:
        self._received = True
        kind = reply[0] if isinstance(reply, list) else None
        if kind == b"message":
            self._on_message(kind, reply[1].decode(), reply[2])
        elif kind == b"pmessage":
            self._on_message(kind, reply[2].decode(errors="replace"), reply[3])
        else:
            self._call_soon(self._answered, asked, reply)

    def _answered(self, asked: deque[str], reply: Any) -> None:
        if asked is not self._asked:
            return None  # of an earlier connection
        if not asked:
            return self._end(InvalidReply(f"an answer to no command: {reply!r}"))
        channel = asked.popleft()
        if not isinstance(reply, ServerError):
            self._proven = True
            if channel in self._channels:
                self._confirmed(channel)
        elif channel in self._channels:
            self._refused(channel, reply)

    def _confirmed(self, channel: str) -> None:
        self._live.add(channel)
        self._refusals.pop(channel, None)
        self._reported = False
        joining = self._joining.pop(channel, None)
        if joining and not joining.done():
            joining.set_result(None)
        if channel in self._known:
            self._on_live(channel)
        self._known.add(channel)

    def _refused(self, channel: str, error: ServerError) -> None:
        refusal = self._refusal(channel, error)
        self._reason = f"it refuses a subscription: {error}"
        if not passes(error):
            self._fail(channel, refusal)
        if channel not in self._channels:
            return
        times = self._refusals.get(channel, 0)
        self._refusals[channel] = times + 1
        later = backoff(times + 1, random.random())
        asyncio.get_running_loop().call_later(later, self._ask_again, self._asked, channel)

    def _refusal(self, channel: str, error: ServerError) -> CCSError:
        if denied(error):
            return Forbidden(self._dialer.address, self._dialer.user, f"subscribe to the channel {channel!r}")
        return Unavailable(self._dialer.address, reason=f"it refuses a subscription: {error}")

    def _fail(self, channel: str, refusal: CCSError) -> None:
        """Waiting does not help: fails the callers that wait for the channel, and reports once to those that had it."""
        joining = self._joining.pop(channel, None)
        if joining and not joining.done():
            joining.set_exception(refusal)
        if channel not in self._known:
            self._forget(channel)
        elif channel not in self._refusals:
            self._on_refused(channel, refusal)

    def _ask_again(self, asked: deque[str], channel: str) -> None:
        if asked is self._asked and channel in self._channels and channel not in self._live:
            self._ask(channel)

    def _end(self, reason: BaseException) -> None:
        if self._connection:
            self._connection.lose(reason)

    async def _keep_alive(self) -> None:
        # A half-open connection stays silent for ever: only an answer shows that the server is there.
        while True:
            await asyncio.sleep(HEARTBEAT)
            if not self._connection:
                continue
            if self._received:
                self._received = False
                self._send("", "PING")
            else:
                logger.warning("no heartbeat from %s", self._dialer.address)
                self._end(TimeoutError(f"no heartbeat within {HEARTBEAT:g} seconds"))
