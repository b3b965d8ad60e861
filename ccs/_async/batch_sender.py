"""How groups of commits reach one context, as batches of one client."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from ccs._async.durable_wait import DurableWait, Reached
from ccs._async.opening import Opening
from ccs._clock import shown_at
from ccs._compat import async_sleep
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
from ccs._core.commits.script_calls import Call, answers_of, confirm_call
from ccs._core.names.keys import Keys
from ccs._core.retry import Patience
from ccs._log import logger
from ccs._protocol.faults import Disconnected, copy_of
from ccs._protocol.replies import ServerError
from ccs._protocol.scripts import COMMIT
from ccs.errors import CCSError, NotDurable, Unavailable
from ccs.types import Durability

__all__ = ["Answers", "BatchSender"]

Answers = Sequence[Applied | Exception]

_UNKNOWN = Reached(None, 0)


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
        """Sends a group until it is answered, or its patience ends. Returns the answers."""
        if sending.begun is None:
            # [async-only]
            await self.ready(sending.patience)
            # [/async-only]
            batch = self._batch(sending)
            sending.begun = self._clock.moment()
        else:
            # Not made ready again: if that failed, the callers would be told that nothing was applied.
            batch = self._batch_again(sending)
        return self._answers(batch, await self._run(self._command(batch), sending))

    async def _run(self, command: tuple[Argument, ...], sending: Group[Any]) -> bytes:
        wait: DurableWait | None = sending.wait
        reply: bytes = await self._commands.run(
            command,
            travel=wait.travel if wait else None,
            writes=True,
            patience=sending.patience,
            text=COMMIT.text,
            again=partial(self._again, sending),
        )
        return reply

    def waiting(self, sending: Group[Any], asked: Durability) -> DurableWait:
        """Returns the wait of a group that has to be as safe as `asked`."""

        def confirming(revision: int) -> Call[bool]:
            return confirm_call(self._batch(sending), self._keys, revision)

        return DurableWait(asked, self._commands.topology, confirming)

    async def durable(self, sending: Group[Any], answers: Answers) -> Answers:
        """Returns the answers to a group that was applied, once it is as safe as was asked.

        In place of those that are not known to be, `NotDurable`. If an answer about that is lost, the group is sent again
        under its number: where its server has lost it, it is applied anew, unless a later one was.
        """
        wait: DurableWait = sending.wait
        wait.begin(max([answer.revision for answer in answers if isinstance(answer, Applied)], default=0))
        sending.patience = Patience(wait.until)
        reached = wait.nothing
        try:
            while not await self._asked(wait):
                reply = await self._run(self._again(sending), sending)
                answers = self._answers(self._batch(sending), reply) if was_applied(reply) else answers
            reached = wait.reached
        except CCSError as error:
            logger.info("%s: it is not known what is durable: %s", self.server, error)
        finally:
            wait.drop()
        return answers if reached.is_enough(wait.asked) else self.not_durable(answers, reached)

    async def _asked(self, wait: DurableWait) -> bool:
        """Returns whether what is durable is known, or it is too late to ask again."""
        try:
            await wait.finish()
        except (Disconnected, ServerError) as error:
            delay = wait.pause()
            logger.info("%s: the answer about what is durable was lost: %s", self.server, error)
            await async_sleep(delay or 0.0)
            return delay is None
        return True

    def not_durable(self, answers: Answers, reached: Reached = _UNKNOWN) -> Answers:
        """Returns the answers to commits that are not known to be as safe as was asked."""
        return [
            NotDurable(self._address, each.revision, *reached) if isinstance(each, Applied) else each
            for each in answers
        ]

    def _batch(self, sending: Group[Any]) -> Batch:
        return Batch(sending.commits, self._client, sending.number)

    def _batch_again(self, sending: Group[Any]) -> Batch:
        # A clock that is seen after the first sending may have been set meanwhile: that of then counts.
        latest = None if sending.begun is None else latest_for(shown_at(sending.begun))
        return Batch(sending.commits, self._client, sending.number, latest=latest)

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
        return (*self._head, *commit_arguments(batch, self._keys, self._defaults, self._commands.topology.publish))

    def _again(self, sending: Group[Any]) -> tuple[Argument, ...]:
        """Returns the arguments for a group that the server may have applied: valid only while it would still know that."""
        return self._command(self._batch_again(sending))

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
