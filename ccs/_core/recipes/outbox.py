"""Messages to send: operations of one commit, with guards that bound the inboxes."""

from __future__ import annotations

from datetime import datetime
from typing import Any, NamedTuple

from ccs._core.codec import encode
from ccs._core.commits.commit import Crowded
from ccs._core.commits.operations import Guard, Operation, fewer_below, set_op, version_guard
from ccs._core.number_checks import integer
from ccs._core.quoted_values import shown
from ccs._core.recipes.inbox import InboxPaths, inbox_paths, not_before
from ccs._core.times import Duration, millis, seconds, to_micros
from ccs.errors import InboxFull, InvalidValue

__all__ = ["INBOX_LIMIT", "Draft", "Outbox", "Posted", "waiting"]

INBOX_LIMIT = 10_000
"""How many unacknowledged messages an inbox holds by default."""

# Milliseconds for which an id that a sender gave is remembered.
_REMEMBERED = 86_400_000
_MOST_PRIORITY = 2**31 - 1


class Draft(NamedTuple):
    """A message as its sender gives it, to be received after `wait` milliseconds. `limit` bounds the inbox of `to`."""

    to: str
    content: Any
    type: str
    reply_to: str | None
    ttl: Duration | None
    limit: int
    id: str | None = None
    wait: int = 0
    priority: int = 0


class Posted(NamedTuple):
    """A message as operations of a commit, with guards: its inbox is not full, its id is new.

    `first_due` says after how many milliseconds the first of its entries expires, `record` where a given id is noted.
    """

    id: str
    value: bytes
    operations: list[Operation]
    guards: list[Guard]
    first_due: int | None
    record: str | None


def waiting(delay: Duration | None, at: datetime | None, now: datetime) -> int:
    """Returns for how many milliseconds a message is kept back. Raises `InvalidValue` unless at most one is given."""
    if delay is not None and at is not None:
        raise InvalidValue("a message has a delay, or a time at which it can be received, not both: leave one out")
    if at is not None:
        return max(0, (to_micros(at) - to_micros(now)) // 1000)
    return millis(delay, "delay") if delay is not None and seconds(delay, "delay") else 0


class Outbox:
    """The messages of one commit, in order, each counted against the bound of its inbox.

    `token` makes their ids unique. Each may take `most` bytes.
    """

    def __init__(self, token: str, most: int) -> None:
        self._token = token
        self._most = most
        self._limits: dict[str, InboxFull] = {}
        self._counts: dict[str, int] = {}
        self.posted: list[Posted] = []

    def put(self, draft: Draft) -> Posted:
        """Adds a message. Raises `InvalidPath`, `InvalidValue`, `EncodingError` or `ValueTooLarge` for a bad draft."""
        paths = inbox_paths(draft.to)
        index = len(self.posted)
        value = encode(_message(draft, index), self._most)
        limit = integer("limit", draft.limit, "how many messages the inbox may hold, at least one", 1)
        ttl = None if draft.ttl is None else millis(draft.ttl)
        if ttl is not None and draft.wait >= ttl:
            raise InvalidValue("the message would expire before anybody can receive it: give a longer ttl")
        name = f"{self._token}-{index}" if draft.id is None else draft.id
        record = None if draft.id is None else self._record(paths, name)
        operations = [set_op(paths.at("messages", name), value, ttl)]
        if draft.wait:
            operations.append(not_before(paths, name, draft.wait))
        # The record is checked first: a message that was sent before needs no room.
        guards = [] if record is None else [version_guard(record, 0)]
        guards.append(self._room(paths, limit))
        if record is not None:
            operations.append(set_op(record, encode({}), _REMEMBERED))
        due = [each for each in (ttl, draft.wait or None, record and _REMEMBERED) if each]
        posted = Posted(name, value, operations, guards, min(due, default=None), record)
        self.posted.append(posted)
        return posted

    def _record(self, paths: InboxPaths, id: str) -> str:
        record = paths.at("sent", id)
        if any(each.record == record for each in self.posted):
            raise InvalidValue(f"the id {shown(id)} is that of another message in this commit: give each its own")
        return record

    def _room(self, paths: InboxPaths, limit: int) -> Guard:
        # Guards are checked before the first write, so the earlier messages of this commit are subtracted here.
        prefix = paths.below("messages")
        before = self._counts.get(prefix, 0)
        self._counts[prefix] = before + 1
        self._limits[prefix] = InboxFull(paths.role, limit)
        return fewer_below(prefix, max(0, limit - before))

    def refusal(self, crowded: Crowded) -> InboxFull | Crowded:
        """Returns the sender's error for a commit that was refused as an inbox is full."""
        return self._limits.get(crowded.prefix, crowded)


def _message(draft: Draft, index: int) -> dict[str, Any]:
    if not isinstance(draft.type, str) or not draft.type:
        raise InvalidValue(f"type is {shown(draft.type)}: give some text that says what kind of message it is")
    if draft.reply_to is not None and not isinstance(draft.reply_to, str):
        raise InvalidValue(f"reply_to is {shown(draft.reply_to)}: give the id of the message that this one answers")
    message: dict[str, Any] = {"type": draft.type, "content": draft.content}
    if draft.reply_to is not None:
        message["reply_to"] = draft.reply_to
    if _priority(draft):
        message["priority"] = draft.priority
    if draft.id is not None and index:
        message["index"] = index
    return message


def _priority(draft: Draft) -> int:
    wanted = (
        f"an integer from -{_MOST_PRIORITY} to {_MOST_PRIORITY}; the message with the largest one is received first"
    )
    return integer("priority", draft.priority, wanted, -_MOST_PRIORITY, _MOST_PRIORITY)
