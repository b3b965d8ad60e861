"""Inboxes, decided: the entries of a message, which message a receiver may take, and the commits that move it along.

Below `@inbox/<role>/%-/` (no name can produce that segment) a message has an entry of each kind that applies to it:

    messages     what was sent, never rewritten: its revision decides its order
    deliveries   how often it was delivered; a receiver that knows the revision of this entry may settle the message
    leases       exists while the message is not free, and expires
    dead         what was delivered too often, with all that is known of it

All that happens to a message is guarded by the revision of its delivery, and all but an acknowledgement changes that
revision. So a receiver that read a message without a lease, and finds its delivery unchanged, knows that it is still
free: one receiver wins. Once another receiver takes the message, or it moves to the dead letters, a late receiver is
shut out; until then it may still settle what it has done.
"""

from __future__ import annotations

import copy
import heapq
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from ccs._core.codec import encode
from ccs._core.commits.operations import Guard, delete_op, revision_guard, set_op
from ccs._core.names.pattern import escape
from ccs._core.names.system_paths import system_path
from ccs._core.recipes.guarded_commit import GuardedCommit
from ccs._core.times import millis
from ccs.types import Entry

__all__ = [
    "Desk",
    "InboxPaths",
    "Letter",
    "Offer",
    "acknowledging",
    "burying",
    "dead_letter",
    "held_by_delivery",
    "in_order",
    "inbox_paths",
    "releasing",
    "taking",
]

_ROOT = "@inbox"
_MARK = "%-"


@dataclass(frozen=True, slots=True)
class InboxPaths:
    """The paths of the inbox of a role, by kind and id."""

    role: str
    root: str

    def below(self, kind: str) -> str:
        """Returns the prefix of all entries of a kind."""
        return f"{self.root}/{kind}/"

    def at(self, kind: str, id: str) -> str:
        """Returns the path of a message's entry of a kind."""
        return f"{self.root}/{kind}/{id}"

    def patterns(self, *kinds: str) -> tuple[str, ...]:
        """Returns the patterns that match the entries of these kinds."""
        return tuple(f"{escape(self.root)}/{kind}/*" for kind in kinds)


def inbox_paths(role: str) -> InboxPaths:
    """Returns the paths of a role's inbox. Raises `InvalidPath` if the role is not text, empty, or too long."""
    return InboxPaths(role, system_path(_ROOT, role, _MARK))


@dataclass(frozen=True, slots=True)
class Letter:
    """What is known of a message, the same for every reader."""

    id: str
    sender: str
    to: str
    type: str
    content: Any
    sent_at: datetime
    attempts: int
    reply_to: str | None
    revision: int

    @property
    def paths(self) -> InboxPaths:
        """The paths of its inbox."""
        return inbox_paths(self.to)


def in_order(revision: int, id: str) -> tuple[int, int]:
    """Returns the sort key of messages: the commit that sent them, then their index in it."""
    return revision, int(id.rpartition("-")[2])


class Offer(NamedTuple):
    """A message that may be taken: its entry, and that of its deliveries."""

    paths: InboxPaths
    id: str
    message: Entry
    delivery: Entry | None

    @property
    def deliveries(self) -> int:
        """How often it was delivered so far."""
        return int(self.delivery.value["count"]) if self.delivery else 0

    @property
    def seen(self) -> int:
        """The revision of its deliveries, 0 if there were none."""
        return self.delivery.revision if self.delivery else 0

    @property
    def order(self) -> tuple[int, int]:
        """The sort key."""
        return in_order(self.message.revision, self.id)

    def letter(self, attempts: int) -> Letter:
        """Returns the message with so many deliveries. Its content is a copy, so that no two callers share it."""
        entry = self.message
        value = copy.deepcopy(entry.value)
        return Letter(
            self.id,
            entry.agent,
            self.paths.role,
            value["type"],
            value["content"],
            entry.created_at,
            attempts,
            value.get("reply_to"),
            entry.revision,
        )


