"""What a Sentinel is asked, in one round trip: where the primary is, and since which failover."""

from __future__ import annotations

from typing import Any

from ccs._core.names.server_url import Endpoint
from ccs._core.nodes.cluster_layout import Node
from ccs._protocol.replies import InvalidReply, ServerError, pack

__all__ = ["SentinelQuestion"]

_UNKNOWN = "No such master"


class SentinelQuestion:
    """Logs in to a Sentinel, and asks for the primary of a name.

    `primary` is where that is, None if the Sentinel does not know the name; `epoch` grows with each failover.
    """

    def __init__(self, endpoint: Endpoint, name: str) -> None:
        self._name = name
        commands: list[tuple[str, ...]] = [("AUTH", *endpoint.credentials)] if endpoint.credentials else []
        commands += [("SENTINEL", "GET-MASTER-ADDR-BY-NAME", name), ("SENTINEL", "MASTER", name)]
        self._unanswered = commands
        self.packed = b"".join(map(pack, commands))
        self.primary: Node | None = None
        self.epoch = -1

    def take(self, reply: Any) -> bool:
        """Takes the next reply. Returns whether it was the last one. Raises `ServerError` for what the Sentinel refuses."""
        command = self._unanswered.pop(0)
        if isinstance(reply, ServerError):
            if str(reply).startswith(_UNKNOWN):
                return not self._unanswered
            raise reply
        if command[0] == "SENTINEL" and reply is not None:
            self._note(command[1], reply)
        return not self._unanswered

    def _note(self, asked: str, reply: Any) -> None:
        try:
            if asked == "MASTER":
                facts = dict(zip(reply[::2], reply[1::2], strict=True))
                self.epoch = int(facts[b"config-epoch"])
            else:
                self.primary = Node(reply[0].decode(), int(reply[1]))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise InvalidReply(f"not the answer of a Sentinel: {reply!r}") from error
