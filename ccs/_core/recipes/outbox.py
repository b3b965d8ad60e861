"""Messages to send: operations of one commit, with guards that bound the inboxes."""

from __future__ import annotations

from typing import Any, NamedTuple

from ccs._core.codec import encode
from ccs._core.commits.commit import Crowded
from ccs._core.commits.operations import Guard, Operation, fewer_below, set_op
from ccs._core.error_text import shown
from ccs._core.number_checks import integer
from ccs._core.recipes.inbox import InboxPaths, inbox_paths
from ccs._core.times import Duration, millis
from ccs.errors import InboxFull, InvalidValue

__all__ = ["INBOX_LIMIT", "Draft", "Outbox", "Posted"]

INBOX_LIMIT = 10_000
"""How many unacknowledged messages an inbox holds by default."""


class Draft(NamedTuple):
    """A message as its sender gives it. `limit` bounds the inbox of `to`."""

    to: str
    content: Any
    type: str
    reply_to: str | None
    ttl: Duration | None
    limit: int


class Posted(NamedTuple):
    """A message as an operation of a commit, with a guard that bounds its inbox. `ttl` in milliseconds."""

    id: str
    value: bytes
    operation: Operation
    guard: Guard
    ttl: int | None


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
        value = encode(_message(draft), self._most)
        limit = integer("limit", draft.limit, "how many messages the inbox may hold, at least one", 1)
        ttl = None if draft.ttl is None else millis(draft.ttl)
        name = f"{self._token}-{len(self.posted)}"
        operation = set_op(paths.at("messages", name), value, ttl)
        posted = Posted(name, value, operation, self._room(paths, limit), ttl)
        self.posted.append(posted)
        return posted

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


def _message(draft: Draft) -> dict[str, Any]:
    if not isinstance(draft.type, str) or not draft.type:
        raise InvalidValue(f"type is {shown(draft.type)}: give some text that says what kind of message it is")
    if draft.reply_to is not None and not isinstance(draft.reply_to, str):
        raise InvalidValue(f"reply_to is {shown(draft.reply_to)}: give the id of the message that this one answers")
    message = {"type": draft.type, "content": draft.content}
    return message if draft.reply_to is None else {**message, "reply_to": draft.reply_to}
