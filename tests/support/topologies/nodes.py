"""Servers that know of each other: what every topology can do."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

import redis

from tests.support.servers import PrivateServer
from tests.support.waiting import eventually, scaled

__all__ = ["REPLICATION", "Front", "Node", "Topology", "answered", "subfolder"]

# A replica is not kept waiting for others that may want the same snapshot.
REPLICATION = ("--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1")


Front = Callable[[int], int]
"""Puts something before a port, through which clients and other servers are to go; returns its port."""


class Node(PrivateServer):
    """A server among others. With a `front`, all others are told to reach it there."""

    paused = False
    bus_port = 0
    """Where the other nodes of a Cluster reach it."""
    tls_port = 0
    """Where clients and nodes reach it by TLS."""

    def __init__(self, binary: str, folder: Path, *options: str, front: Front | None = None) -> None:
        super().__init__(binary, folder, *options)
        self.front = front(self.port) if front else self.port

    @property
    def runs(self) -> bool:
        """Whether it can answer."""
        return self.process is not None and not self.paused

    @property
    def place(self) -> str:
        """Where it listens, as it stands in the URL of several nodes."""
        return f"127.0.0.1:{self.front}"

    @property
    def primary(self) -> bool:
        """Whether it says so of itself."""
        return bool(self.ask("ROLE")[0] == b"master")

    @property
    def replica(self) -> bool:
        """Whether it says so of itself."""
        return bool(self.ask("ROLE")[0] == b"slave")

    def follows(self, primary: Node) -> bool:
        """Whether it is a replica of this primary, and has caught up once."""
        role = self.ask("ROLE")
        return bool(role[0] == b"slave" and (role[2], role[3]) == (primary.front, b"connected"))

    def ask(self, *command: str | bytes | int) -> Any:
        """Its reply to a command."""
        with self.client() as client:
            return client.execute_command(*command)

    def client(self) -> redis.Redis:
        return redis.Redis.from_url(self.url, socket_timeout=scaled(5), protocol=2)

    def pause(self) -> None:
        super().pause()
        self.paused = True

    def resume(self) -> None:
        super().resume()
        self.paused = False

    def kill(self) -> None:
        super().kill()
        self.paused = False


class Topology:
    """Servers that know of each other."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes

    def __repr__(self) -> str:
        return f"<{type(self).__name__} of {self.nodes}>"

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def url(self) -> str:
        """The target that a store is given."""
        raise NotImplementedError

    @property
    def servers(self) -> list[Node]:
        """All that is started."""
        return self.nodes

    @property
    def running(self) -> list[Node]:
        """The nodes that can answer."""
        return [node for node in self.nodes if node.runs]

    def start(self) -> Self:
        """Starts all servers and makes them know each other. Leaves none running if it fails."""
        try:
            for node in self.servers:
                node.start()
            self._assemble()
            self.wait_until_ok()
        except BaseException:
            self.stop()
            raise
        return self

    def stop(self) -> None:
        """Kills all of it: a primary that is asked to stop would wait for its replicas first."""
        for node in self.servers:
            node.kill()

    def kill(self, node: Node) -> None:
        """Kills it with -9, as a crash would."""
        node.kill()

    def pause(self, node: Node) -> None:
        """Stops it where it is, as a machine that hangs."""
        node.pause()

    def resume(self, node: Node) -> None:
        """Lets it go on, and waits until it has its place again."""
        node.resume()
        self.wait_until_ok()

    def restart(self, node: Node) -> None:
        """Starts it again after it was killed, or kills it first; waits until it has its place again."""
        node.kill()
        node.start()
        self._mend()
        self.wait_until_ok()

    def repair(self) -> None:
        """Starts and resumes all that does not run, and waits until every server has its place."""
        for node in self.servers:
            if node.paused:
                node.resume()
            if not node.process:
                node.start()
        self._mend()
        self.wait_until_ok()

    def wait_until_ok(self, timeout: float = 20.0) -> None:
        """Waits until the servers that run agree on the primaries, and these have their replicas."""
        eventually(lambda: answered(self.ok), timeout, f"{self!r} to be well")

    def ok(self) -> bool:
        """Whether the servers that run agree on the primaries, and these have their replicas."""
        raise NotImplementedError

    def empty(self) -> None:
        """Deletes all data."""
        for node in self.running:
            if node.primary:
                node.ask("FLUSHALL")

    def _assemble(self) -> None:
        """Makes them know each other."""

    def _mend(self) -> None:
        """Does what they do not by themselves when one comes back."""


def answered(condition: Callable[[], bool]) -> bool:
    """The condition; false while a server cannot say."""
    try:
        return condition()
    except redis.RedisError:
        return False


def subfolder(folder: Path, name: str) -> Path:
    (folder / name).mkdir()
    return folder / name
