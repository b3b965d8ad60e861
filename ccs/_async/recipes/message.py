"""A message: how it is sent, answered, acknowledged and released."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, fields
from typing import Any

from ccs._async.context_handle import Handle
from ccs._core.codec import decode
from ccs._core.commits.commit import Applied, Crowded
from ccs._core.commits.operations import Guard
from ccs._core.recipes.guarded_commit import GuardedCommit
from ccs._core.recipes.inbox import Letter, acknowledging, burying, releasing
from ccs._core.recipes.outbox import INBOX_LIMIT, Draft, Outbox, Posted
from ccs._core.times import Duration, from_micros, millis, seconds
from ccs.errors import ClaimLost, Conflict, Misuse

__all__ = ["Message", "message_of", "send"]


@dataclass(slots=True)
class Delivery:
    """The delivery of a message: the context, the hold on the message, and how often it may be delivered."""

    handle: Handle
    held: Guard | None
    tries: int
    settled: bool = False


class SettledTwice(Misuse, ClaimLost):
    """The same object has settled this message before."""


class Message(Letter):
    """A message from one agent to a role: `id sender to type content sent_at attempts reply_to revision`.

    `attempts` counts its deliveries, this one included; `revision` is that of its sending. A message from `receive` is
    settled once, with `ack` or `release`; a second time raises `Misuse`. A copy, pickled or made by
    `dataclasses.replace`, has the same fields, but cannot be settled.
    """

    # Not a field, so that `asdict` and pickle leave it out.
    __slots__ = ("_delivery",)
    _delivery: Delivery

    async def ack(self) -> None:
        """Acknowledges the message: it is never delivered again. Removes a dead letter.

        Raises `ClaimLost`, and changes nothing, if the message is settled already, or if its lease expired and another
        receiver has taken it since; until then a late ack still counts. Raises `Misuse` if the message was not received,
        or if this object has settled it before.
        """
        await self._settle(acknowledging(self, self._hold()))

    async def release(self, delay: Duration = 0) -> None:
        """Gives the message back: any receiver can get it, at once or after `delay` seconds. Raises as `ack` does.

        After its last attempt it moves to the dead letters.
        """
        held = self._hold()
        wait = millis(delay, "delay") if seconds(delay, "delay") else 0
        tries = self._delivery.tries
        if not tries:
            raise Misuse(f"message {self.id!r} is a dead letter: send its content again, and ack it")
        if self.attempts >= tries:
            return await self._settle(burying(self, held))
        await self._settle(releasing(self, held, wait))
        return self._delivery.handle.expect(wait or None)

    async def reply(self, content: Any, *, type: str = "reply", ttl: Duration | None = None) -> Message:
        """Sends an answer to the inbox named like the sender, with `reply_to` set. Returns it; raises as `send` does."""
        if not hasattr(self, "_delivery"):
            raise Misuse(f"{self._copied()}: use send(), with its sender as to and its id as reply_to")
        return await send(self._delivery.handle, Draft(self.sender, content, type, self.id, ttl, INBOX_LIMIT))

    def _hold(self) -> Guard:
        if not hasattr(self, "_delivery"):
            raise Misuse(f"{self._copied()}: settle the one that inbox.receive() returned, where it was received")
        if self._delivery.held is None:
            raise Misuse(f"message {self.id!r} was not received: only a message from inbox.receive() can be settled")
        if self._delivery.settled:
            name = f"message {self.id} to {self.to}"
            raise SettledTwice(name, f"{name} was settled before, by this object: once is enough")
        return self._delivery.held

    def _copied(self) -> str:
        return f"this is a copy of message {self.id!r}"

    async def _settle(self, move: GuardedCommit) -> None:
        try:
            await self._delivery.handle.commit(move.operations, move.guards)
        except Conflict as conflict:
            name = f"message {self.id} to {self.to}"
            since = "was settled already, or has been delivered to somebody else since; nothing was changed: leave it"
            raise ClaimLost(name, f"{name} {since}") from conflict
        self._delivery.settled = True
        held = self._delivery.held
        if held:
            handle = self._delivery.handle
            handle.holdings.remove(handle.address, self.paths.at("leases", self.id), held.expected)


def message_of(letter: Letter, handle: Handle, held: Guard | None = None, tries: int = 0) -> Message:
    """Returns the message that can be settled with the guard `held`, and delivered `tries` times (0: not again)."""
    known = {each.name: getattr(letter, each.name) for each in fields(Letter)}
    message = Message(**known)
    object.__setattr__(message, "_delivery", Delivery(handle, held, tries))
    return message


async def send(handle: Handle, draft: Draft) -> Message:
    """Sends one message, in a commit of its own. Returns it."""
    outbox = Outbox(secrets.token_hex(8), handle.engine.max_value_bytes)
    posted = outbox.put(draft)
    try:
        applied = await handle.commit([posted.operation], [posted.guard])
    except Crowded as crowded:
        handle.expect(1)  # messages may have expired while no client was there to sweep them
        raise outbox.refusal(crowded) from None
    handle.expect(posted.ttl)
    return message_of(_letter(handle.agent, draft, posted, applied), handle)


def _letter(sender: str, draft: Draft, posted: Posted, applied: Applied) -> Letter:
    content = decode(posted.value)["content"]
    sent_at = from_micros(applied.at)
    return Letter(posted.id, sender, draft.to, draft.type, content, sent_at, 0, draft.reply_to, applied.revision)
