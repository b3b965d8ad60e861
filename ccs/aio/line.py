"""The subscription connection: kept open, kept alive, and told to whom it speaks.

Messages are handed on as they come. After a loss it comes back by itself, subscribes again, and says which channels
are live again, so that their listeners can look for what was said meanwhile.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable
from typing import Any

from ccs._compat import call
from ccs._core.retry import backoff
from ccs._faults import LinkDown, denied
from ccs._log import logger
from ccs._replies import ServerError, pack
from ccs._stats import Counters
from ccs.aio.dial import Dialer
from ccs.aio.wire import Plain, Wire, open_wire
from ccs.errors import CCSError, Forbidden, Unavailable

__all__ = ["Line"]

# Seconds without a word after which we ask; and after twice that, give the connection up.
HEARTBEAT = 3.0


class Line:
    """One connection that only listens; `subscribe` opens it.

    Messages may be heard in any thread, one at a time; whatever else is heard goes through `tell`, to the loop.
    """

    def __init__(
        self,
        dialer: Dialer,
        on_message: Callable[[bytes, str, bytes], None],
        on_live: Callable[[str], None],
        on_down: Callable[[CCSError], None],
        patience: float,
        stats: Counters,
        tell: Callable[..., object] = call,
        plain: Plain | None = None,
    ) -> None:
        self._dialer, self._patience, self._stats = dialer, patience, stats
        self._tell, self._plain = tell, plain
        self._on_message, self._on_live, self._on_down = on_message, on_live, on_down
        self._wire: Wire | None = None
        self._channels: dict[str, str] = {}
        self._live: set[str] = set()
        self._known: set[str] = set()
        self._told = False
        self._joining: dict[str, asyncio.Future[None]] = {}
        self._heard = True
        self._tasks: list[asyncio.Task[None]] = []

    def __repr__(self) -> str:
        return f"<Line to {self._dialer.address}, {'up' if self._wire else 'down'}, {len(self._live)} channels>"

    async def subscribe(self, verb: str, channel: str, timeout: float) -> None:
        """Listens to a channel; live when this returns, else `Unavailable` after `timeout` seconds."""
        if channel in self._live:
            return
        joining = self._joining.setdefault(channel, asyncio.get_running_loop().create_future())
        if channel not in self._channels:
            self._channels[channel] = verb
            self._say(verb, channel)
        self._start()
        try:
            async with asyncio.timeout(timeout):
                await asyncio.shield(joining)
        except TimeoutError:
            raise Unavailable(self._dialer.address, reason="no subscription could be made") from None

    def unsubscribe(self, verb: str, channel: str) -> None:
        """Listens to a channel no more."""
        self._live.discard(channel)
        self._known.discard(channel)
        if joining := self._joining.pop(channel, None):
            joining.cancel()
        if self._channels.pop(channel, None):
            self._say(verb, channel)

    async def aclose(self) -> None:
        """Ends the connection."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        await self._hang_up()

    def _start(self) -> None:
        if not self._tasks:
            self._tasks = [asyncio.create_task(run(), name="ccs listener") for run in (self._keep_up, self._keep_alive)]

    def _say(self, *command: str) -> None:
        if self._wire and self._wire.up:
            self._wire.write(pack(command))

    async def _keep_up(self) -> None:
        attempt, down_since = 0, time.monotonic()
        while True:
            try:
                lost = await self._connect()
                attempt = 0
                raise LinkDown(await lost, sent=False)
            except (LinkDown, OSError, CCSError) as error:
                down_since = down_since if attempt else time.monotonic()
                await self._hang_up()
                self._lost(error, attempt, down_since)
            await asyncio.sleep(backoff(attempt, random.random()))
            attempt += 1

    async def _connect(self) -> asyncio.Future[BaseException]:
        """Opens the connection, and subscribes; what will be the reason of its end."""
        lost: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()

        def on_lost(reason: BaseException) -> None:
            if not lost.done():  # cancelled, when the store is closed
                lost.set_result(reason)

        self._wire = await open_wire(self._dialer, self._hear, on_lost, self._plain)
        for channel, verb in self._channels.items():
            self._say(verb, channel)
        return lost

    async def _hang_up(self) -> None:
        wire, self._wire = self._wire, None
        self._live.clear()
        if wire:
            await wire.aclose(ConnectionError("the subscriptions were given up"))

    def _lost(self, error: Exception, attempt: int, down_since: float) -> None:
        if attempt == 0:
            self._stats.add("reconnects")
            logger.warning("lost the subscriptions at %s, reconnecting: %s", self._dialer.address, error)
        final = error if isinstance(error, CCSError) else None
        if not self._told and (final or time.monotonic() - down_since > self._patience):
            self._told = True
            self._give_up(final or Unavailable(self._dialer.address, reason=str(error)))

    def _give_up(self, error: CCSError) -> None:
        self._on_down(error)
        given_up, self._joining = self._joining, {}
        for joining in given_up.values():
            if not joining.done():
                joining.set_exception(error)

    def _hear(self, reply: Any) -> None:
        self._heard = True
        if denied(reply):
            self._tell(self._refused)
        elif isinstance(reply, ServerError):
            if reply.code == "MISCONF":
                return  # the answer to a PING where the disk is full: somebody is there
            raise reply
        elif reply[0] == b"message":
            self._on_message(b"message", reply[1].decode(), reply[2])
        elif reply[0] == b"pmessage":
            self._on_message(b"pmessage", reply[2].decode(errors="replace"), reply[3])
        elif reply[0] in (b"subscribe", b"psubscribe"):
            self._tell(self._confirmed, reply[1].decode())

    def _confirmed(self, channel: str) -> None:
        if channel not in self._channels:
            return
        self._live.add(channel)
        self._told = False
        joining = self._joining.pop(channel, None)
        if joining and not joining.done():
            joining.set_result(None)
        if channel in self._known:
            self._on_live(channel)
        self._known.add(channel)

    def _refused(self) -> None:
        # Answers come in the order of asking: it is the first that is not live.
        channel = next((each for each in self._channels if each not in self._live), None)
        if channel is None:
            return
        del self._channels[channel]
        self._known.discard(channel)
        forbidden = Forbidden(self._dialer.address, self._dialer.user, f"subscribe to the channel {channel!r}")
        joining = self._joining.pop(channel, None)
        if joining is None:
            self._on_down(forbidden)
        elif not joining.done():
            joining.set_exception(forbidden)

    async def _keep_alive(self) -> None:
        # A half-open connection stays silent for ever: only an answer shows that somebody is there.
        while True:
            await asyncio.sleep(HEARTBEAT)
            if not self._wire:
                continue
            if self._heard:
                self._heard = False
                self._say("PING")
            else:
                logger.warning("no heartbeat from %s", self._dialer.address)
                self._wire.lose(TimeoutError(f"no heartbeat within {HEARTBEAT:g} seconds"))
