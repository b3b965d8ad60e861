"""Whether a server can keep the guarantees, judged by its `INFO`."""

from __future__ import annotations

from typing import NamedTuple

from ccs.errors import Unavailable, UnsafeServer

__all__ = ["ServerFacts", "check_server"]

_OLDEST = {"valkey": (7, 2), "redis": (7, 0)}


class ServerFacts(NamedTuple):
    """What a server says of itself: whether it is part of a Cluster, whose replica it is ('': a primary), its time in µs."""

    is_cluster: bool
    replica_of: str
    time: int | None


def check_server(info: object, address: str) -> ServerFacts:
    """Checks the reply of `INFO`. Returns what it tells.

    Raises `UnsafeServer` for a server that may evict keys, has 32 bits or is too old, and for a Sentinel; `Unavailable`
    for another reply.
    """
    if not isinstance(info, bytes) or b"_version:" not in info:
        raise Unavailable(address, reason="no Redis or Valkey speaks there")
    facts = dict(line.split(":", 1) for line in info.decode("utf-8", "replace").splitlines() if ":" in line)
    if "sentinel" in (facts.get("redis_mode"), facts.get("server_mode")):
        raise UnsafeServer(
            f"{address} is a Sentinel, which holds no data: write redis+sentinel://host:port/<name of the primary>"
        )
    _check_version(facts, address)
    if facts.get("arch_bits", "64") != "64":
        raise UnsafeServer(f"{address} has {facts['arch_bits']} bits: revisions need a server of 64")
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise UnsafeServer(
            f"{address} has maxmemory-policy {policy}: it may drop keys that others rely on; set it to noeviction"
        )
    replica_of = ""
    if facts.get("role") == "slave":
        replica_of = f"{facts.get('master_host', '?')}:{facts.get('master_port', '?')}"
    micros = facts.get("server_time_usec", "")
    return ServerFacts(facts.get("cluster_enabled") == "1", replica_of, int(micros) if micros.isdigit() else None)


def _check_version(facts: dict[str, str], address: str) -> None:
    kind = "valkey" if "valkey_version" in facts else "redis"
    version = facts.get(f"{kind}_version", "0")
    oldest = _OLDEST[kind]
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < oldest:
        wanted = ".".join(map(str, oldest))
        raise UnsafeServer(f"{address} is {kind.capitalize()} {version}: {wanted} is the oldest that has all we need")
