# Generated from ccs/_async/batch_sender.py by scripts/twin. Do not edit.
"""How groups of commits reach one context, as batches of one client."""

from __future__ import annotations

from collections.abc import Sequence
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
    was_applied,
)
from ccs._core.commits.script_calls import answers_of
from ccs._core.names.keys import Keys
from ccs._core.retry import Patience
from ccs._protocol.scripts import COMMIT
from ccs._sync.opening import Opening
from ccs.errors import CCSError, Unavailable

__all__ = ["Answers", "BatchSender"]

Answers = Sequence[Applied | Exception]


class BatchSender:
    """Sends groups of commits to one context. A context that does not exist begins with the settings `defaults`."""

    def __init__(self, opening: Opening, address: str, keys: Keys, defaults: Settings) -> None:
        self._opening = opening
        self._commands = opening.commands
        self._clock = opening.commands.clock
        self._stats = opening.stats
        self._address = address
        self._keys = keys
        self._defaults = defaults
        # The identity, once it is known.
        self._client = ""
        self._head = "EVALSHA", COMMIT.digest, str(len(keys.all)), *keys.all

    def __repr__(self) -> str:
        return f"<BatchSender to {self._address}>"

    @property
    def server(self) -> str:
        """Where the server is, without secrets."""
        return self._commands.address

    def ready(self, patience: Patience) -> None:
        """Waits until the store is open: before that there is no identity, and the server's clock is not known."""
        self._opening.ready(patience)
        self._client = self._opening.identity()

    def send(self, sending: Group[Any]) -> Sequence[Applied | CCSError]:
        """The answers to a group, tried until its patience ends."""
        batch = Batch(sending.commits, self._client, sending.number)
        if sending.begun is None:
            sending.begun = self._clock.moment()
        else:
            # A clock that is seen after the first sending may have been set meanwhile.
            batch.latest = latest_for(shown_at(sending.begun))
        reply = self._commands.run(
            self._command(batch),
            writes=True,
            patience=sending.patience,
            text=COMMIT.text,
            again=partial(self._again, sending),
        )
        return self._answers(batch, reply)

    def _command(self, batch: Batch) -> tuple[Argument, ...]:
        return (*self._head, *commit_arguments(batch, self._keys, self._defaults))

    def _again(self, sending: Group[Any]) -> tuple[Argument, ...]:
        """The group once the server may have applied it: only while it would still know that."""
        latest = None if sending.begun is None else latest_for(shown_at(sending.begun))
        return self._command(Batch(sending.commits, self._client, sending.number, latest=latest))

    def _answers(self, batch: Batch, reply: bytes) -> Sequence[Applied | CCSError]:
        if was_applied(reply):
            return self._parse(batch, reply)
        if reply == TOO_LATE:
            reason = (
                "its clock was set, or a reply was lost too long ago, so it may have forgotten that it has applied this"
            )
            raise Unavailable(self._commands.address, True, reason)
        raise CCSError(
            f"a later batch of this client was applied to {self._address} before this one; nothing was written"
        )

    def _parse(self, batch: Batch, reply: bytes) -> Sequence[Applied | CCSError]:
        self._stats.add_batch(len(batch.commits))
        answers = answers_of(batch, self._keys, self._address, reply, self._commands.forbidden)
        first = answers[0]
        if isinstance(first, Applied):
            known = self._clock.known_from <= first.at < self._clock.known_until
            if not known and first.revision == first.at:  # else the context is ahead of the clock
                self._clock.see(first.at)
        return answers
