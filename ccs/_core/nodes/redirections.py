"""Redirections: a node of a Cluster answers that another one serves a slot."""

from __future__ import annotations

from typing import NamedTuple

from ccs._core.nodes.cluster_layout import Node

__all__ = ["Redirection", "redirection"]


class Redirection(NamedTuple):
    """A node's answer that another one serves a slot: for good, or (`only_once`) for one command."""

    slot: int
    node: Node
    only_once: bool


def redirection(code: str, text: str, asked: Node) -> Redirection | None:
    """Returns the redirection in an error of the server: `MOVED 3999 host:port` or `ASK …`; None for any other error."""
    if code not in ("MOVED", "ASK"):
        return None
    _, slot, where = text.split()[:3]
    host, _, port = where.rpartition(":")
    host = host.strip("[]")
    return Redirection(int(slot), Node(asked.host if host in ("", "?") else host, int(port)), code == "ASK")
