"""The journal: what a record holds, which changes it makes for a pattern, and whether a cursor still stands in it.

A record is one line of text and then opaque bytes:

    <previous> <revision> <at µs> <client> <number> <index> <bytes of agent> <deadline ms> <bytes before> <records
    before> <expiry ms> [<kind> <bytes of path> <bytes of entry before> <bytes of entry after>]…\\n<agent>[<path><before><after>]…

An item of the journal holds the records of a batch, under the revision of the last.

`previous` is the revision before it, 0 for the first of a context, so continuity is a comparison. Client, number and
index are the commit's identity. `deadline` is when the context expires if nothing more happens, `expiry` the
earliest deadline that the commit gave to an entry (0: none). The first record of an item names what was ever
written before it, the others have `-` there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from ccs._core.codec import decode
from ccs._core.commits.entry import parse_entry, to_entry
from ccs._core.names.pattern import Matcher
from ccs._core.times import from_micros
from ccs.errors import ContextGone, HistoryCompacted, HistoryDamaged, HistoryForked, InvalidValue
from ccs.types import Change, Entry, Event, Operation

__all__ = [
    "MALFORMED",
    "Cursor",
    "JournalPage",
    "Record",
    "RecordOperation",
    "changes_and_events_of",
    "changes_of",
    "check_resume",
    "check_since",
    "cursor_of",
    "events_of",
    "follow",
    "initial_change",
    "parse_page",
    "parse_record",
    "raw_record_at",
    "written_by",
]

MALFORMED = ValueError, IndexError, TypeError, ArithmeticError
"""What is raised where something that is no record, entry or value is taken for one."""

_EVENT, _FINISH = b"e", b"f"
# Times in µs have at most sixteen digits.
_END_OF_TIME = 10**16
_ENTRY = re.compile(rb"\d{16} \d{10} \d{16} \d{16} \d{13} \d+ ").match
_OPERATIONS: dict[bytes, Operation] = {b"s": "set", b"d": "delete", b"x": "expire"}


class Cursor(NamedTuple):
    """A place in a context's history: a revision and, where it is known, the identity of the commit there."""

    revision: int
    identity: bytes = b""


class RecordOperation(NamedTuple):
    """One operation of a record: `s`et, `d`elete, e`x`pire, `f`inish or `g`one, with the raw entries around it.

    Of an `e`vent, `path` is the topic, and `after` the data alone.
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
        """The place after this commit."""
        return Cursor(self.revision, self.identity)

    @property
    def finishes(self) -> bool:
        """Whether this commit finished its context."""
        return self.operations[0].kind == _FINISH

    @property
    def drops(self) -> bool:
        """Whether this says that the context was dropped."""
        return self.operations[0].kind == b"g"


def parse_record(raw: bytes) -> Record:
    """Takes a journal record or a published message apart; values stay opaque. Raises `MALFORMED` if it is none."""
    head, _, body = raw.partition(b"\n")
    words = head.split(b" ")
    agent_end = int(words[6])
    steps, start = [], agent_end
    for i in range(11, len(words), 4):
        path_end = start + int(words[i + 1])
        before_end = path_end + int(words[i + 2])
        after_end = before_end + int(words[i + 3])
        steps.append(
            RecordOperation(
                words[i], body[start:path_end].decode(), body[path_end:before_end], body[before_end:after_end]
            )
        )
        start = after_end
    if not steps or start != len(body):
        raise ValueError("a record whose operations are not all there")
    for kind, _, before, after in steps:
        _check_step(kind, before, after)
    record = Record(
        int(words[0]),
        int(words[1]),
        int(words[2]),
        _identity(words),
        int(words[7]),
        int(words[10]),
        body[:agent_end].decode(),
        tuple(steps),
        len(raw),
    )
    if not 0 <= record.previous < record.revision < _END_OF_TIME:
        raise ValueError("a record that does not come after the one it names")
    if not (
        0 <= record.at < _END_OF_TIME and 0 <= record.deadline < _END_OF_TIME and 0 <= record.expiry < _END_OF_TIME
    ):
        raise ValueError("a record of no moment")
    return record


def _check_step(kind: bytes, before: bytes, after: bytes) -> None:
    """Raises `MALFORMED` for what no commit does. Values are not decoded: whoever wants them does that."""
    if kind in _OPERATIONS:
        if (before and not _ENTRY(before)) or (after and not _ENTRY(after)):
            raise ValueError("a record with something that is no entry")
    elif kind == _FINISH and after:
        decode(after)


def cursor_of(raw: bytes) -> Cursor:
    """The place after a record, found without taking it apart."""
    words = raw.split(b" ", 6)
    return Cursor(int(words[1]), _identity(words))


def raw_record_at(items: Sequence[Any], revision: int) -> bytes | None:
    """The record of a revision, where it is in the first of some items of the journal."""
    held = items[0][1][1::2] if items else ()
    return next((raw for raw in held if _is_at(raw, revision)), None)


def _is_at(raw: bytes, revision: int) -> bool:
    try:
        return cursor_of(raw).revision == revision
    except MALFORMED:
        return False


def _identity(words: Sequence[bytes]) -> bytes:
    return b" ".join(words[3:6])


def changes_of(record: Record, address: str, matcher: Matcher) -> list[Change]:
    """The changes of a commit that match, in the order of its operations; their values are decoded anew."""
    return [
        _change(record, step, address)
        for step in record.operations
        if step.kind in _OPERATIONS and matcher.matches(step.path)
    ]


def events_of(record: Record, address: str, matcher: Matcher) -> list[Event]:
    """The events of a commit whose topics match, in order; their data is decoded anew."""
    return [
        Event(step.path, decode(step.after), record.agent, from_micros(record.at), record.revision, address)
        for step in record.operations
        if step.kind == _EVENT and matcher.matches(step.path)
    ]


def changes_and_events_of(record: Record, address: str, matcher: Matcher) -> list[Change | Event]:
    """The changes and the events of a commit that match, in the order of its operations."""
    events, changes = iter(events_of(record, address, matcher)), iter(changes_of(record, address, matcher))
    kinds = [step.kind for step in record.operations if matcher.matches(step.path)]
    return [
        next(events) if kind == _EVENT else next(changes) for kind in kinds if kind == _EVENT or kind in _OPERATIONS
    ]


def written_by(record: Record, matcher: Matcher) -> list[tuple[str, Entry | None]]:
    """The paths that match and that a commit wrote, each with the entry there after it, None where it was removed."""
    return [
        (step.path, to_entry(step.path, parse_entry(step.after)) if step.after else None)
        for step in record.operations
        if step.kind in _OPERATIONS and matcher.matches(step.path)
    ]


def _change(record: Record, step: RecordOperation, address: str) -> Change:
    before = parse_entry(step.before) if step.before else None
    after = parse_entry(step.after) if step.after else None
    shown = after or before
    return Change(
        context=address,
        path=step.path,
        op=_OPERATIONS[step.kind],
        value=decode(after.value) if after else None,
        previous=decode(before.value) if before else None,
        created=after is not None and before is None,
        version=shown.version if shown else 0,
        revision=record.revision,
        agent=record.agent,
        at=from_micros(record.at),
    )


def initial_change(entry: Entry, address: str) -> Change:
    """An entry that was there before the watch, told as the change that wrote it."""
    return Change(
        context=address,
        path=entry.path,
        op="set",
        value=entry.value,
        previous=None,
        created=entry.version == 1,
        version=entry.version,
        revision=entry.revision,
        agent=entry.agent,
        at=entry.updated_at,
    )


@dataclass(frozen=True, slots=True)
class JournalPage:
    """A stretch of a context's journal after a cursor, and what is needed to judge that cursor. Times in server ms.

    It is `damaged` if something comes after its `records` that is no record. `ended` is the last revision of a context
    that is not there any more, 0 where nothing is known of it (after ten minutes); of one that is there, that of its
    predecessor, if that was dropped.
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

    @property
    def exists(self) -> bool:
        """Whether the context is there at all."""
        return self.last > 0