class Desk:
    """The messages of an inbox as one receiver sees them, updated entry by entry, with the oldest free one at hand.

    `token` is in the leases that this receiver takes. So it finds a message again that it took without learning of it, as
    the call was cancelled or the reply lost.
    """

    def __init__(self, paths: InboxPaths, token: str = "") -> None:
        self._paths = paths
        self.token = token
        self._entries: dict[str, dict[str, Entry]] = {"messages": {}, "deliveries": {}, "leases": {}}
        self._free: list[tuple[tuple[int, int], str]] = []
        self._aside: set[str] = set()
        self._handed: dict[str, int] = {}
        self._found: deque[str] = deque()

    def __len__(self) -> int:
        return len(self._entries["messages"])

    def put(self, path: str, entry: Entry | None) -> None:
        """Notes that an entry was written; None: removed."""
        kind, name = path.removeprefix(f"{self._paths.root}/").split("/")
        if entry:
            self._entries[kind][name] = entry
        else:
            self._entries[kind].pop(name, None)
        self._aside.discard(name)
        self._sort(name)

    def _sort(self, id: str) -> None:
        if id not in self._entries["messages"]:
            self._handed.pop(id, None)
        elif id not in self._entries["leases"]:
            heapq.heappush(self._free, (self._offer(id).order, id))
        elif self._is_unknown(id):
            self._found.append(id)

    def _is_unknown(self, id: str) -> bool:
        """Returns whether this receiver holds a message that it never returned to its caller."""
        lease = self._entries["leases"].get(id)
        if lease is None or lease.value["by"] != self.token:
            return False
        return lease.revision > self._handed.get(id, 0) and id in self._entries["messages"]

    def _offer(self, id: str) -> Offer:
        return Offer(self._paths, id, self._entries["messages"][id], self._entries["deliveries"].get(id))

    def is_free(self, id: str) -> bool:
        """Returns whether a message may be taken, as far as is known here."""
        return id in self._entries["messages"] and id not in self._entries["leases"] and id not in self._aside

    def oldest(self) -> Offer | None:
        """Returns the message to deliver next, or None."""
        # One that is no longer free is dropped here; it is pushed again when it becomes free.
        while self._free and not self.is_free(self._free[0][1]):
            heapq.heappop(self._free)
        return self._offer(self._free[0][1]) if self._free else None

    def set_aside(self, id: str) -> None:
        """Notes that a message has changed. It is not offered until that change is received."""
        self._aside.add(id)

    def handed_out(self, id: str, revision: int) -> None:
        """Notes that a message was taken in the commit of `revision`, and returned to the caller."""
        self._handed[id] = revision
        self._aside.add(id)

    def found(self) -> Offer | None:
        """Returns a message that this receiver holds and never returned to its caller, or None."""
        while self._found:
            name = self._found.popleft()
            if self._is_unknown(name):
                self._handed[name] = self._entries["leases"][name].revision
                return self._offer(name)
        return None

    def all(self) -> list[Offer]:
        """Returns all messages, in order."""
        return sorted(map(self._offer, self._entries["messages"]), key=lambda offer: offer.order)


def taking(offer: Offer, by: str, lease: int) -> GuardedCommit:
    """Returns the commit that delivers a message to the receiver with the token `by`, for `lease` milliseconds."""
    at = offer.paths.at
    guards = [
        revision_guard(at("messages", offer.id), offer.message.revision),
        revision_guard(at("deliveries", offer.id), offer.seen),
    ]
    delivery = {"count": offer.deliveries + 1}
    operations = [
        set_op(at("leases", offer.id), encode({"by": by}), lease),
        set_op(at("deliveries", offer.id), encode(delivery), _lifetime(offer.message)),
    ]
    return GuardedCommit(operations, guards)


def _lifetime(message: Entry) -> int | None:
    """Returns the ttl of the message in all, in milliseconds. Only the server knows what is left of it."""
    if message.expires_at is None:
        return None
    return millis(message.expires_at - message.created_at + timedelta(seconds=1))


def held_by_delivery(letter: Letter, revision: int) -> Guard:
    """Returns the guard with which the receiver of a delivery settles the message."""
    return revision_guard(letter.paths.at("deliveries", letter.id), revision)


def acknowledging(letter: Letter, held: Guard) -> GuardedCommit:
    """Returns the commit that removes the message."""
    return GuardedCommit([delete_op(path) for path in _everything(letter)], [held])


def releasing(letter: Letter, held: Guard, delay: int) -> GuardedCommit:
    """Returns the commit that makes the message free again, after `delay` milliseconds."""
    lease = letter.paths.at("leases", letter.id)
    delivery = letter.paths.at("deliveries", letter.id)
    again = set_op(lease, encode({"by": ""}), delay) if delay else delete_op(lease)
    return GuardedCommit([again, set_op(delivery, encode({"count": letter.attempts}), keep_ttl=True)], [held])


def burying(letter: Letter, held: Guard) -> GuardedCommit:
    """Returns the commit that moves the message to the dead letters."""
    value = encode({name: getattr(letter, name) for name in _KEPT})
    operations = [delete_op(path) for path in _everything(letter)[:-1]]
    operations.append(set_op(letter.paths.at("dead", letter.id), value))
    return GuardedCommit(operations, [held])


_KEPT = ("sender", "type", "content", "sent_at", "attempts", "reply_to", "revision")


def dead_letter(paths: InboxPaths, entry: Entry) -> Letter:
    """Returns the message in the entry of a dead letter."""
    value: Mapping[str, Any] = entry.value
    return Letter(id=entry.path.rpartition("/")[2], to=paths.role, **{name: value[name] for name in _KEPT})


def _everything(letter: Letter) -> list[str]:
    return [letter.paths.at(kind, letter.id) for kind in ("messages", "leases", "deliveries", "dead")]
