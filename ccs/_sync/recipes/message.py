# Generated from ccs/_async/recipes/message.py by scripts/twin. Do not edit.
"""A message: how it is sent, recalled, answered, acknowledged and released."""

from __future__ import annotations

import secrets
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any

from ccs._compat import shielded
from ccs._core.codec import decode
from ccs._core.commits.commit import Crowded
from ccs._core.commits.operations import Guard
from ccs._core.names.pattern import escape
from ccs._core.recipes.guarded_commit import GuardedCommit
from ccs._core.recipes.inbox import (
    Letter,
    Offer,
    acknowledging,
    burying,
    inbox_paths,
    is_taken,
    recalling,
    releasing,
)
from ccs._core.recipes.outbox import INBOX_LIMIT, Draft, Outbox, Posted
from ccs._core.times import Duration, from_micros, millis, seconds
from ccs._log import logger
from ccs._sync.context_handle import Handle
from ccs._sync.entries import Entries
from ccs._sync.opening import Opening
from ccs._sync.optimistic import Race
from ccs._sync.recipes.message_lease import MessageLease
from ccs.errors import CCSError, ClaimLost, Conflict, Misuse
from ccs.types import Entry

__all__ = ["Message", "message_of", "send", "taken_since"]


@dataclass(slots=True)
class Delivery:
    """The delivery of a message: the context, the hold on the message, its lease, and how often it may be delivered.

    The hold belongs to the `opening` of the store in which it was delivered.
    """

    handle: Handle
    opening: Opening
    held: Guard | None
    tries: int
    lease: MessageLease | None = None
    settled: bool = False


class SettledTwice(Misuse, ClaimLost):
    """The same object has settled this message before."""


class Message(Letter):
    """A message from one agent to a role: `id sender to type content sent_at attempts reply_to revision priority token`.

    `attempts` counts its deliveries, this one included; `revision` is that of its sending. A message from `receive` is
    settled once, with `ack` or `release`, or by a with block: `ack` at its end, `release` if an exception leaves it. A
    second time raises `Misuse`. A copy, pickled or made by `dataclasses.replace`, has the same fields, but cannot be
    settled; `inbox.ack(id, token)` can, in any process. `token` is None if the message was not received.
    """

    # Not a field, so that `asdict` and pickle leave it out.
    __slots__ = ("_delivery",)
    _delivery: Delivery

    def __enter__(self) -> Message:
        self._hold()
        return self

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if self._delivery.settled:
            return
        if kind is None:
            self.ack()
        elif self._delivery.tries:
            try:
                shielded(self.release)
            except CCSError as failure:
                logger.warning("message %s to %s was not released: %s", self.id, self.to, failure)

    def ack(self) -> None:
        """Acknowledges the message: it is never delivered again. Removes a dead letter.

        Raises `ClaimLost`, and changes nothing, if the message is settled already, or if its lease expired and another
        receiver has taken it since; until then a late ack still counts. Raises `Misuse` if the message was not received,
        or if this object has settled it before.
        """
        held = self._hold()
        self._settle(acknowledging(inbox_paths(self.to), self.id, held))

    def release(self, delay: Duration = 0) -> None:
        """Gives the message back: any receiver can get it, at once or after `delay` seconds. Raises as `ack` does.

        After its last attempt it moves to the dead letters.
        """
        held = self._hold()
        wait = millis(delay, "delay") if seconds(delay, "delay") else 0
        tries = self._delivery.tries
        if not tries:
            raise Misuse(f"message {self.id!r} is a dead letter: send its content again, and ack it")
        if self.attempts >= tries:
            return self._settle(burying(self, held))
        self._settle(releasing(self, held, wait))
        return self._delivery.handle.expect(wait or None)

    def reply(self, content: Any, *, type: str = "reply", ttl: Duration | None = None) -> Message:
        """Sends an answer to the inbox named like the sender, with `reply_to` set. Returns it; raises as `send` does."""
        if not hasattr(self, "_delivery"):
            raise Misuse(f"{self._copied()}: use send(), with its sender as to and its id as reply_to")
        return send(self._delivery.handle, Draft(self.sender, content, type, self.id, ttl, INBOX_LIMIT))

    def extend(self, seconds: Duration) -> None:
        """Makes the lease end `seconds` from now, and not when the inbox said. It is no commit.

        Raises `ClaimLost` if the lease has ended; then another receiver can get the message, and an `ack` still counts
        until one has. Raises `Misuse` as `ack` does.
        """
        held = self._hold("and has no lease to extend")
        lease = self._delivery.lease
        if lease is None:
            raise Misuse(f"message {self.id!r} is a dead letter, which has no lease: ack it, or leave it")
        try:
            extended = lease.prolong(_at_least_a_moment(seconds), held)
        except Conflict as conflict:
            raise taken_since(self.to, self.id) from conflict
        if not extended:
            name = f"message {self.id} to {self.to}"
            raise ClaimLost(
                name, f"the lease of {name} has ended; extend it earlier, or open the inbox with renew=True"
            )

    def keep(self) -> None:
        """Keeps the message until its lease ends, even when its inbox or the store is closed before.

        For a program that receives a message and hands its `id` and `token` to another one, which settles it with
        `inbox.ack(id, token)`. A lease that was renewed is renewed no more. Raises `Misuse` as `ack` does.

            >>> message = task.send("analyst", "hello")
            >>> with task.inbox("analyst", lease=60) as inbox:
            ...     message = inbox.receive(timeout=5)
            ...     message.keep()
            >>> task.inbox("analyst").ack(message.id, message.token)
        """
        self._hold()
        if self._delivery.lease:
            self._delivery.lease.end()

    def recall(self) -> bool:
        """Takes the message back, if no receiver has it. Returns whether it did: then nobody will receive it.

        For the sender. It returns False if a receiver has it, or if it was acknowledged, has expired or is a dead letter.
        An `id` that was given to `send` stays remembered.

            >>> message = task.send("analyst", "never mind", delay=60)
            >>> message.recall(), message.recall()
            (True, False)
        """
        if not hasattr(self, "_delivery"):
            raise Misuse(f"{self._copied()}: recall the one that send() returned")
        handle = self._delivery.handle
        race = Race("recall", patience=handle.engine.retry_for)
        while True:
            message, lease, delivery = _entries_of(handle, self.to, self.id, "messages", "leases", "deliveries")
            if message is None or message.revision != self.revision or is_taken(lease):
                return False
            move = recalling(self, delivery)
            try:
                handle.commit(move.operations, move.guards)
            except Conflict as conflict:
                race.lose(conflict)
            else:
                return True

    def _hold(self, so: str = "once is enough") -> Guard:
        if not hasattr(self, "_delivery"):
            raise Misuse(f"{self._copied()}: settle the one that inbox.receive() returned, where it was received")
        if self._delivery.held is None:
            raise Misuse(f"message {self.id!r} was not received: only a message from inbox.receive() can be settled")
        name = f"message {self.id} to {self.to}"
        if self._delivery.settled:
            raise SettledTwice(name, f"{name} was settled before, by this object: {so}")
        if self._delivery.opening is not self._delivery.handle.opening:
            raise ClaimLost(
                name,
                f"{name} was given back when the store was closed, before it was opened anew, so nothing was changed:"
                " receive it again",
            )
        return self._delivery.held

    def _copied(self) -> str:
        return f"this is a copy of message {self.id!r}"

    def _settle(self, move: GuardedCommit) -> None:
        try:
            self._delivery.handle.commit(move.operations, move.guards)
        except Conflict as conflict:
            raise taken_since(self.to, self.id) from conflict
        self._delivery.settled = True
        if self._delivery.lease:
            self._delivery.lease.end()


