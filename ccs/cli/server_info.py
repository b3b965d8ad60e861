"""What the servers of a store tell of themselves."""

from __future__ import annotations

from collections.abc import Mapping

import ccs
from ccs._sync.engine import Engine

__all__ = ["Facts", "engine_of", "facts_in", "server_name", "servers", "size"]

Facts = Mapping[str, str]


def engine_of(store: ccs.Store) -> Engine:
    """Returns what all contexts of a store share."""
    return store.global_context().handle.engine


def servers(store: ccs.Store) -> dict[str, Facts]:
    """Returns what each server says in its `INFO`, by where it is; replicas too."""
    engine = engine_of(store)
    engine.opening.ready()
    replies = engine.opening.commands.on_every_server(("INFO", "all"))
    return {str(node) if node else store.address: facts_in(reply) for node, reply in replies.items()}


def facts_in(reply: object) -> Facts:
    """Returns the lines of an `INFO` by name."""
    text = reply.decode("utf-8", "replace") if isinstance(reply, bytes) else ""
    return dict(line.split(":", 1) for line in text.splitlines() if ":" in line)


def server_name(facts: Facts) -> str:
    """Returns which server it is: `Valkey 9.1.0`."""
    kind = "valkey" if "valkey_version" in facts else "redis"
    return f"{kind.capitalize()} {facts.get(f'{kind}_version', '?')}"


def size(count: float) -> str:
    """Returns a number of bytes as people read it: `12.3 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1_000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1_000
    return f"{count:.1f} TB"
