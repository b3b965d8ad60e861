# Generated from ccs/_async/commit_sender.py by scripts/twin. Do not edit.
"""How groups of commits reach one context, as batches of one client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ccs._clock import shown_at
from ccs._core.commits.batching import Group
from ccs._core.commits.commit import (
    TOO_LATE,
    Applied,
    Argument,
    Batch,
    Settings,
    commit_arguments,
    latest_for,
    parse_answers,
    refused_action,
    was_applied,
)
from ccs._core.names.keys import Keys
from ccs._core.retry import Patience
from ccs._protocol.scripts import COMMIT
from ccs._stats import Counters
from ccs._sync.transport.commands import Connection, ScriptCall
from ccs.errors import CCSError, Forbidden, Unavailable

__all__ = ["Sender", "commit_call"]


def commit_call(batch: Batch, keys: Keys) -> ScriptCall:
    """A batch without an identity, of commits that do not make the context that they are for."""
    return ScriptCall(COMMIT, keys.all, commit_arguments(batch, keys, Settings(0, 1, 1)))


class Sender:
    """Sends groups to one context; `defaults` are the settings that it gets if it has to be made."""

    def __init__(
        self,
        connection: Connection,
        stats: Counters,
        address: str,
        keys: Keys,
        identity: Callable[[], str],
        defaults: Settings,
    ) -> None:
        self._connection, self._stats = connection, stats
        self._clock = connection.clock
        self._address, self._keys, self._identity, self._defaults = address, keys, identity, defaults
        # The identity, once it is known: it stays the same, whatever becomes of the store.
        self._known = ""
        self._head = "EVALSHA", COMMIT.digest, str(len(keys.all)), *keys.all

    def __repr__(self) -> str:
        return f"<Sender to {self._address}>"

    @property
    def server(self) -> str:
        """Where the server is, without secrets."""
        return self._connection.address

    @property
    def _client(self) -> str:
        self._known = self._known or self._identity()
        return self._known

    def ready(self, patience: Patience) -> None:
        """Waits until the store is open: before that there is no identity, and nothing is known of the server's clock."""
        self._connection.ready(patience)

    def send(self, sending: Group[Any]) -> Sequence[Applied | CCSError]:
        """The answers to a group, tried until its patience ends."""
        # What is seen of the clock after the sending may be what it was set to meanwhile.
        batch = Batch(sending.commits, self._client, sending.number)
        if sending.begun is None:
            sending.begun = self._clock.moment()
        else:
            batch.latest = latest_for(shown_at(sending.begun))
        reply = self._connection.run(
            (*self._head, *commit_arguments(batch, self._keys, self._defaults)),
            early=True,
            writes=True,
            patience=sending.patience,
            text=COMMIT.text,
            again=partial(self._again, sending),
        )
        return self._answers(batch, reply)

    def _again(self, sending: Group[Any]) -> tuple[Argument, ...]:
        """The group once the server may have applied it: only while it would still know that."""
        latest = None if sending.begun is None else latest_for(shown_at(sending.begun))
        batch = Batch(sending.commits, self._client, sending.number, latest=latest)
        return (*self._head, *commit_arguments(batch, self._keys, self._defaults))

    def _answers(self, batch: Batch, reply: bytes) -> Sequence[Applied | CCSError]:
        if was_applied(reply):
            return self._parse(batch, reply)
        if reply == TOO_LATE:
            reason = (
                "its clock was set, or a reply was lost too long ago, so it may have forgotten that it has applied this"
            )
            raise Unavailable(self._connection.address, True, reason)
        raise CCSError(
            f"a later batch of this client was applied to {self._address} before this one; nothing was written"
        )

    def _parse(self, batch: Batch, reply: bytes) -> Sequence[Applied | CCSError]:
        self._stats.add_batch(len(batch.commits))
        answers = parse_answers(batch, self._address, reply, self._forbid)
        first = answers[0]
        if isinstance(first, Applied):
            known = self._clock.known_from <= first.at < self._clock.known_until
            if not known and first.revision == first.at:  # else the context is ahead of the clock
                self._clock.see(first.at)
        return answers

    def _forbid(self, refused: str) -> Forbidden:
        return self._connection.forbidden(refused_action(refused, self._keys))
