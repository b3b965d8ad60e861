"""One subscription connection: it is kept open and alive, and delivers the messages of its channels.

After a loss it reconnects by itself and subscribes again. The back-off starts anew only after the server has granted a
subscription: a server that closes each connection is asked less and less often.

The server answers every command once, in order. So a refusal belongs to one channel; the others are not affected.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any, Protocol

from ccs._async.transport.connect import Dialer
from ccs._async.transport.connection import Connection, Plain, open_connection
from ccs._core.nodes.cluster_layout import Node
from ccs._core.retry import backoff
from ccs._log import logger
from ccs._protocol.faults import Disconnected
from ccs._protocol.replies import InvalidReply, ServerError, pack
from ccs.errors import CCSError

__all__ = ["Owner", "SubscriptionConnection"]

# Seconds of silence after which it sends a PING; after twice that, it gives the connection up.
HEARTBEAT = 3.0

_ENDS = ("UNSUBSCRIBE", "PUNSUBSCRIBE", "SUNSUBSCRIBE", "PING")


class Owner(Protocol):
    """Who is told what happens on a subscription connection."""

    def on_message(self, kind: bytes, channel: str, raw: bytes) -> None:
        """Takes a message. Called in any thread, for one message at a time; everything else in the event loop."""

    def on_granted(self, connection: SubscriptionConnection, channel: str) -> None:
        """A channel is live from now on."""

    def on_refused(self, connection: SubscriptionConnection, channel: str, error: ServerError) -> None:
        """The server refuses a channel."""

    def on_taken(self, connection: SubscriptionConnection, channel: str) -> None:
        """The server has ended a subscription by itself, as it no longer serves the slot of the channel."""

    def on_lost(self, connection: SubscriptionConnection, error: Exception, attempt: int, since: float) -> None:
        """The connection was lost, or could not be opened: for the first time in a row if `attempt` is 0, down `since`."""


class SubscriptionConnection:
    """One connection for subscriptions; the first channel opens it."""

    def __init__(self, dialer: Dialer, owner: Owner, call_soon: Callable[..., object], plain: Plain | None) -> None:
        self._dialer = dialer
        self._owner = owner
        self._call_soon = call_soon
        self._plain = plain
        self._connection: Connection | None = None
        # Each channel that is wanted here, with the command that subscribes to it; and those that are live.
        self.channels: dict[str, str] = {}
        self.live: set[str] = set()
        # The commands on this connection that are not answered yet, each with its channel.
        self._asked: deque[tuple[str, str]] = deque()
        self._proven = False
        self._received = True
        self._tasks: list[asyncio.Task[None]] = []

    def __repr__(self) -> str:
        state = "up" if self._connection else "down"
        return f"<SubscriptionConnection to {self._dialer.address}, {state}, {len(self.live)} channels>"

    @property
    def node(self) -> Node | None:
        """Where the newest connection leads to."""
        return self._dialer.node

    def subscribe(self, verb: str, channel: str) -> None:
        """Subscribes to a channel, from now on whenever the connection is up."""
        self.channels[channel] = verb
        self._send(verb, channel)
        if not self._tasks:
            self._tasks = [
                asyncio.create_task(run(), name="ccs subscriptions") for run in (self._keep_up, self._keep_alive)
            ]

    def unsubscribe(self, verb: str, channel: str) -> None:
        """Ends the subscription to a channel."""
        if self.forget(channel):
            self._send(verb, channel)

    def forget(self, channel: str) -> bool:
        """Forgets a channel, without telling the server. Returns whether it was wanted here."""
        self.live.discard(channel)
        return self.channels.pop(channel, None) is not None

    def ask_again_in(self, seconds: float, channel: str) -> None:
        """Subscribes once more in so many seconds to a channel that was refused, unless it is live or forgotten by then."""
        asyncio.get_running_loop().call_later(seconds, self._ask_again, self._asked, channel)

    def lose(self, reason: BaseException) -> None:
        """Ends the connection, which is then opened again."""
        if self._connection:
            self._connection.lose(reason)

    async def aclose(self) -> None:
        """Ends the connection for good, and lets go of the server that it leads to."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._hang_up()
        await self._dialer.aclose()

    def _ask_again(self, asked: deque[tuple[str, str]], channel: str) -> None:
        if asked is self._asked and channel in self.channels and channel not in self.live:
            self._send(self.channels[channel], channel)

    def _send(self, *command: str) -> None:
        if self._connection and self._connection.up:
            self._asked.append((command[0], command[-1]))
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
                self._owner.on_lost(self, error, attempt, down_since)
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
        for channel, verb in self.channels.items():
            self._send(verb, channel)
        return lost

    async def _hang_up(self) -> None:
        connection = self._connection
        self._connection = None
        self.live.clear()
        if connection:
            await connection.aclose(ConnectionError("the subscriptions were given up"))

    def _receive(self, asked: deque[tuple[str, str]], reply: Any) -> None:
        self._received = True
        kind = reply[0] if isinstance(reply, list) else None
        if kind in (b"message", b"smessage"):
            self._owner.on_message(kind, reply[1].decode(), reply[2])
        elif kind == b"pmessage":
            self._owner.on_message(kind, reply[2].decode(errors="replace"), reply[3])
        else:
            self._call_soon(self._answered, asked, reply)

    def _answered(self, asked: deque[tuple[str, str]], reply: Any) -> None:
        if asked is not self._asked:
            return None  # of an earlier connection
        if isinstance(reply, list) and reply[0] == b"sunsubscribe":
            channel = reply[1].decode()
            if not asked or asked[0] != ("SUNSUBSCRIBE", channel):
                return self._taken(channel)
        if not asked:
            return self.lose(InvalidReply(f"an answer to no command: {reply!r}"))
        verb, channel = asked.popleft()
        if isinstance(reply, ServerError):
            if verb not in _ENDS and channel in self.channels:
                self._owner.on_refused(self, channel, reply)
            return None
        self._proven = True
        if verb not in _ENDS and channel in self.channels:
            self.live.add(channel)
            self._owner.on_granted(self, channel)
        return None

    def _taken(self, channel: str) -> None:
        self.live.discard(channel)
        if channel in self.channels:
            self._owner.on_taken(self, channel)

    async def _keep_alive(self) -> None:
        # A half-open connection stays silent for ever: only an answer shows that the server is there.
        while True:
            await asyncio.sleep(HEARTBEAT)
            if not self._connection:
                continue
            if self._received:
                self._received = False
                self._send("PING")
            else:
                logger.warning("no heartbeat from %s", self._dialer.address)
                self.lose(TimeoutError(f"no heartbeat within {HEARTBEAT:g} seconds"))
