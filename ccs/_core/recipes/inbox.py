"""Inboxes, decided: the entries of a message, which message a receiver may take, and the commits that move it along.

Below `@inbox/<role>/%-/` (no name can produce that segment) a message has an entry of each kind that applies to it:

    messages     what was sent, never rewritten: its revision decides its order
    deliveries   how often it was delivered; a receiver that knows the revision of this entry may settle the message
    leases       exists while the message is not free, and expires
    dead         what was delivered too often, with all that is known of it
    sent         that a message was sent whose sender gave the id, for a day

All that happens to a message is guarded by the revision of its delivery, and all but an acknowledgement changes that
revision. So a receiver that read a message without a lease, and finds its delivery unchanged, knows that it is still
free: one receiver wins. Once another receiver takes the message, or it moves to the dead letters, a late receiver is
shut out; until then it may still settle what it has done.
"""

from __future__ import annotations

import copy
import heapq
import re
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import unquote

from ccs._core.codec import encode
from ccs._core.commits.entry import RawEntry
from ccs._core.commits.field_layout import COMMIT_LIMIT
from ccs._core.commits.operations import Guard, Operation, delete_op, revision_guard, set_op
from ccs._core.names.pattern import escape
from ccs._core.names.system_paths import as_segment, name_of, system_path
from ccs._core.quoted_values import shown
from ccs._core.recipes.guarded_commit import GuardedCommit
from ccs._core.times import millis
from ccs.errors import InvalidPath
from ccs.types import Entry

__all__ = [
    "REMOVAL_BYTES",
    "Desk",
    "InboxPaths",
    "Letter",
    "Offer",
    "acknowledging",
    "burying",
    "dead_letter",
    "held_by_delivery",
    "in_order",
    "inbox_and_kind",
    "inbox_paths",
    "is_taken",
    "message_id",
    "not_before",
    "path_of",
    "purging",
    "recalling",
    "releasing",
    "taking",
]

_ROOT = "@inbox"
_MARK = "%-"
# An id that the sender gave is a segment with this mark, which no generated id has. It ends like those.
_GIVEN = "%-0"
_GENERATED = re.compile("[0-9a-f]{16}-[0-9]+")
_MAX_ID_BYTES = 200

REMOVAL_BYTES = COMMIT_LIMIT // 4
"""How many bytes of messages one commit removes: their leases and deliveries, which it removes too, are no larger."""


@dataclass(frozen=True, slots=True)
class InboxPaths:
    """The paths of the inbox of a role, by kind and id."""

    role: str
    root: str

    def below(self, kind: str) -> str:
        """Returns the prefix of all entries of a kind."""
        return f"{self.root}/{kind}/"

    def at(self, kind: str, id: str) -> str:
        """Returns the path of a message's entry of a kind. Raises `InvalidPath` for an unusable id."""
        return f"{self.root}/{kind}/{_segment(id)}"

    def patterns(self, *kinds: str) -> tuple[str, ...]:
        """Returns the patterns that match the entries of these kinds."""
        return tuple(f"{escape(self.root)}/{kind}/*" for kind in kinds)


def _segment(id: str) -> str:
    if isinstance(id, str) and _GENERATED.fullmatch(id):
        return id
    segment = as_segment(id)
    if len(segment.encode()) > _MAX_ID_BYTES:
        raise InvalidPath(f"the id {shown(id)} takes more than {_MAX_ID_BYTES} bytes: shorten it")
    return segment + _GIVEN


def message_id(path: str) -> str:
    """Returns the id of the message of an entry of any kind."""
    segment = path.rpartition("/")[2]
    return unquote(segment.removesuffix(_GIVEN)) if segment.endswith(_GIVEN) else segment


def inbox_and_kind(path: str) -> tuple[str, str]:
    """Returns the role of the inbox to which the entry of a message belongs, and its kind."""
    root, _, rest = path.rpartition(f"/{_MARK}/")
    return name_of(_ROOT, root), rest.partition("/")[0]


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
    priority: int = 0
    token: int | None = None


def path_of(letter: Letter, kind: str) -> str:
    """Returns the path of a message, of its deliveries, its lease or its dead letter."""
    return inbox_paths(letter.to).at(kind, letter.id)


def in_order(revision: int, id: str) -> tuple[int, int]:
    """Returns the sort key of messages: the commit that sent them, then, if their ids are generated, their index in it."""
    return revision, _index_in(id)


def _index_in(id: str) -> int:
    return int(id.rpartition("-")[2]) if _GENERATED.fullmatch(id) else 0


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
    def order(self) -> tuple[int, int, int]:
        """The sort key: the priority, the commit that sent it, its index in that."""
        value = self.message.value
        index = value.get("index") or _index_in(self.id)
        return -value.get("priority", 0), self.message.revision, index

    def letter(self, attempts: int, token: int | None = None) -> Letter:
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
            value.get("priority", 0),
            token,
        )


