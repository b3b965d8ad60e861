"""The subscriptions of a store: over one connection, or in a Cluster over one to each node that serves a subscribed slot.

A channel that was live before and is live again is reported, so that its subscribers read in the journal what they
missed. A refused channel is asked for again, later each time. In a Cluster a channel follows its slot: to another node
after a failover, or when the slot moves.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable, Sequence

from ccs._async.transport.connection import Plain
from ccs._async.transport.subscription_connection import SubscriptionConnection
from ccs._async.transport.topology import Topology
from ccs._compat import call
from ccs._core.nodes.cluster_layout import Node
from ccs._core.nodes.slots import slot_of
from ccs._core.retry import Patience, backoff
from ccs._log import logger
from ccs._protocol.faults import Disconnected, copy_of, denied, is_served_elsewhere, passes
from ccs._protocol.replies import ServerError
from ccs._stats import Counters
from ccs.errors import CCSError, Forbidden, Unavailable

__all__ = ["Subscriptions"]

# The command that ends what another one has begun.
_ENDING = {"SUBSCRIBE": "UNSUBSCRIBE", "SSUBSCRIBE": "SUNSUBSCRIBE", "PSUBSCRIBE": "PUNSUBSCRIBE"}
# Seconds that it may take to learn who serves which slot, and of back-off at most.
_LEARNING = 1.0
_PLACING = 0.15


class Subscriptions:
    """The channels that a store is subscribed to.

    Messages are received in any thread, one at a time. Everything else that is received is passed to the event loop
    by `call_soon`.
    """

    def __init__(
        self,
        topology: Topology,
        address: str,
        user: str,
        on_message: Callable[[bytes, str, bytes], None],
        on_live: Callable[[str], None],
        on_refused: Callable[[str, CCSError], None],
        patience: float,
        stats: Counters,
        call_soon: Callable[..., object] = call,
        plain: Plain | None = None,
    ) -> None:
        self._topology = topology
        self._address = address
        self._user = user
        self._on_message = on_message
        self._on_live = on_live
        self._on_refused = on_refused
        self._patience = patience
        self._stats = stats
        self._call_soon = call_soon
        self._plain = plain
        # None is the only server.
        self._connections: dict[Node | None, SubscriptionConnection] = {}
        # Each channel with its command, and the node whose connection it is on.
        self._verbs: dict[str, str] = {}
        self._nodes: dict[str, Node | None] = {}
        # The channels that were live before, those that callers wait for, how often the server has refused each.
        self._known: set[str] = set()
        self._joining: dict[str, asyncio.Future[None]] = {}
        self._refusals: dict[str, int] = {}
        # Those of a Cluster whose node has to be found, perhaps anew.
        self._unplaced: dict[str, None] = {}
        self._placing: asyncio.Task[None] | None = None
        self._closing: set[asyncio.Task[None]] = set()
        self._reported: set[SubscriptionConnection] = set()
        self._reason = "no subscription could be made"
        self._closed: CCSError | None = None

    def __repr__(self) -> str:
        return f"<Subscriptions to {len(self._verbs)} channels over {list(self._connections.values())}>"

    def __bool__(self) -> bool:
        return bool(self._verbs)

    async def subscribe(self, channel: str) -> None:
        """Subscribes to the channel of a context, which is live when this returns. Raises `Unavailable` if patience ends."""
        await self._join("SUBSCRIBE" if self._topology.only else "SSUBSCRIBE", channel)

    async def observe(self, glob: str) -> None:
        """Subscribes to all channels that match, as `subscribe` does. In a Cluster, sharded channels have no patterns."""
        await self._join("PSUBSCRIBE", glob)

    def unsubscribe(self, channel: str) -> None:
        """Ends the subscription to a channel, or to all that match."""
        if joining := self._joining.pop(channel, None):
            joining.cancel()
        verb = self._verbs.get(channel)
        connection = self._connections.get(self._nodes.get(channel))
        self._forget(channel)
        if verb and connection:
            connection.unsubscribe(_ENDING[verb], channel)

    def waits(self) -> float:
        """Returns 0: a silent server is noticed by its commands, or by the heartbeat."""
        return 0.0

    def leave_others(self, primaries: Sequence[Node]) -> None:
        """Ends the connections to servers that are none of the primaries."""
        for connection in self._connections.values():
            if connection.node is not None and connection.node not in primaries:
                connection.lose(ConnectionError("another server has taken over"))

    async def aclose(self, error: CCSError) -> None:
        """Ends the connections. Callers that wait for a channel, now or later, get the error."""
        self._closed = error
        for channel in list(self._joining):
            self._give_up(channel, error)
        if self._placing:
            self._placing.cancel()
            await asyncio.wait([self._placing])
        for connection in self._connections.values():
            await connection.aclose()

    async def _join(self, verb: str, channel: str) -> None:
        if self._closed:
            raise copy_of(self._closed)
        if self._is_live(channel):
            return
        joining = self._joining.setdefault(channel, asyncio.get_running_loop().create_future())
        if channel not in self._verbs:
            self._verbs[channel] = verb
            if self._topology.only:
                self._put(channel, None)
            else:
                self._place(channel)
        try:
            async with asyncio.timeout(self._patience):
                await asyncio.shield(joining)
        except TimeoutError:
            raise Unavailable(self._address, reason=self._reason) from None

    def _is_live(self, channel: str) -> bool:
        connection = self._connections.get(self._nodes.get(channel))
        return channel in self._verbs and connection is not None and channel in connection.live

    def _forget(self, channel: str) -> None:
        for forgetful in (self._verbs, self._nodes, self._refusals, self._unplaced):
            forgetful.pop(channel, None)
        self._known.discard(channel)

    # Which node a channel is subscribed to at.

    def _put(self, channel: str, node: Node | None) -> None:
        """Subscribes to a channel at a node, and no longer at another one."""
        before = self._connections.get(self._nodes.get(channel))
        connection = self._connections.get(node)
        if connection is None:
            connection = self._connections[node] = SubscriptionConnection(
                self._topology.dialer(node), self, self._call_soon, self._plain if node is None else None
            )
        self._nodes[channel] = node
        if before is connection and channel in connection.channels:
            connection.ask_again_in(0.0, channel)
            return
        if before is not None and before is not connection:
            before.unsubscribe(_ENDING[self._verbs[channel]], channel)
        connection.subscribe(self._verbs[channel], channel)

    def _place(self, channel: str) -> None:
        """Has the node of a channel found."""
        if channel in self._verbs and not self._closed:
            self._unplaced[channel] = None
            if self._placing is None:
                self._placing = asyncio.create_task(self._place_all(), name="ccs channels")

    async def _place_all(self) -> None:
        attempt = 0
        while self._unplaced:
            try:
                primaries = await self._topology.primaries(Patience(time.monotonic() + _LEARNING))
                for channel in list(self._unplaced):
                    if (node := self._node_of(channel, primaries)) is not None:
                        del self._unplaced[channel]
                        self._put(channel, node)
                self._close_others(primaries)
            except Forbidden as error:
                for channel in list(self._unplaced):
                    self._give_up(channel, copy_of(error))
            except (Disconnected, CCSError) as error:
                self._reason = str(error)
            # At once where all were placed: what waits meanwhile is placed together.
            attempt = attempt + 1 if self._unplaced else 0
            await asyncio.sleep(backoff(attempt, random.random(), _PLACING))
        self._placing = None

    def _node_of(self, channel: str, primaries: list[Node]) -> Node | None:
        if self._verbs[channel] != "PSUBSCRIBE":
            return self._topology.layout.owner(slot_of(channel))
        before = self._nodes.get(channel)
        if before in primaries or not primaries:
            return before
        return random.choice(primaries)

    def _close_others(self, primaries: list[Node]) -> None:
        for node, connection in list(self._connections.items()):
            if not connection.channels and node not in primaries:
                del self._connections[node]
                closing = asyncio.create_task(connection.aclose(), name="ccs farewell")
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)

    # What happens on the connections.

    def on_message(self, kind: bytes, channel: str, raw: bytes) -> None:
        """Takes a message."""
        self._on_message(kind, channel, raw)

    def on_granted(self, connection: SubscriptionConnection, channel: str) -> None:
        """Reports a channel that is live, to those that wait for it and those that had it before."""
        self._refusals.pop(channel, None)
        self._reported.discard(connection)
        joining = self._joining.pop(channel, None)
        if joining and not joining.done():
            joining.set_result(None)
        if channel in self._known:
            self._on_live(channel)
        self._known.add(channel)

    def on_taken(self, connection: SubscriptionConnection, channel: str) -> None:
        """Follows a slot that has moved."""
        connection.forget(channel)
        self._topology.layout.is_doubtful = True
        self._place(channel)

    def on_refused(self, connection: SubscriptionConnection, channel: str, error: ServerError) -> None:
        """Asks again later, or follows a slot that has moved. Reports what does not pass by itself."""
        self._reason = f"it refuses a subscription: {error}"
        times = self._refusals.get(channel, 0)
        if is_served_elsewhere(error):
            connection.forget(channel)
            self._topology.layout.is_doubtful = True
            asyncio.get_running_loop().call_later(backoff(times, random.random(), _PLACING), self._place, channel)
        elif not passes(error):
            self._fail(connection, channel, self._refusal(channel, error))
        if channel in self._verbs:
            self._refusals[channel] = times + 1
            connection.ask_again_in(backoff(times + 1, random.random()), channel)

    def on_lost(self, connection: SubscriptionConnection, error: Exception, attempt: int, since: float) -> None:
        """Reports a loss that lasts, to all whose channels were on the connection; in a Cluster, has their nodes found."""
        if attempt == 0:
            self._stats.add("reconnects")
            logger.warning("lost the subscriptions at %s, reconnecting: %s", self._address, error)
        self._reason = error.reason if isinstance(error, Unavailable) else str(error)
        if not self._topology.only:
            self._topology.layout.is_doubtful = True
            for channel in connection.channels:
                self._place(channel)
        final = error if isinstance(error, CCSError) else None
        if connection not in self._reported and (final or time.monotonic() - since > self._patience):
            self._reported.add(connection)
            final = final or Unavailable(self._address, reason=self._reason)
            for channel in list(connection.channels):
                self._on_refused(channel, copy_of(final))
        if final:
            for channel in list(connection.channels):
                self._give_up(channel, copy_of(final))

    def _refusal(self, channel: str, error: ServerError) -> CCSError:
        if denied(error):
            return Forbidden(self._address, self._user, f"subscribe to the channel {channel!r}")
        return Unavailable(self._address, reason=f"it refuses a subscription: {error}")

    def _fail(self, connection: SubscriptionConnection, channel: str, refusal: CCSError) -> None:
        """Waiting does not help: fails the callers that wait for the channel, and reports once to those that had it."""
        self._give_up(channel, refusal)
        if channel not in self._known:
            connection.forget(channel)
            self._forget(channel)
        elif channel not in self._refusals:
            self._on_refused(channel, refusal)

    def _give_up(self, channel: str, error: CCSError | None) -> None:
        joining = self._joining.pop(channel, None)
        if joining and not joining.done() and error:
            joining.set_exception(error)
            joining.exception()  # whoever waited has gone, perhaps
