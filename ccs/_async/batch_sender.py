"""How groups of commits reach one context, as batches of one client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ccs._async.opening import Opening
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
from ccs._protocol.faults import Disconnected, copy_of
from ccs._protocol.scripts import COMMIT
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

    async def ready(self, patience: Patience) -> None:
        """Waits until the store is open: before that there is no identity, and the server's clock is not known."""
        await self._opening.ready(patience)
        self._client = self._opening.identity()

    async def send(self, sending: Group[Any]) -> Sequence[Applied | CCSError]:
        """The answers to a group, tried until its patience ends."""
        # [async-only]
        await self.ready(sending.patience)
        # [/async-only]
        batch = Batch(sending.commits, self._client, sending.number)
        if sending.begun is None:
            sending.begun = self._clock.moment()
        else:
            # A clock that is seen after the first sending may have been set meanwhile.
            batch.latest = latest_for(shown_at(sending.begun))
        reply = await self._commands.run(
            self._command(batch),
            writes=True,
            patience=sending.patience,
            text=COMMIT.text,
            again=partial(self._again, sending),
        )
        return self._answers(batch, reply)

    # [async-only]
    def post(self, sending: Group[Any], on_answers: Callable[[Answers | None, bool], None]) -> bool:
        """Sends a group at once and only once. Returns whether that was possible.

        `on_answers(answers, sent)`: `answers` is None where there are none; `sent` is whether it may have been applied.
        """
        if not self._opening.is_ready():
            return False
        self._client = self._client or self._opening.identity()
        batch = Batch(sending.commits, self._client, sending.number, sending.behind)
        sending.begun = self._clock.moment()
        posted = self._commands.post(self._command(batch), partial(self._posted, batch, on_answers))
        sending.patience.sent = posted
        return posted

    def _posted(self, batch: Batch, on_answers: Callable[[Any, bool], None], reply: Any) -> None:
        if not isinstance(reply, bytes) or not was_applied(reply):
            return on_answers(None, isinstance(reply, Disconnected) and reply.sent)
        try:
            answers: Answers = self._parse(batch, reply)
        except Exception as error:  # noqa: BLE001  # not swallowed: the callers that wait for the answers get it
            answers = [copy_of(error) for _ in batch.commits]
        return on_answers(answers, True)

    # [/async-only]
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
