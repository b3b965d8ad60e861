"""Which node of a Cluster serves which slot, as far as a client knows."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from ccs._core.nodes.slots import SLOTS

__all__ = ["ClusterLayout", "Node", "OwnSlots", "nodes_in", "own_slots", "replicas_in"]

_REPLICA = re.compile(rb"^slave\d+:ip=([^,]+),port=(\d+),", re.MULTILINE)
_UNKNOWN_HOSTS = (None, b"", b"?")


class Node(NamedTuple):
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


class OwnSlots(NamedTuple):
    """What a node says of itself: its slots and when they last changed, and whether one of them is about to move."""

    described: bytes
    moving: bool


def own_slots(reply: bytes) -> OwnSlots:
    """Reads the reply to `CLUSTER NODES` for what the node says of itself."""
    fields = next(line.split() for line in reply.splitlines() if b"myself" in line)
    # Its flags, its epoch and its slots: `myself,master`, `7`, `0-5460`; a slot that leaves it is `[93->-id]`.
    slots = fields[8:]
    return OwnSlots(b" ".join([fields[2], fields[6], *slots]), any(slot.startswith(b"[") for slot in slots))


class ClusterLayout:
    """The primary of each slot. Any thread may read it; a newer layout replaces it in one step.

    `is_cluster` says whether the server was found to belong to a Cluster; until then there is no layout. `version`
    counts the changes. `is_doubtful` says that a node has failed or moved since the layout was read. `silent` are the nodes
    that were asked for the layout last and have not answered (yet).
    """

    def __init__(self) -> None:
        self.is_cluster = False
        self.is_doubtful = True
        self.version = 0
        self.silent: set[Node] = set()
        # Replaced, never changed: other threads may be reading them.
        self._owners: tuple[Node | None, ...] = ()
        self._has_gaps = True
        self._nodes: tuple[Node, ...] = ()
        self._primaries: tuple[Node, ...] = ()
        # What was learned last, from whom, and the version since then: the same again changes nothing.
        self._learned: tuple[object, Node, int] | None = None

    def __repr__(self) -> str:
        if not self.is_cluster:
            return "<ClusterLayout of a single server>"
        return f"<ClusterLayout of {len(self.primaries)} primaries, version {self.version}>"

    @property
    def primaries(self) -> list[Node]:
        """The nodes that serve slots, in the order of their first slots."""
        return list(self._primaries)

    @property
    def nodes(self) -> list[Node]:
        """All nodes that were named, replicas too."""
        return list(self._nodes)

    def owner(self, slot: int) -> Node | None:
        """Returns the node that serves a slot; None if there is none."""
        return self._owners[slot] if self._owners else None

    def learn(self, reply: Iterable[Sequence[Any]], asked: Node) -> None:
        """Takes the reply to `CLUSTER SLOTS` of the node that was `asked`. A node without a known host is on its host."""
        if self._learned == (reply, asked, self.version):
            self.is_doubtful = self._has_gaps
            return
        owners: list[Node | None] = [None] * SLOTS
        named: list[Node] = []
        for first, last, *nodes in reply:
            found = [_node(node, asked) for node in nodes]
            owners[first : last + 1] = found[:1] * (last + 1 - first)
            named += found
        self._nodes = tuple(dict.fromkeys(named))
        self._replace(owners)
        self.is_doubtful = self._has_gaps = None in owners
        self._learned = reply, asked, self.version

    def move(self, slot: int, node: Node) -> None:
        """Notes that another node serves a slot, and that others may have moved too."""
        if self._owners and self._owners[slot] != node:
            self._replace([*self._owners[:slot], node, *self._owners[slot + 1 :]])
        self.is_doubtful = True

    def _replace(self, owners: Sequence[Node | None]) -> None:
        found = tuple(owners)
        if found != self._owners:
            self._owners = found
            self._primaries = tuple(dict.fromkeys(node for node in found if node is not None))
            self.version += 1


def _node(described: Sequence[Any], asked: Node) -> Node:
    host, port = described[:2]
    return Node(asked.host if host in _UNKNOWN_HOSTS else host.decode(), port)


def replicas_in(info: bytes) -> list[Node]:
    """Returns the replicas that are connected to a primary, from its reply to `INFO replication`."""
    return [Node(host.decode(), int(port)) for host, port in _REPLICA.findall(info)]


def nodes_in(reply: Iterable[Sequence[Any]], asked: Node, *, tls: bool) -> list[Node]:
    """Returns all nodes of a Cluster that work, from the reply to `CLUSTER SHARDS` of the node that was `asked`.

    Replicas and nodes without slots are among them.
    """
    found: list[Node] = []
    for shard in reply:
        for node in map(_fields, _fields(shard)[b"nodes"]):
            port = node.get(b"tls-port" if tls else b"port")
            if port and not node[b"health"].startswith(b"fail"):
                found.append(_node((node[b"endpoint"], port), asked))
    return found


def _fields(flat: Sequence[Any]) -> dict[Any, Any]:
    return dict(zip(flat[::2], flat[1::2], strict=True))
