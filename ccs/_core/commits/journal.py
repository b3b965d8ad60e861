"""The journal as data: what a record holds, and a page of records.

A record is a line of text, then opaque bytes:

    <previous> <revision> <at µs> <client> <number> <index> <bytes of agent> <deadline ms> <bytes before> <records
    before> <expiry ms> [<kind> <bytes of path> <bytes of entry before> <bytes of entry after>]…\\n<agent>[<path><before><after>]…

An item of the journal holds the records of a batch, under the revision of the last.

`previous` is the revision before it, 0 for the first of a context, so continuity is a comparison. Client, number and
index are the commit's identity. `deadline` is when the context expires if nothing more happens, `expiry` the earliest
deadline that the commit gave to an entry (0: none). In the first record of an item, `bytes before` and `records before`
count all that was ever written before it; the others have `-` there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, NamedTuple

from ccs._core.codec import decode
from ccs._core.commits.field_layout import ENTRY, RECORD
from ccs.types import Operation

__all__ = [
    "EVENT",
    "MALFORMED",
    "OPERATIONS",
    "Cursor",
    "JournalPage",
    "Record",
    "RecordOperation",
    "cursor_of",
    "parse_page",
    "parse_record",
    "raw_record_at",
]

MALFORMED = ValueError, IndexError, TypeError, ArithmeticError
"""The exceptions raised by parsing something that is not a record, an entry or a value."""

EVENT = b"e"
"""The kind of an event among the operations of a record."""

_FINISH = b"f"
_DROP = b"g"
# A time in µs has at most sixteen digits.
_END_OF_TIME = 10**16
_ENTRY = re.compile(ENTRY.pattern().encode() + b" ").match
_OPERATIONS_AT = len(RECORD)
_PREVIOUS, _REVISION, _AT, _CLIENT, _INDEX, _AGENT, _DEADLINE, _EXPIRY = (
    RECORD.index(word) for word in ("previous", "revision", "at", "client", "index", "agent", "deadline", "expiry")
)
OPERATIONS: dict[bytes, Operation] = {b"s": "set", b"d": "delete", b"x": "expire"}
"""The kinds of operations that change an entry, and what they are called."""


class Cursor(NamedTuple):
    """A position in a context's history: a revision and, where it is known, the identity of its commit."""

    revision: int
    identity: bytes = b""


class RecordOperation(NamedTuple):
    """One operation of a record: `s`et, `d`elete, e`x`pire, `f`inish or `g`one, with the raw entries around it.

    For an `e`vent, `path` is the topic, and `after` the data.
    """

    kind: bytes
    path: str
    before: bytes
    after: bytes


@dataclass(frozen=True, slots=True)
class Record:
    """One commit, as it was journaled."""

    previous: int
    revision: int
    at: int
    identity: bytes
    deadline: int
    expiry: int
    agent: str
    operations: tuple[RecordOperation, ...]
    size: int

    @property
    def cursor(self) -> Cursor:
        """The position after this commit."""
        return Cursor(self.revision, self.identity)

    @property
    def finishes(self) -> bool:
        """Whether this commit finished the context."""
        return self.operations[0].kind == _FINISH

    @property
    def drops(self) -> bool:
        """Whether this is the message that the context was dropped."""
        return self.operations[0].kind == _DROP


def parse_record(raw: bytes) -> Record:
    """Parses a journal record or a published message. Values stay encoded. Raises `MALFORMED` if it is neither."""
    head, _, body = raw.partition(b"\n")
    words = head.split(b" ")
    agent_end = int(words[_AGENT])
    record = Record(
        int(words[_PREVIOUS]),
        int(words[_REVISION]),
        int(words[_AT]),
        _identity(words),
        int(words[_DEADLINE]),
        int(words[_EXPIRY]),
        body[:agent_end].decode(),
        _operations(words, body, agent_end),
        len(raw),
    )
    _check_numbers(record)
    return record


