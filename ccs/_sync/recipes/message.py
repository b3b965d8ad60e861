# Generated from ccs/aio/recipes/message.py by scripts/twin. Do not edit.
"""A message, and what becomes of it: sent, answered, acknowledged, released."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, field, fields
from typing import Any

from ccs._core.codec import decode
from ccs._core.commit import Applied, Crowded, Guard
from ccs._core.inbox import Letter, Move, acknowledging, burying, releasing
from ccs._core.outbox import INBOX_LIMIT, Draft, Outbox, Posted
from ccs._core.times import Duration, from_micros, millis, seconds
from ccs._sync.place import Place
from ccs.errors import ClaimLost, Conflict, InvalidValue

__all__ = ["Message", "message_of", "send"]


@dataclass(frozen=True, slots=True)
class Message(Letter):
    """A message from one agent to a role: `id sender to type content sent_at attempts reply_to revision`.

    `attempts` counts its deliveries, this one included; `revision` is that of its sending. The one that `receive`
    returned is settled with `ack` or `release`.
    """

    _place: Place = field(repr=False, compare=False)
    _held: Guard | None = field(default=None, repr=False, compare=False)
    _tries: int = field(default=0, repr=False, compare=False)

    def ack(self) -> None:
        """Done with: it is never delivered again. Of a dead letter: it is forgotten.

        `ClaimLost`, and nothing changes, if the message was not acknowledged within its lease and somebody else has
        taken it since, or if it is settled already. As long as nobody has, a late ack still counts. `InvalidValue` of
        a message that was not received.
        """
        self._settle(acknowledging(self, self._hold()))

    def release(self, delay: Duration = 0) -> None:
        """Given back: it is delivered again, to anybody, at once or after `delay` seconds. Errors as of `ack`.

        If this was its last attempt, it moves to the dead letters.
        """
        held, wait = self._hold(), millis(delay, "delay") if seconds(delay, "delay") else 0
        if not self._tries:
            raise InvalidValue(f"message {self.id!r} is a dead letter: send its content anew, and ack it")
        if self.attempts >= self._tries:
            return self._settle(burying(self, held))
        self._settle(releasing(self, held, wait))
        return self._place.expect(wait or None)

    def reply(self, content: Any, *, type: str = "reply", ttl: Duration | None = None) -> Message:
        """Sends an answer to the inbox of the sender's name, with `reply_to` this message. Errors as of `send`."""
        return send(self._place, Draft(self.sender, content, type, self.id, ttl, INBOX_LIMIT))

    def _hold(self) -> Guard:
        if self._held is None:
            raise InvalidValue(f"message {self.id!r} was not received: only what inbox.receive() gives can be settled")
        return self._held

    def _settle(self, move: Move) -> None:
        try:
            self._place.commit(*move, heeding=False)
        except Conflict as conflict:
            name = f"message {self.id} to {self.to}"
            since = "was settled already, or has been delivered to somebody else since; nothing was changed: leave it"
            raise ClaimLost(name, f"{name} {since}") from conflict


def message_of(letter: Letter, place: Place, held: Guard | None = None, tries: int = 0) -> Message:
    """The message that can be settled with `held`, and delivered so many times; 0: no more."""
    known = {each.name: getattr(letter, each.name) for each in fields(Letter)}
    return Message(**known, _place=place, _held=held, _tries=tries)


def send(place: Place, draft: Draft) -> Message:
    """Sends one message, in a commit of its own."""
    outbox = Outbox(secrets.token_hex(8), place.engine.max_value_bytes)
    posted = outbox.put(draft)
    try:
        applied = place.commit([posted.operation], [posted.guard], len(posted.value), heeding=False)
    except Crowded as crowded:
        place.expect(1)  # some may have expired while nobody was there to sweep
        raise outbox.refusal(crowded) from None
    place.expect(posted.ttl)
    return message_of(_letter(place.agent, draft, posted, applied), place)


def _letter(sender: str, draft: Draft, posted: Posted, applied: Applied) -> Letter:
    content, at = decode(posted.value)["content"], from_micros(applied.at)
    return Letter(posted.id, sender, draft.to, draft.type, content, at, 0, draft.reply_to, applied.revision)
