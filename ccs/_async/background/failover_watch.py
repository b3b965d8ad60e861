"""Notices that another server has taken over, where the connections to the earlier one do not break by themselves.

A server that hangs, or is cut off from the others, keeps its connections, and may go on to believe that it is the primary.
So while commands wait for an answer, and from time to time anyway, others are asked: the Sentinels, or the other nodes of
the Cluster. In a Cluster only subscriptions need the latter: a node that is cut off refuses commands. Connections to a server that is a primary no longer are ended, and their commands tried again elsewhere.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from ccs._async.transport.topology import Topology
from ccs._core.nodes.cluster_layout import Node
from ccs._core.retry import Patience
from ccs._log import logger
from ccs._protocol.faults import Disconnected
from ccs.errors import CCSError

__all__ = ["FailoverWatch", "Leaving"]

# Seconds between two looks at what waits, until a command that waits is a reason to ask, and between two questions
# without a reason: where something depends on them, and else.
LOOK = 0.1
SUSPICIOUS = 0.15
ROUTINE = 2.0
SELDOM = 30.0
# Seconds that an answer may take.
_ANSWER = 1.0


class Leaving(Protocol):
    """Connections of a store."""

    def waits(self) -> float:
        """Returns for how many seconds any command has waited without an answer. Called in any thread."""

    def leave_others(self, primaries: Sequence[Node]) -> None:
        """Ends the connections to servers that are none of the primaries. Called in any thread."""


class FailoverWatch:
    """Looks after all connections of a store, in the background. `topology` is used to ask.

    `subscribed` tells whether there are subscriptions.
    """

    def __init__(self, topology: Topology, connections: Sequence[Leaving], subscribed: Callable[[], bool]) -> None:
        self._topology = topology
        self._subscribed = subscribed
        self._connections = connections
        self._primaries: list[Node] = []
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<FailoverWatch of {self._topology!r}>"

    def start(self) -> None:
        """Begins, if another server may take over."""
        if self._topology.fails_over and self._task is None:
            self._task = asyncio.create_task(self._keep(), name="ccs failover watch")

    async def aclose(self) -> None:
        """Ends."""
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])

    async def _keep(self) -> None:
        asked_at = time.monotonic()
        while True:
            await asyncio.sleep(LOOK)
            waited = max(connections.waits() for connections in self._connections)
            if waited > SUSPICIOUS or time.monotonic() > asked_at + self._routine:
                await self._look()
                asked_at = time.monotonic()

    @property
    def _routine(self) -> float:
        return SELDOM if self._topology.layout.is_cluster and not self._subscribed() else ROUTINE

    async def _look(self) -> None:
        try:
            primaries = await self._topology.present_primaries(Patience(time.monotonic() + _ANSWER))
        except (Disconnected, CCSError):
            return  # nobody knows better
        for connections in self._connections:
            connections.leave_others(primaries)
        if self._primaries and set(primaries) - set(self._primaries):
            logger.warning("another server has taken over: the primaries are now %s", ", ".join(map(str, primaries)))
        self._primaries = primaries