def _operations(words: list[bytes], body: bytes, start: int) -> tuple[RecordOperation, ...]:
    """Parses the operations, whose bytes follow each other in the body from `start` to its end."""
    operations = []
    for i in range(_OPERATIONS_AT, len(words), 4):
        path_end = start + int(words[i + 1])
        before_end = path_end + int(words[i + 2])
        after_end = before_end + int(words[i + 3])
        path = body[start:path_end].decode()
        operation = RecordOperation(words[i], path, body[path_end:before_end], body[before_end:after_end])
        _check_operation(operation)
        operations.append(operation)
        start = after_end
    if not operations or start != len(body):
        raise ValueError("a record whose operations are not all there")
    return tuple(operations)


def _check_numbers(record: Record) -> None:
    if not 0 <= record.previous < record.revision < _END_OF_TIME:
        raise ValueError("a record that does not come after its predecessor")
    if not (
        0 <= record.at < _END_OF_TIME and 0 <= record.deadline < _END_OF_TIME and 0 <= record.expiry < _END_OF_TIME
    ):
        raise ValueError("a record with a time that is none")


def _check_operation(operation: RecordOperation) -> None:
    """Raises `MALFORMED` for an operation that no commit makes. Values are not decoded here."""
    kind, _, before, after = operation
    if kind in OPERATIONS:
        if (before and not _ENTRY(before)) or (after and not _ENTRY(after)):
            raise ValueError("a record with an entry that is none")
    elif kind == _FINISH and after:
        decode(after)


def cursor_of(raw: bytes) -> Cursor:
    """Returns the position after a record, without parsing all of it."""
    words = raw.split(b" ", _INDEX + 1)
    return Cursor(int(words[_REVISION]), _identity(words))


def raw_record_at(items: Sequence[Any], revision: int) -> bytes | None:
    """Returns the record of a revision if the first of some journal items holds it, else None."""
    held = items[0][1][1::2] if items else ()
    return next((raw for raw in held if _is_at(raw, revision)), None)


def _is_at(raw: bytes, revision: int) -> bool:
    try:
        return cursor_of(raw).revision == revision
    except MALFORMED:
        return False


def _identity(words: Sequence[bytes]) -> bytes:
    return b" ".join(words[_CLIENT : _INDEX + 1])


@dataclass(frozen=True, slots=True)
class JournalPage:
    """Part of a context's journal after a cursor, and what is needed to judge that cursor. Times in server milliseconds.

    It is `damaged` if its `records` are followed by something that is not a record. `ended` is the last revision of a
    context that no longer exists, 0 if unknown (after ten minutes); for one that exists, that of its predecessor. `before_end`
    is the one before it, or the same if the context has expired; 0 if unknown.
    """

    now: int
    first: int
    last: int
    deadline: int
    finished: int
    next_expiry: int
    oldest: int
    identity: bytes
    records: tuple[Record, ...]
    outcome: bytes
    damaged: bool
    ended: int
    before_end: int

    @property
    def exists(self) -> bool:
        """Whether the context exists."""
        return self.last > 0


def parse_page(reply: Sequence[Any]) -> JournalPage:
    """Parses a reply of `journal.lua`."""
    now, first, last, deadline, finished, next_expiry, oldest = map(int, reply[:7])
    records = _readable(reply[8])
    return JournalPage(
        now=now,
        first=first,
        last=last,
        deadline=deadline,
        finished=finished,
        next_expiry=next_expiry,
        oldest=oldest,
        identity=_identity(reply[7].split(b" ")) if reply[7] else b"",
        records=records,
        outcome=reply[9],
        damaged=len(records) < len(reply[8]),
        ended=int(reply[10]),
        before_end=int(reply[11]),
    )


def _readable(raws: Sequence[bytes]) -> tuple[Record, ...]:
    """Returns the records before the first that is malformed."""
    records: list[Record] = []
    with suppress(*MALFORMED):
        records.extend(map(parse_record, raws))
    return tuple(records)
