# Generated from ccs/aio/sender.py by scripts/twin. Do not edit.
"""How groups of commits reach one context, as batches of one client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from ccs._core.commit import Applied, Batch, Settings, commit_arguments, parse_answers, was_applied
from ccs._core.grouping import Group
from ccs._core.keys import Keys
from ccs._scripts import COMMIT
from ccs._stats import Counters
from ccs._sync.connection import Connection
from ccs.errors import CCSError

__all__ = ["Sender"]


class Sender:
    """Sends groups to one context; `defaults` are the settings that it gets if it has to be made."""

    def __init__(
        self,
        connection: Connection,
        stats: Counters,
        address: str,
        keys: Keys,
        client: Callable[[], str],
        defaults: Settings,
    ) -> None:
        self._connection, self._stats = connection, stats
        self._address, self._keys, self._client, self._defaults = address, keys, client, defaults
        self._head = "EVALSHA", COMMIT.digest, str(len(keys.all)), *keys.all

    def __repr__(self) -> str:
        return f"<Sender to {self._address}>"

    def send(self, sending: Group[Any], sent: bool = False) -> Sequence[Applied | CCSError]:
        """The answers to a group, tried until patience ends; `sent`: it may have been applied before."""
        # The store has to be open before there is an identity.
        self._connection.ready()
        batch = Batch(sending.commits, self._client(), sending.number)
        arguments = commit_arguments(batch, self._keys, self._defaults)
        command = (*self._head, *arguments)
        reply = self._connection.run(command, writes=True, early=True, sent=sent, since=sending.since, text=COMMIT.text)
        return self._answers(batch, reply)

    def _answers(self, batch: Batch, reply: bytes) -> Sequence[Applied | CCSError]:
        if not was_applied(reply):
            message = (
                f"a later batch of this client was applied to {self._address} before this one; nothing was written"
            )
            raise CCSError(message)
        return self._parse(batch, reply)

    def _parse(self, batch: Batch, reply: bytes) -> Sequence[Applied | CCSError]:
        self._stats.add_batch(len(batch.commits))
        return parse_answers(batch, self._address, reply)