def _at_least_a_moment(duration: Duration) -> float:
    return seconds(duration, "seconds", least=0.001)


def taken_since(to: str, id: str) -> ClaimLost:
    """Returns the error for a receiver that no longer holds a message."""
    name = f"message {id} to {to}"
    since = "was settled already, or has been delivered to somebody else since; nothing was changed: leave it"
    return ClaimLost(name, f"{name} {since}")


def message_of(
    letter: Letter, handle: Handle, held: Guard | None = None, tries: int = 0, lease: MessageLease | None = None
) -> Message:
    """Returns the message that can be settled with the guard `held`, and delivered `tries` times (0: not again)."""
    known = {each.name: getattr(letter, each.name) for each in fields(Letter)}
    message = Message(**known)
    object.__setattr__(message, "_delivery", Delivery(handle, handle.opening, held, tries, lease))
    return message


def send(handle: Handle, draft: Draft) -> Message:
    """Sends one message, in a commit of its own, unless one of its id was sent before. Returns it."""
    outbox = Outbox(secrets.token_hex(8), handle.engine.max_value_bytes)
    posted = outbox.put(draft)
    while True:
        try:
            applied = handle.commit(posted.operations, posted.guards)
        except Crowded as crowded:
            handle.expect(1)  # messages may have expired while no client was there to sweep them
            raise outbox.refusal(crowded) from None
        except Conflict as conflict:
            if posted.record is None or conflict.path != posted.record:
                raise
            before = _sent_before(handle, draft, posted)
            if before:
                return message_of(before, handle)
        else:
            handle.expect(posted.first_due)
            letter = _letter(draft, posted, handle.agent, from_micros(applied.at), applied.revision)
            return message_of(letter, handle)


def _letter(draft: Draft, posted: Posted, sender: str, sent_at: datetime, revision: int) -> Letter:
    content = decode(posted.value)["content"]
    return Letter(
        posted.id, sender, draft.to, draft.type, content, sent_at, 0, draft.reply_to, revision, draft.priority
    )


def _sent_before(handle: Handle, draft: Draft, posted: Posted) -> Letter | None:
    """Returns the message that was sent under this id: as it is or, if it is there no longer, with the content of the draft.

    None if the id was forgotten meanwhile.
    """
    record, message, delivery = _entries_of(handle, draft.to, posted.id, "sent", "messages", "deliveries")
    if message:
        offer = Offer(inbox_paths(draft.to), posted.id, message, delivery)
        return offer.letter(offer.deliveries)
    if record is None:
        return None
    return _letter(draft, posted, record.agent, record.created_at, record.revision)


def _entries_of(handle: Handle, to: str, id: str, *kinds: str) -> list[Entry | None]:
    """Returns the entries of these kinds that a message has, all read at one moment."""
    paths = [inbox_paths(to).at(kind, id) for kind in kinds]
    found = Entries(handle).snapshot(*map(escape, paths))
    return [found.get(path) for path in paths]
