"""A Cluster, whose nodes can be killed and whose slots can be moved."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple

from tests.support.servers import binary_of, free_port
from tests.support.topologies.nodes import REPLICATION, Front, Node, Topology, answered, subfolder
from tests.support.waiting import eventually

__all__ = ["SLOTS", "Cluster"]

SLOTS = 16384

_CLUSTER = ("--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "1000")
_TLS = ("--tls-cluster", "yes", "--tls-replication", "yes")
# A replica that leaves its primary for another one would surprise a test.
_STAY = ("--cluster-allow-replica-migration", "no")


class Known(NamedTuple):
    """What one node of a Cluster says about another."""

    primary: bool
    of: str
    slots: tuple[range, ...]
    well: bool

    def has(self, slot: int) -> bool:
        return any(slot in some for some in self.slots)


class Cluster(Topology):
    """A Cluster, with so many replicas for each primary.

    A primary that is killed is replaced within some 2 s, if it has a replica and most primaries are left to vote. With
    options of `tls`, each node has a port for that too, and the nodes use it among each other.
    """

    def __init__(
        self,
        folder: Path,
        primaries: int = 3,
        replicas: int = 1,
        kind: str = "valkey",
        options: Callable[[], Sequence[str]] = tuple,
        tls: Sequence[str] = (),
        front: Front | None = None,
    ) -> None:
        """`options` returns further options for one node."""
        self._primaries = primaries
        self._ids: dict[Node, str] = {}
        names = [f"node-{number}" for number in range(primaries * (1 + replicas))]
        super().__init__([_ClusterNode(subfolder(folder, name), kind, options(), tls, front) for name in names])

    @property
    def url(self) -> str:
        """The URL of one server among them."""
        return self.nodes[0].url

    @property
    def seeds_url(self) -> str:
        """The URL of all of them."""
        return f"redis+cluster://{','.join(node.place for node in self.nodes)}"

    @property
    def tls_url(self) -> str:
        """The URL of all of them with TLS, without its options."""
        return f"rediss+cluster://{','.join(f'127.0.0.1:{node.tls_port}' for node in self.nodes)}"

    @property
    def primaries(self) -> list[Node]:
        """The primaries that run, in the order of their slots."""
        known = self.view()
        owners = [node for node in self.running if known[node].slots]
        return sorted(owners, key=lambda node: known[node].slots[0].start)

    def replicas_of(self, primary: Node) -> list[Node]:
        """The replicas of this primary that run."""
        known = self.view(primary)
        return [node for node in self.running if known[node].of == self._ids[primary]]

    def owner(self, slot: int) -> Node:
        """The primary that has the slot."""
        return next(node for node, known in self.view().items() if known.has(slot))

    def view(self, node: Node | None = None) -> dict[Node, Known]:
        """What this node, or the first that runs, says about those that it knows."""
        known = dict(map(_parsed, _lines(node or self.running[0])))
        return {other: known[name] for other, name in self._ids.items() if name in known}

    def ok(self) -> bool:
        running = self.running
        views = [self.view(node) for node in running]
        first = views[0]
        if not all(len(view) == len(self.nodes) for view in views):
            return False
        if any(view[node] != first[node] or not view[node].well for view in views for node in running):
            return False
        if sum(len(some) for node in running for some in first[node].slots) != SLOTS:
            return False
        return all(_says_ok(node) and self._in_place(node, first[node]) for node in running)

    def _knows(self, node: Node, other: Node) -> bool:
        return other in self.view(node)

    def _in_place(self, node: Node, known: Known) -> bool:
        return known.primary or any(node.follows(primary) for primary in self.running if self._ids[primary] == known.of)

    def failover(self, replica: Node) -> None:
        """Makes the replica the primary, in agreement with its primary: nothing is lost."""
        replica.ask("CLUSTER", "FAILOVER")
        eventually(lambda: replica.primary, what=f"{replica!r} to be a primary")
        self.wait_until_ok()

    def _mend(self) -> None:
        eventually(lambda: answered(self._settled), 20, f"{self!r} to have no slot on its way")

    def _settled(self) -> bool:
        """Whether no primary is about to give or to get a slot; else leaves the slots where they are."""
        moves = [(node, slot) for node in self.running if node.primary for slot in _open_slots(node)]
        for node, slot in moves:
            node.ask("CLUSTER", "SETSLOT", slot, "STABLE")
        return not moves

    # Moving slots.

    @property
    def moves_at_once(self) -> bool:
        """Whether the servers can move a slot with all its keys at once (Valkey 9)."""
        return any(line.startswith(b"MIGRATESLOTS") for line in self.running[0].ask("CLUSTER", "HELP"))

    def move_slot(self, slot: int, to: Node, *, at_once: bool) -> None:
        """Moves a slot to another primary: with all its keys at once, or in the old way, key by key."""
        if at_once:
            source = self.owner(slot)
            source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", self._ids[to])
            self._wait_for_move(slot, to)
            return
        with self.moving(slot, to):
            pass

    @contextmanager
    def moving(self, slot: int, to: Node) -> Iterator[None]:
        """A slot is between two primaries for as long as this lasts, its keys where they were; then it moves, with them."""
        source = self.owner(slot)
        to.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", self._ids[source])
        source.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", self._ids[to])
        yield
        self.move_keys(slot, to)
        for node in (to, source, *self.primaries):
            node.ask("CLUSTER", "SETSLOT", slot, "NODE", self._ids[to])
        self._wait_for_move(slot, to)

    def move_keys(self, slot: int, to: Node, *keys: str) -> None:
        """Moves these keys of a slot that is between two primaries; all of them if none is named."""
        source = self.owner(slot)
        while found := keys or source.ask("CLUSTER", "GETKEYSINSLOT", slot, 100):
            source.ask("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", *found)
            if keys:
                return

    def _wait_for_move(self, slot: int, to: Node) -> None:
        eventually(lambda: self.owner(slot) is to, what=f"{to!r} to own slot {slot}")
        self.wait_until_ok()

    def _assemble(self) -> None:
        self._ids = {node: str(node.ask("CLUSTER", "MYID"), "ascii") for node in self.nodes}
        for number, node in enumerate(self.nodes):
            node.ask("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
            for other in self.nodes[:number]:
                node.ask("CLUSTER", "MEET", "127.0.0.1", other.port, other.bus_port)
        primaries = self.nodes[: self._primaries]
        bounds = [SLOTS * number // self._primaries for number in range(self._primaries + 1)]
        for number, node in enumerate(primaries):
            node.ask("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
        for number, node in enumerate(self.nodes[self._primaries :]):
            primary = primaries[number % self._primaries]
            eventually(partial(self._knows, node, primary), what=f"{node!r} to know {primary!r}")
            node.ask("CLUSTER", "REPLICATE", self._ids[primary])


class _ClusterNode(Node):
    def __init__(self, folder: Path, kind: str, more: Sequence[str], tls: Sequence[str], front: Front | None) -> None:
        self.bus_port = free_port()
        self.tls_port = free_port() if tls else 0
        options = [*_CLUSTER, *_STAY, *REPLICATION, "--cluster-port", str(self.bus_port), *more, *tls]
        if tls:
            options += [*_TLS, "--tls-port", str(self.tls_port)]
        super().__init__(binary_of(kind), folder, *options, front=front)

    def command(self) -> list[str]:
        announced = ["--cluster-announce-port", str(self.front)] if self.front != self.port else []
        return [*super().command(), *announced]


def _says_ok(node: Node) -> bool:
    return b"cluster_state:ok" in node.ask("CLUSTER", "INFO")


def _lines(node: Node) -> list[str]:
    return str(node.ask("CLUSTER", "NODES"), "ascii").splitlines()


def _parsed(line: str) -> tuple[str, Known]:
    name, _, flags, of, _, _, _, _, *ranges = line.split()
    slots = tuple(_slots(text) for text in ranges if text[0] != "[")
    return name, Known("master" in flags, of, slots, well="fail" not in flags and "handshake" not in flags)


def _slots(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def _open_slots(node: Node) -> list[int]:
    """The slots that this node is about to give or to get: `[93-<-id]`, `[93->-id]`."""
    own = next(line for line in _lines(node) if "myself" in line)
    return [int(text[1:].partition("-")[0]) for text in own.split()[8:] if text[0] == "["]
