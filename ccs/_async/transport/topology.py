"""Which servers a store talks to, and which of them a command is sent to.

Ordinarily there is one server. It may turn out to belong to a Cluster, where each slot has a primary of its own; then
each of these has its own connections. A store and its dispatcher each have a topology, with connections of their own; they
share what is known of the Cluster's layout.
"""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from ccs._async.transport.connect import Dialer
from ccs._async.transport.durable_links import DurableLinks
from ccs._async.transport.pool import Pool
from ccs._async.transport.sentinels import Sentinels
from ccs._clock import ServerClock
from ccs._compat import AsyncLock, async_acquired
from ccs._core.commits.field_layout import SHARDED
from ccs._core.names.server_url import Endpoint
from ccs._core.names.target import Target
from ccs._core.nodes.cluster_layout import ClusterLayout, Node, nodes_in
from ccs._core.nodes.redirections import redirection
from ccs._core.nodes.slots import slot_of_command
from ccs._core.retry import Patience
from ccs._protocol.faults import Disconnected, denied
from ccs._protocol.replies import ServerError
from ccs._stats import Counters
from ccs.errors import CCSError, Forbidden, StoreClosed, Unavailable

__all__ = ["Topology"]

# Seconds that one node may take to say what the layout is.
_ASKING = 0.5
# Seconds without an answer after which a node that was replaced is left.
_DEAF = 0.1
# What a server says that is a primary no longer.
_DEMOTED = ("READONLY", "MASTERDOWN")


