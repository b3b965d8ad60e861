"""The four arenas: an embedded folder, one server, Sentinels, a Cluster; each with what a nemesis needs to break it."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

import redis

from ccs._core.names.keys import keys_of
from ccs._core.nodes.slots import slot_of
from ccs.embedded import Embedded
from tests.embedded import players
from tests.support.servers import PrivateServer, binary_of
from tests.support.topologies import NAME, Cluster, Node, Sentinels, Topology
from tests.support.waiting import eventually
from tests.torture.nemesis.links import Link, Links

__all__ = ["ARENAS", "USER", "Arena"]

USER = "limited"
"""The user as whom some processes connect, and whose rights are revoked."""

_SECRET = "secret"  # of servers on loopback, for minutes
# It stands in the command line, so that a server that comes back knows it too.
_USERS = ("--user", USER, "on", f">{_SECRET}", "~*", "&*", "+@all")

PROCESSES = ("kill -9 a process", "stop a process", "move a clock")
SERVER = ("kill -9 a primary", "stop a primary", "fill the memory", "fill the disk", "rewrite the log")
NETWORK = ("cut requests", "cut replies", "delay requests", "delay replies", "sever connections", "revoke a user")
REPLICAS = ("kill -9 a replica", "stop a replica", "promote")


class Arena:
    """Servers that know how they are reached, and how they are well again."""

    name = ""
    kinds: tuple[str, ...] = ()
    replicas = 0
    """How many replicas each primary has."""
    forgetful = 0
    """Microseconds before a kill of which a server may forget what it has acknowledged, as it comes back from its own log."""

    def __init__(self, folder: Path, namespace: str) -> None:
        self.folder, self.namespace = folder, namespace

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None: ...

    @property
    def durable(self) -> dict[str, Any] | None:
        """The arguments of a durable context whose commits no single failure loses."""
        return {"disk": False, "replicas": self.replicas, "timeout": 3.0} if self.replicas else None

    def url(self, slot: int) -> str:
        """The target of the process in this place; one in three is a limited user."""
        raise NotImplementedError

    def primaries(self) -> list[Any]:
        """The servers that take commits, each with a `process`, a `client()`, `kill`, `pause` and `resume`."""
        raise NotImplementedError

    def standbys(self) -> list[Any]:
        """Their replicas."""
        return []

    def owner(self, address: str) -> Any:
        """The server that has a context."""
        return self.primaries()[0]

    def servers(self) -> list[Any]:
        """All that run and hold data."""
        return [*self.primaries(), *self.standbys()]

    def link(self, server: Any) -> Link:
        """The link before a server."""
        raise NotImplementedError

    def sever(self, server: Any) -> None:
        """Closes all connections to it."""
        raise NotImplementedError

    def replaced(self, server: Any) -> bool:
        """Whether a killed primary no longer counts as one; where there is no replica, at once."""
        return True

    def promote(self, choice: int) -> None:
        """Makes a replica a primary."""
        raise NotImplementedError

    def repair(self) -> None:
        """Starts and resumes what does not run, and waits until all is well."""
        raise NotImplementedError

    def version(self) -> str:
        """The servers' version."""
        with self.primaries()[0].client() as client:
            info = client.info("server")
        return (
            f"{'Valkey' if 'valkey_version' in info else 'Redis'} {info.get('valkey_version', info['redis_version'])}"
        )


class Single(Arena):
    """One server with an append-only file, half of the processes behind a link."""

    name = "single"
    kinds = (*PROCESSES, *SERVER, *NETWORK)
    forgetful = 3_000_000

    def __enter__(self) -> Self:
        self._links = Links()
        self._server = PrivateServer(binary_of("valkey"), self.folder, *_USERS).start()
        self._front = self._links.before(self._server.port)
        return self

    def __exit__(self, *_: object) -> None:
        self._server.kill()
        self._links.close()

    def url(self, slot: int) -> str:
        user = f"{USER}:{_SECRET}@" if slot % 3 == 1 else ""
        return f"redis://{user}127.0.0.1:{self._front if slot % 2 else self._server.port}"

    def primaries(self) -> list[Any]:
        return [self._server]

    def link(self, server: Any) -> Link:
        return self._links.to(server.port)

    def sever(self, server: Any) -> None:
        self._links.sever(self.link(server))

    def repair(self) -> None:
        if self._server.process is None:
            self._server.start()
        eventually(self._server.answers, 20, "the server to answer")


class _Linked(Arena):
    """A topology each of whose servers stands behind a link, also for the other servers."""

    _topology: Any

    def __enter__(self) -> Self:
        self._links = Links()
        self._topology = self._made()
        self._topology.start()
        return self

    def _made(self) -> Topology:
        raise NotImplementedError

    def __exit__(self, *_: object) -> None:
        self._topology.stop()
        self._links.close()

    def link(self, server: Any) -> Link:
        return self._links.to(server.port)

    def sever(self, server: Any) -> None:
        self._links.sever(self.link(server))

    def standbys(self) -> list[Any]:
        primaries = self.primaries()
        return [node for node in self._topology.nodes if node.runs and node not in primaries]

    def replaced(self, server: Any) -> bool:
        with suppress(redis.RedisError, StopIteration):
            return server not in self.primaries() and self._all_there()
        return False

    def _all_there(self) -> bool:
        return True

    def repair(self) -> None:
        for link in map(self.link, self._topology.nodes):
            link.mend()
        self._topology.repair()


