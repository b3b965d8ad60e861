"""A server with replicas, without anybody who watches over them."""

from __future__ import annotations

from pathlib import Path

from tests.support.servers import binary_of
from tests.support.topologies.nodes import REPLICATION, Node, Topology, subfolder

__all__ = ["Replicated"]


class Replicated(Topology):
    """A server with replicas, and nobody who would promote one."""

    def __init__(self, folder: Path, replicas: int = 1, kind: str = "valkey") -> None:
        names = ["first", *(f"other-{number}" for number in range(replicas))]
        super().__init__([Node(binary_of(kind), subfolder(folder, name), *REPLICATION) for name in names])
        self.primary = self.nodes[0]

    @property
    def url(self) -> str:
        return self.primary.url

    @property
    def replicas(self) -> list[Node]:
        """All that are not the primary, whether they run or not."""
        return [node for node in self.nodes if node is not self.primary]

    def ok(self) -> bool:
        if self.primary.runs and not self.primary.primary:
            return False
        return all(node.follows(self.primary) for node in self.replicas if node.runs) or not self.primary.runs

    def promote(self, replica: Node) -> None:
        """Makes a replica the primary, and all others that run its replicas."""
        replica.ask("REPLICAOF", "NO", "ONE")
        self.primary = replica
        self._assemble()
        self.wait_until_ok()

    def _mend(self) -> None:
        self._assemble()

    def _assemble(self) -> None:
        for node in self.replicas:
            if node.runs:
                node.ask("REPLICAOF", "127.0.0.1", self.primary.port)