class Topology:
    """The servers of a target, each with its connections.

    `only` is the one server, unless it belongs to a Cluster.
    """

    def __init__(
        self, target: Target, timeout: float, retry_for: float, stats: Counters, layout: ClusterLayout | None = None
    ) -> None:
        self._target = target
        self._timeout = timeout
        self._retry_for = retry_for
        self._stats = stats
        self.layout = layout or ClusterLayout()
        self.layout.is_cluster = self.layout.is_cluster or target.kind == "cluster"
        self.clock = ServerClock()
        self._first = self._pool(target)
        self._pools: dict[Node, Pool] = {self._seeds()[0]: self._first}
        self._links: dict[Pool, DurableLinks] = {}
        self._learning = AsyncLock()
        self._sentinels = Sentinels(target) if target.kind == "sentinel" else None
        self._closed = False
        self.only: Pool | None = None
        # The command that publishes a commit: in a Cluster, to the shard of its context alone.
        self.publish = "PUBLISH"
        self.adopt()

    def __repr__(self) -> str:
        return f"<Topology of {self._first!r}>" if self.only else f"<Topology of {self.layout!r}>"

    @property
    def has_read_only_calls(self) -> bool:
        """Whether scripts that only read can be called as such (`EVALSHA_RO`): by all servers but the one in memory."""
        return self._target.kind != "memory"

    @property
    def fails_over(self) -> bool:
        """Whether another server takes over when one fails."""
        return self.layout.is_cluster or self._target.kind == "sentinel"

    def adopt(self) -> None:
        """Goes by what is known of the servers by now: one, or a Cluster."""
        self.only = None if self.layout.is_cluster else self._first
        self.publish = SHARDED if self.layout.is_cluster else "PUBLISH"

    async def pool_of(self, slot: int | None, patience: Patience) -> Pool:
        """Returns the connections to the node of a Cluster that serves a slot; None: to any node.

        Raises `Disconnected` if no node can be found at present.
        """
        if self.layout.is_doubtful:
            await self._learn(patience)
        node = self._any_primary() if slot is None else self.layout.owner(slot)
        if node is None:
            self.layout.is_doubtful = True
            raise Disconnected(
                f"no node of the Cluster serves {'a' if slot is None else 'this'} slot at present", sent=False
            )
        return self.at(node)

    def _any_primary(self) -> Node | None:
        primaries = self.layout.primaries
        return random.choice(primaries) if primaries else None

    def open_pool_of(self, command: Sequence[Any]) -> Pool | None:
        """Returns the connections to the node of a Cluster that a command is for, if that is known without asking."""
        slot = slot_of_command(command)
        node = None if slot is None or self.layout.is_doubtful else self.layout.owner(slot)
        return None if node is None else self._pools.get(node)

    def at(self, node: Node) -> Pool:
        """Returns the connections to a node of the Cluster."""
        if self._closed:
            raise StoreClosed(f"the store at {self._target.address} is closed; connect anew")
        pool = self._pools.get(node)
        if pool is None:
            pool = self._pools.setdefault(node, self._pool(self.target_at(node)))
        return pool

    def links_beside(self, pool: Pool) -> DurableLinks:
        """Returns the connections for durable commits to the server where those of a pool lead."""
        links = self._links.get(pool)
        return links if links else self._links.setdefault(pool, DurableLinks(pool.dialer))

    def new_pool(self, node: Node) -> Pool:
        """Returns new connections to a replica of the only server, for the caller to close."""
        dialer = Dialer(self.target_at(node), self._timeout, self._retry_for, self.clock, self.layout, any_role=True)
        return Pool(dialer, self._stats)

    def nodes_in(self, shards: Any) -> list[Node]:
        """Returns all nodes of the Cluster that work, replicas too, from a reply to `CLUSTER SHARDS`."""
        return nodes_in(shards, self._seeds()[0], tls=self._target.endpoint.tls is not None)

    def target_at(self, node: Node) -> Target:
        """Returns the target that is one node of the Cluster, with the same login and options."""
        endpoint = replace(self._target.endpoint, host=node.host, port=node.port, path="")
        return Target("url", "", str(node), endpoint, self._target.credentials)

    def dialer(self, node: Node | None) -> Dialer:
        """Returns what opens a connection of its own to a node; None: to the only server."""
        return self._dialer(self.target_at(node) if node else self._target)

    async def primaries(self, patience: Patience) -> list[Node]:
        """Returns the nodes of the Cluster that serve slots."""
        if self.layout.is_doubtful:
            await self._learn(patience)
        return self.layout.primaries

    async def present_primaries(self, patience: Patience) -> list[Node]:
        """Asks the Sentinels, or a node of the Cluster, which servers are primaries. Raises if nobody can tell."""
        if self._sentinels:
            return [await self._sentinels.primary(patience)]
        # Without doubt: what the other nodes serve goes on meanwhile.
        await self._learn(patience, anew=True)
        return self.layout.primaries

    def redirected(self, asked: Pool, error: ServerError) -> Pool | None:
        """Takes the answer of the node that was asked, that another one serves a slot.

        Returns the connections to that one if only this command is to be sent there.
        """
        found = redirection(error.code, str(error), _node_of(asked.endpoint))
        if found is None:
            return None
        if found.only_once:
            return self.at(found.node)
        self.layout.move(found.slot, found.node)
        return None

    def doubt(self, error: Exception) -> None:
        """Takes a failure after which another server may have taken over."""
        self.layout.is_doubtful = True
        if self.only and isinstance(error, ServerError) and error.code in _DEMOTED:
            self._renew(self.only, f"it is a primary no longer: {error}")

    def waits(self) -> float:
        """Returns for how many seconds any command has waited without an answer. Called in any thread."""
        return max(pool.waits() for pool in self._all_pools())

    def leave_others(self, primaries: Sequence[Node]) -> None:
        """Ends the connections to servers that are none of the primaries. Called in any thread."""
        for pool in self._all_pools():
            # A node of a Cluster that answers says itself where else to go.
            is_deaf = self.only is not None or pool.waits() > _DEAF
            if is_deaf and pool.node is not None and pool.node not in primaries:
                self._renew(pool, "another server has taken over")
            #| elif is_deaf:
            #|     pool.leave_others(primaries)

    def _renew(self, pool: Pool, reason: str) -> None:
        pool.renew(reason)
        if links := self._links.get(pool):
            links.renew(reason)

    def _all_pools(self) -> list[Pool]:
        return list(dict.fromkeys([self._first, *self._pools.values()]))

    async def aclose(self) -> None:
        """Closes the connections, and lets go of the server that they lead to."""
        self._closed = True
        for links in list(self._links.values()):
            await links.aclose()
        for pool in self._all_pools():
            await pool.aclose()

    def _pool(self, target: Target) -> Pool:
        return Pool(self._dialer(target), self._stats)

    def _dialer(self, target: Target) -> Dialer:
        return Dialer(target, self._timeout, self._retry_for, self.clock, self.layout)

    async def _learn(self, patience: Patience, *, anew: bool = False) -> None:
        """Asks the nodes for the layout of the Cluster if it is doubtful, or `anew`.

        Callers that come meanwhile wait for the same answer.
        """
        ours = False
        try:
            ours = await async_acquired(self._learning, patience.left(time.monotonic()))
            if not ours:
                raise Disconnected("another thread or task still asks for the layout of the Cluster", sent=False)
            if anew or self.layout.is_doubtful:
                await self._ask_nodes()
        finally:
            if ours:
                self._learning.release()

    async def _ask_nodes(self) -> None:
        reason = "none is known"
        primaries = self.layout.primaries
        random.shuffle(primaries)
        refused: CCSError | None = None
        nodes = dict.fromkeys([*primaries, *self.layout.nodes, *self._seeds()])
        # Those last that gave no answer when they were last asked: each may take its time again.
        for node in sorted(nodes, key=self.layout.silent.__contains__):
            self.layout.silent.add(node)
            try:
                reply = await self.at(node).call(("CLUSTER", "SLOTS"), Patience(time.monotonic() + _ASKING))
            except Unavailable as error:
                refused = error
            except (Disconnected, ServerError) as error:
                reason = f"{node}: {error}"
                if denied(error):
                    refused = Forbidden(self._target.address, self._target.user, "run CLUSTER SLOTS")
            else:
                self.layout.silent.discard(node)
                return self.layout.learn(reply, node)
        raise refused or Disconnected(f"no node of the Cluster says what its layout is; {reason}", sent=False)

    def _seeds(self) -> list[Node]:
        return [_node_of(endpoint) for endpoint in self._target.seeds or (self._target.endpoint,)]


def _node_of(endpoint: Endpoint) -> Node:
    return Node(endpoint.host, endpoint.port)