class Desk:
    """The messages of an inbox as the receivers of one store see them, updated entry by entry, the oldest free one at hand.

    Each receiver has a token, which is in the leases that it takes. So it finds a message again that it took without
    learning of it, as the call was cancelled or the reply lost. `tokens` are those of the present receivers.
    """

    def __init__(self, paths: InboxPaths, tokens: Mapping[str, object]) -> None:
        self._paths = paths
        self._tokens = tokens
        self._handed: dict[str, int] = {}
        self.clear()

    def clear(self) -> None:
        """Forgets all messages, to be told of them anew, but not what was handed out."""
        self._entries: dict[str, dict[str, Entry]] = {"messages": {}, "deliveries": {}, "leases": {}}
        self._free: list[tuple[tuple[int, int, int], str]] = []
        self._aside: set[str] = set()
        self._found: dict[str, deque[str]] = {}

    def __len__(self) -> int:
        return len(self._entries["messages"])

    def put(self, path: str, entry: Entry | None) -> str | None:
        """Notes that an entry was written; None: removed. Returns the token of the receiver that may find a message now."""
        kind, segment = path.removeprefix(f"{self._paths.root}/").split("/")
        name = message_id(segment)
        if entry:
            self._entries[kind][name] = entry
        else:
            self._entries[kind].pop(name, None)
        self._aside.discard(name)
        return self._sort(name)

    def _sort(self, id: str) -> str | None:
        if id not in self._entries["messages"]:
            self._handed.pop(id, None)
        elif id not in self._entries["leases"]:
            heapq.heappush(self._free, (self._offer(id).order, id))
        elif token := self._unknown_to(id):
            self._found.setdefault(token, deque()).append(id)
            return token
        return None

    def _unknown_to(self, id: str) -> str | None:
        """Returns the token of a receiver that holds a message and never returned it to its caller, or None."""
        lease = self._entries["leases"].get(id)
        token = lease.value["by"] if lease else None
        if lease is None or token not in self._tokens or id not in self._entries["messages"]:
            return None
        return str(token) if lease.revision > self._handed.get(id, 0) else None

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

    def hand_back(self, id: str) -> None:
        """Notes that a message which was handed out did not reach the caller: its receiver finds it again."""
        self._handed.pop(id, None)
        self._sort(id)

    def put_back(self, id: str) -> None:
        """Notes that a message that was set aside has perhaps not changed, so it is offered again."""
        self._aside.discard(id)
        if self.is_free(id):
            heapq.heappush(self._free, (self._offer(id).order, id))

    def found(self, token: str) -> Offer | None:
        """Returns a message that a receiver holds and never returned to its caller, or None."""
        found = self._found.get(token)
        while found:
            name = found.popleft()
            if self._unknown_to(name) == token:
                self._handed[name] = self._entries["leases"][name].revision
                return self._offer(name)
        self._found.pop(token, None)
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
    return revision_guard(path_of(letter, "deliveries"), revision)


def acknowledging(paths: InboxPaths, id: str, held: Guard) -> GuardedCommit:
    """Returns the commit that removes the message."""
    return GuardedCommit(_removing(paths, id), [held])


def is_taken(lease: Entry | None) -> bool:
    """Returns whether a receiver holds the message with this lease; not if the lease only delays the message."""
    return lease is not None and lease.value["by"] != ""


def not_before(paths: InboxPaths, id: str, delay: int) -> Operation:
    """Returns the operation that keeps a message from all receivers for `delay` milliseconds."""
    return set_op(paths.at("leases", id), encode({"by": ""}), delay)


def recalling(letter: Letter, delivery: Entry | None) -> GuardedCommit:
    """Returns the commit that removes a message that nobody holds, and whose last delivery is this one."""
    paths = inbox_paths(letter.to)
    guards = [
        revision_guard(paths.at("messages", letter.id), letter.revision),
        revision_guard(paths.at("deliveries", letter.id), delivery.revision if delivery else 0),
    ]
    return GuardedCommit(_removing(paths, letter.id), guards)


def releasing(letter: Letter, held: Guard, delay: int) -> GuardedCommit:
    """Returns the commit that makes the message free again, after `delay` milliseconds."""
    delivery = path_of(letter, "deliveries")
    again = not_before(inbox_paths(letter.to), letter.id, delay) if delay else delete_op(path_of(letter, "leases"))
    return GuardedCommit([again, set_op(delivery, encode({"count": letter.attempts}), keep_ttl=True)], [held])


def _removing(paths: InboxPaths, id: str) -> list[Operation]:
    """Returns the operations that remove a message and, last of all, its dead letter."""
    return [delete_op(paths.at(kind, id)) for kind in _KINDS]


def purging(paths: InboxPaths, messages: Mapping[str, RawEntry]) -> GuardedCommit:
    """Returns the commit that removes these messages, by path, if all of them are still there."""
    operations = [each for path in messages for each in _removing(paths, message_id(path))[:-1]]
    return GuardedCommit(operations, [revision_guard(path, raw.revision) for path, raw in messages.items()])


def burying(letter: Letter, held: Guard) -> GuardedCommit:
    """Returns the commit that moves the message to the dead letters."""
    value = encode({name: getattr(letter, name) for name in _KEPT})
    operations = _removing(inbox_paths(letter.to), letter.id)[:-1]
    operations.append(set_op(path_of(letter, "dead"), value))
    return GuardedCommit(operations, [held])


_KEPT = ("sender", "type", "content", "sent_at", "attempts", "reply_to", "revision", "priority")
_KINDS = ("messages", "leases", "deliveries", "dead")


def dead_letter(paths: InboxPaths, entry: Entry) -> Letter:
    """Returns the message in the entry of a dead letter."""
    value: Mapping[str, Any] = entry.value
    kept = {name: value[name] for name in _KEPT if name in value}
    return Letter(id=message_id(entry.path), to=paths.role, **kept)
