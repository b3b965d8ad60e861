"""A server with replicas, and Sentinels that watch over them."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from tests.support.servers import binary_of
from tests.support.topologies.nodes import REPLICATION, Front, Node, Topology, answered, subfolder
from tests.support.waiting import eventually

__all__ = ["NAME", "Sentinels"]

NAME = "main"
"""By which the Sentinels know their primary."""

# Sentinels find each other, replicas and servers that come back by what they send from time to time: here more often.
# The first ping must come well before a server counts as down. While a primary is replaced, replicas are asked about
# themselves each second: five pings must last longer, or none of them is fit to be promoted; four publications too, or
# another Sentinel makes the one that was promoted a replica again.
_OFTEN = {
    "ping-period": 300,
    "info-period": 300,
    "ask-period": 100,
    "publish-period": 500,
    "tilt-period": 500,
}


class Sentinels(Topology):
    """A server with replicas, and Sentinels that replace it within some 2 s when it is killed."""

    def __init__(
        self,
        folder: Path,
        replicas: int = 2,
        sentinels: int = 3,
        kind: str = "valkey",
        options: tuple[str, ...] = (),
        front: Front | None = None,
        down_after: int = 500,
    ) -> None:
        names = [f"node-{number}" for number in range(1 + replicas)]
        options = (*REPLICATION, *options)
        super().__init__([_Server(binary_of(kind), subfolder(folder, name), *options, front=front) for name in names])
        quorum = sentinels // 2 + 1
        self.sentinels: list[Node] = [
            _Sentinel(binary_of(kind), subfolder(folder, f"sentinel-{number}"), self.nodes[0].front, quorum, down_after)
            for number in range(sentinels)
        ]

    @property
    def url(self) -> str:
        return f"redis+sentinel://{','.join(sentinel.place for sentinel in self.sentinels)}/{NAME}"

    @property
    def servers(self) -> list[Node]:
        return [*self.nodes, *self.sentinels]

    def primary(self) -> Node:
        """The server that the Sentinels name."""
        return self._named_by(next(sentinel for sentinel in self.sentinels if sentinel.runs))

    def kill_primary(self) -> Node:
        """Kills the primary with -9, and returns it."""
        primary = self.primary()
        primary.kill()
        return primary

    def failover(self) -> Node:
        """Makes the Sentinels replace the primary, which becomes a replica of the new one. Returns the new one."""
        old = self.primary()
        eventually(lambda: answered(lambda: self._replaced(old)), 20, f"the Sentinels to replace {old!r}")
        self.wait_until_ok()
        return self.primary()

    def ok(self) -> bool:
        primary = self.primary()
        sentinels = [sentinel for sentinel in self.sentinels if sentinel.runs]
        return (
            primary.runs
            and primary.primary
            and all(node is primary or node.follows(primary) for node in self.running)
            and all(self._sees_all(sentinel, primary) for sentinel in sentinels)
        )

    def _assemble(self) -> None:
        for node in self.nodes[1:]:
            node.ask("REPLICAOF", "127.0.0.1", self.nodes[0].front)

    def _replaced(self, old: Node) -> bool:
        """Whether the first Sentinel has replaced the primary; else begins that, also anew where it was given up."""
        sentinel = next(sentinel for sentinel in self.sentinels if sentinel.runs)
        at_work = "failover_in_progress" in _fields(sentinel.ask("SENTINEL", "MASTER", NAME))["flags"]
        if not at_work and self._named_by(sentinel) is old:
            sentinel.ask("SENTINEL", "FAILOVER", NAME)
        return self._named_by(sentinel) is not old

    def _named_by(self, sentinel: Node) -> Node:
        _, port = sentinel.ask("SENTINEL", "GET-MASTER-ADDR-BY-NAME", NAME)
        return next(node for node in self.nodes if node.front == int(port))

    def _sees_all(self, sentinel: Node, primary: Node) -> bool:
        said = _fields(sentinel.ask("SENTINEL", "MASTER", NAME))
        others = _by_port(sentinel.ask("SENTINEL", "SENTINELS", NAME))
        replicas = _by_port(sentinel.ask("SENTINEL", "REPLICAS", NAME))
        return (
            (said["flags"], int(said["port"])) == ("master", primary.front)
            and all(other is sentinel or _well(others.get(other.port)) for other in self.sentinels if other.runs)
            and all(node is primary or _serves(replicas.get(node.front), primary) for node in self.running)
        )


class _Server(Node):
    def command(self) -> list[str]:
        announced = ["--replica-announce-port", str(self.front)] if self.front != self.port else []
        return [*super().command(), *announced]


class _Sentinel(Node):
    def __init__(self, binary: str, folder: Path, primary: int, quorum: int, down_after: int) -> None:
        super().__init__(binary, folder)
        self._file = folder / "sentinel.conf"  # which it rewrites itself
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f"dir {folder}",
            f"logfile {folder / 'log'}",
            f"sentinel monitor {NAME} 127.0.0.1 {primary} {quorum}",
            f"sentinel down-after-milliseconds {NAME} {down_after}",
            f"sentinel failover-timeout {NAME} {4 * down_after}",
        ]
        self._file.write_text("\n".join(lines) + "\n")

    def command(self) -> list[str]:
        return [self.binary, str(self._file), "--sentinel"]

    def start(self) -> Self:
        super().start()
        self.ask("SENTINEL", "DEBUG", *(word for item in _OFTEN.items() for word in item))
        return self


def _well(said: dict[str, str] | None) -> bool:
    return said is not None and not {"s_down", "o_down", "disconnected"} & set(said["flags"].split(","))


def _serves(said: dict[str, str] | None, primary: Node) -> bool:
    """Whether a Sentinel says of a replica that it follows this primary."""
    return (
        said is not None
        and _well(said)
        and (said["master-link-status"], int(said["master-port"])) == ("ok", primary.front)
    )


def _by_port(reply: list[list[bytes]]) -> dict[int, dict[str, str]]:
    return {int(said["port"]): said for said in map(_fields, reply)}


def _fields(reply: list[bytes]) -> dict[str, str]:
    words = [str(word, "utf-8") for word in reply]
    return dict(zip(words[::2], words[1::2], strict=True))