def parse_page(reply: Sequence[Any]) -> JournalPage:
    """What `journal.lua` answered."""
    now, first, last, deadline, finished, next_expiry, oldest = map(int, reply[:7])
    identity = _identity(reply[7].split(b" ")) if reply[7] else b""
    records: list[Record] = []
    damaged = False
    try:
        records.extend(map(parse_record, reply[8]))
    except MALFORMED:
        damaged = True
    return JournalPage(
        now=now,
        first=first,
        last=last,
        deadline=deadline,
        finished=finished,
        next_expiry=next_expiry,
        oldest=oldest,
        identity=identity,
        records=tuple(records),
        outcome=reply[9],
        damaged=damaged,
        ended=int(reply[10]),
    )


def follow(cursor: Cursor, page: JournalPage, address: str) -> Iterator[Record]:
    """The records of a page that was read from a cursor, each right behind the one before.

    Raises `ContextGone`, `HistoryCompacted` or `HistoryForked` where history does not go on from the cursor, and
    `HistoryDamaged` behind the last record that can be read, if there is more.
    """
    check_resume(cursor, page, address)
    at = cursor.revision
    for record in page.records:
        if record.previous != at:
            raise HistoryDamaged(address, at)
        yield record
        at = record.revision
    if page.damaged:
        raise HistoryDamaged(address, at)


def check_since(since: int, page: JournalPage, address: str) -> None:
    """Raises `InvalidValue` where a caller gives a revision that lies ahead: no commit of the context can have had it."""
    if since >= (page.now + 1) * 1000:
        raise InvalidValue(
            f"since is {since}, which lies ahead of the server's clock, so it is no revision that {address} has had: give"
            " one that a change, an entry or a watch has told, or 0"
        )


def check_resume(cursor: Cursor, page: JournalPage, address: str) -> None:
    """Raises unless history goes on from the cursor: `ContextGone`, `HistoryCompacted` or `HistoryForked`."""
    if not page.exists:
        if cursor.revision:
            raise ContextGone(address)
    elif cursor.revision == 0 or cursor.revision == page.oldest:
        if cursor.revision < page.oldest:
            raise HistoryCompacted(cursor.revision, page.oldest, address)
    elif cursor.revision < page.first:
        raise ContextGone(address)
    elif cursor.revision < page.oldest:
        raise HistoryCompacted(cursor.revision, page.oldest, address)
    elif not page.identity or cursor.identity not in (b"", page.identity):
        raise HistoryForked(cursor.revision, page.last, address)
