"""Whether a server can keep the guarantees, judged by its `INFO`."""

from __future__ import annotations

import re

from ccs.errors import Unavailable, UnsafeServer

__all__ = ["check_server", "time_of"]

_OLDEST = {"valkey": (7, 2), "redis": (7, 0)}


def check_server(info: object, address: str) -> None:
    """Checks the reply of `INFO`.

    Raises `UnsafeServer` for a server that may evict keys, has 32 bits or is too old, and `Unavailable` for another reply.
    """
    if not isinstance(info, bytes) or b"_version:" not in info:
        raise Unavailable(address, reason="no Redis or Valkey speaks there")
    facts = dict(line.split(":", 1) for line in info.decode("utf-8", "replace").splitlines() if ":" in line)
    _check_version(facts, address)
    if facts.get("arch_bits", "64") != "64":
        raise UnsafeServer(f"{address} has {facts['arch_bits']} bits: revisions need a server of 64")
    policy = facts.get("maxmemory_policy", "noeviction")
    if policy != "noeviction":
        raise UnsafeServer(
            f"{address} has maxmemory-policy {policy}: it may drop keys that others rely on; set it to noeviction"
        )


def time_of(info: bytes) -> int | None:
    """Returns the server's time in microseconds, by the reply of `INFO`; None if that does not hold it."""
    found = re.search(rb"^server_time_usec:(\d+)", info, re.MULTILINE)
    return int(found[1]) if found else None


def _check_version(facts: dict[str, str], address: str) -> None:
    kind = "valkey" if "valkey_version" in facts else "redis"
    version = facts.get(f"{kind}_version", "0")
    oldest = _OLDEST[kind]
    if tuple(int(part) for part in version.split(".")[:2] if part.isdigit()) < oldest:
        wanted = ".".join(map(str, oldest))
        raise UnsafeServer(f"{address} is {kind.capitalize()} {version}: {wanted} is the oldest that has all we need")