class Watched(_Linked):
    """A server, two replicas and three Sentinels."""

    name = "sentinel"
    kinds = (*PROCESSES, *SERVER, *NETWORK, *REPLICAS, "kill -9 a Sentinel")
    replicas = 2
    forgetful = 1_000_000

    def _made(self) -> Topology:
        # Under load a server may be slow to answer; it is to be replaced for a fault.
        return Sentinels(self.folder, options=_USERS, front=self._links.before, down_after=3000)

    def url(self, slot: int) -> str:
        places = ",".join(each.place for each in self._topology.sentinels)
        return f"redis+sentinel://{f'{USER}:{_SECRET}@' if slot % 3 == 1 else ''}{places}/{NAME}"

    def primaries(self) -> list[Any]:
        return [self._topology.primary()]

    def promote(self, choice: int) -> None:
        self._topology.failover()

    def sentinel(self, choice: int) -> Node:
        """One of the Sentinels."""
        found: list[Node] = self._topology.sentinels
        return found[choice % len(found)]


class Sharded(_Linked):
    """A Cluster of three primaries with a replica each."""

    name = "cluster"
    kinds = (*PROCESSES, *SERVER, *NETWORK, *REPLICAS, "reshard at once", "reshard key by key")
    replicas = 1
    forgetful = 1_000_000

    def _made(self) -> Topology:
        return Cluster(self.folder, options=lambda: _USERS, front=self._links.before)

    def url(self, slot: int) -> str:
        user = f"{USER}:{_SECRET}@" if slot % 3 == 1 else ""
        return f"redis+cluster://{user}{','.join(node.place for node in self._topology.nodes)}"

    def primaries(self) -> list[Any]:
        found: list[Any] = self._topology.primaries
        return found

    def _all_there(self) -> bool:
        return len(self.primaries()) == 3

    def owner(self, address: str) -> Any:
        return self._topology.owner(self._slot(address))

    def _slot(self, address: str) -> int:
        return slot_of(keys_of(self.namespace, address).meta)

    def promote(self, choice: int) -> None:
        """In agreement with the primary: nothing is lost."""
        primaries = self.primaries()
        primary = primaries[choice % len(primaries)]
        self._topology.failover(self._topology.replicas_of(primary)[0])

    def reshard(self, address: str, choice: int, *, at_once: bool) -> None:
        """Moves the slot of a context to another primary, while it is used."""
        here = self.owner(address)
        others = [node for node in self.primaries() if node is not here]
        self._topology.move_slot(self._slot(address), others[choice % len(others)], at_once=at_once)


class _Box:
    """The server of a folder, as the nemesis sees it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / ".ccs"
        self._root = folder

    @property
    def pid(self) -> int:
        return players.servers(self._root)[0]

    def client(self) -> redis.Redis:
        return players.client(str(self.folder / "server.sock"))

    def kill(self) -> None:
        self._signal(signal.SIGKILL)

    def pause(self) -> None:
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, number: signal.Signals) -> None:
        for pid in players.servers(self._root):
            with suppress(ProcessLookupError):
                os.kill(pid, number)


class Folder(Arena):
    """A folder that all processes open; whoever needs the server starts it again."""

    name = "embedded"
    kinds = (*PROCESSES, *SERVER, "kill -9 the keeper")
    forgetful = 3_000_000

    def __enter__(self) -> Self:
        self._handle = Embedded(self.folder)
        self._handle.open(20.0)
        self._box = _Box(self.folder)
        return self

    def __exit__(self, *_: object) -> None:
        self._handle.close()
        players.clean_up(self.folder)

    @property
    def durable(self) -> dict[str, Any] | None:
        return None

    def url(self, slot: int) -> str:
        return str(self.folder)

    def primaries(self) -> list[Any]:
        return [self._box]

    def keeper(self) -> None:
        """Kills the keeper, whose server ends with it."""
        for pid in players.keepers(self.folder):
            players.kill(pid)

    def repair(self) -> None:
        self._box.resume()
        deadline = time.monotonic() + 20
        while True:
            try:
                self._handle.ensure(20.0)
                with self._box.client() as client:
                    client.ping()
            except (redis.RedisError, OSError):
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.05)
            else:
                return


def files_of(server: Any) -> Iterator[Path]:
    """The files of the log of a server."""
    yield from Path(server.folder).glob("appendonlydir/*.aof")


def pid_of(server: Any) -> int:
    """The process of a server."""
    return int(server.pid if isinstance(server, _Box) else server.process.pid)


ARENAS: dict[str, type[Arena]] = {each.name: each for each in (Folder, Single, Watched, Sharded)}
