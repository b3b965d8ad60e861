"""The first commands on a new connection, in one round trip, and their replies."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from ccs._core.names.server_url import Endpoint
from ccs._protocol.replies import ServerError, pack
from ccs._protocol.server_check import ServerFacts, check_server
from ccs.errors import Unavailable

__all__ = ["Exchange", "Greeting"]


class Exchange(Protocol):
    """The first commands on a new connection, as bytes, and what takes their replies."""

    packed: bytes

    def take(self, reply: object) -> bool:
        """Takes the next reply. Returns whether it was the last one; raises if the connection is of no use."""


class Greeting:
    """Logs in, if there are credentials, selects the database, and asks the server for its `INFO`.

    `judge` is called with what that tells. It raises for a server that is not the right one.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        credentials: tuple[str, ...],
        address: str,
        judge: Callable[[ServerFacts], object] = bool,
    ) -> None:
        self._address = address
        self._judge = judge
        self._unanswered = deque(_commands(endpoint, credentials))
        self.packed = b"".join(map(pack, self._unanswered))

    def take(self, reply: object) -> bool:
        """Checks the next reply. Returns whether it was the last one.

        Raises `ServerError` for what the server refuses, and `Unavailable` or `UnsafeServer` for an unfit server.
        """
        command = self._unanswered.popleft()
        if isinstance(reply, ServerError):
            raise reply
        if command[0] == "INFO":
            self._judge(check_server(reply, self._address))
        elif reply != b"OK":
            raise Unavailable(self._address, reason="no Redis or Valkey speaks there")
        return not self._unanswered


def _commands(endpoint: Endpoint, credentials: tuple[str, ...]) -> list[tuple[str, ...]]:
    commands: list[tuple[str, ...]] = []
    if credentials:
        commands.append(("AUTH", *credentials))
    if endpoint.db:
        commands.append(("SELECT", str(endpoint.db)))
    if endpoint.name:
        commands.append(("CLIENT", "SETNAME", endpoint.name))
    return [*commands, ("INFO", "all")]
