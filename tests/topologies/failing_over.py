"""A Cluster or Sentinels whose primaries are killed."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ccs._core.names.keys import keys_of
from ccs._core.nodes.slots import slot_of
from tests.support.topologies import Cluster, Node, Sentinels
from tests.support.waiting import eventually

__all__ = ["ALL", "Servers", "cut_off", "kill_primary_of", "primary_of", "replace_primary_of"]

Servers = Cluster | Sentinels

ALL = {Cluster: 1, Sentinels: 2}
"""How many replicas a primary has."""


def primary_of(servers: Servers, namespace: str, task: Any) -> Node:
    """The server that has a context."""
    if isinstance(servers, Sentinels):
        return servers.primary()
    return servers.owner(slot_of(keys_of(namespace, task.address).meta))


def replicas_of(servers: Servers, primary: Node) -> list[Node]:
    """The replicas of a primary that run."""
    if isinstance(servers, Sentinels):
        return [node for node in servers.running if node is not primary]
    return servers.replicas_of(primary)


@contextmanager
def cut_off(servers: Servers, primary: Node) -> Iterator[None]:
    """No replica gets anything from a primary any more: none can log in there."""
    replicas = replicas_of(servers, primary)
    for replica in replicas:
        replica.ask("CONFIG", "SET", "masteruser", "nobody", "masterauth", "nothing")
    primary.ask("CLIENT", "KILL", "TYPE", "replica")
    try:
        yield
    finally:
        for replica in replicas:
            replica.ask("CONFIG", "SET", "masteruser", "", "masterauth", "")


async def kill_primary_of(servers: Servers, namespace: str, task: Any, *, behind: float = 0.0) -> None:
    """Kills the server that has a context, and returns when another one has it.

    Its replicas are left behind by what is written in so many seconds before.
    """
    victim = primary_of(servers, namespace, task)
    if behind:
        with cut_off(servers, victim):
            await asyncio.sleep(behind)
            victim.kill()
    victim.kill()
    await asyncio.to_thread(eventually, lambda: primary_of(servers, namespace, task) is not victim, 15)


async def replace_primary_of(servers: Servers, namespace: str, task: Any) -> None:
    """Kills the server that has a context, and returns when another one has it and it has come back as a replica."""
    await kill_primary_of(servers, namespace, task)
    await asyncio.to_thread(servers.repair)
