"""Forks, decided: what a fork notes of its origin, what it has found since, and the commit that adopts it.

`@fork/base` in a fork notes where it comes from, and of each entry that was copied a digest of its value: the base. When
the fork is adopted, the same commit writes `@forks/<address of the fork>` in the origin: the digests of what was compared
then. They take the place of the base, so that only what is new is adopted next, whoever dies in between. An adoption also
removes records of forks that are gone.

Values are compared, as their bytes, not revisions: what was written and is as it was has not changed.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NamedTuple

from ccs._core.codec import decode, encode
from ccs._core.commits.entry import RawEntry
from ccs._core.commits.operations import Guard, Operation, delete_op, revision_guard, set_op
from ccs._core.names.system_paths import name_of, system_path

__all__ = [
    "BASE",
    "RECORDS",
    "Base",
    "Copies",
    "Difference",
    "Plan",
    "Side",
    "base_in",
    "copies_of",
    "differences",
    "forgetting",
    "fork_of",
    "plan",
    "record_of",
    "some_of",
]

BASE = "@fork/base"
RECORDS = "@forks"
_LOOKED_AT = 8

Side = RawEntry | None
"""The entry of one side at a path; None: there is none."""


def record_of(fork: str) -> str:
    """Returns the path in the origin at which it is noted what was adopted from the fork at this address."""
    return system_path(RECORDS, fork.removeprefix("/"))


def fork_of(record: str) -> str:
    """Returns the address of the fork of which this path holds the record."""
    return f"/{name_of(RECORDS, record)}"


class Mark(NamedTuple):
    """What is known of the base at a path: a digest of the value (empty: no entry), its deadline, and the fork's revision."""

    digest: bytes
    expiry: int
    revision: int


_NOTHING = Mark(b"", 0, 0)


class Copies(NamedTuple):
    """The operations that write a fork, and the longest ttl among them in milliseconds; None: none has one."""

    operations: list[Operation]
    ttl: int | None


def copies_of(address: str, revision: int, entries: Mapping[str, RawEntry], now: int) -> Copies:
    """Returns the commit that makes a fork of these entries, which were alive at `revision`, at the server time `now` (ms)."""
    digests = {path: _digest(raw) for path, raw in entries.items()}
    expiries = {path: raw.expiry for path, raw in entries.items() if raw.expiry}
    note = {"from": address, "revision": revision, "digests": digests, "expiries": expiries}
    operations = [set_op(BASE, encode(note))]
    operations += [set_op(path, raw.value, _ttl(raw, now), lasting=True) for path, raw in entries.items()]
    ttls = [expiry - now for expiry in expiries.values()]
    return Copies(operations, max(1, min(ttls)) if ttls else None)


@dataclass(frozen=True, slots=True)
class Base:
    """With what each path of a fork is compared. `born` tells this fork from others that had its address."""

    address: str
    born: int
    made: int
    marks: Mapping[str, Mark]

    def mark(self, path: str) -> Mark:
        """Returns what is known of the base at a path."""
        return self.marks.get(path, _NOTHING)

    def revision(self, path: str) -> int:
        """Returns the revision of the fork at which it had the base at this path."""
        return self.mark(path).revision or self.made


def base_in(note: RawEntry, record: RawEntry | None) -> Base:
    """Returns the base, from the note in the fork and the record in its origin, which counts if it is of this fork."""
    value = decode(note.value)
    expiries = value["expiries"]
    marks = {path: Mark(digest, expiries.get(path, 0), note.revision) for path, digest in value["digests"].items()}
    marks |= {path: Mark(*mark) for path, mark in _adopted(record, note.revision).items()}
    return Base(value["from"], note.revision, note.revision, marks)


@dataclass(slots=True)
class Difference:
    """A path that the fork has changed since its base."""

    path: str
    theirs: Side
    ours: Side = None

    @property
    def is_new(self) -> bool:
        """Whether the two sides differ."""
        return _digest(self.ours) != _digest(self.theirs)

    def collides(self, base: Base) -> bool:
        """Returns whether our side has changed too, to something else."""
        return self.is_new and _digest(self.ours) != base.mark(self.path).digest


def differences(base: Base, theirs: Mapping[str, RawEntry], paths: Iterable[str], now: int) -> list[Difference]:
    """Returns what the fork has changed among these paths and its own entries, at the server time `now` in milliseconds.

    A copied entry whose deadline has passed was not removed by anybody: that is no change.
    """
    found = []
    for path in sorted({*theirs, *paths}):
        mark = base.mark(path)
        raw = theirs.get(path)
        expired = raw is None and 0 < mark.expiry <= now
        if _digest(raw) != mark.digest and not expired:
            found.append(Difference(path, raw))
    return found


@dataclass(slots=True)
class Plan:
    """What to write in the origin, and what must not have changed there meanwhile."""

    operations: list[Operation]
    guards: list[Guard]
    applied: tuple[str, ...]
    ttl: int | None


def plan(
    base: Base,
    found: Iterable[Difference],
    resolved: Mapping[str, bytes | None],
    record: RawEntry | None,
    fork: tuple[str, int, int],
) -> Plan:
    """Returns the commit that adopts the differences.

    `resolved` has the value, or None for no entry, of paths that changed on both sides. `fork` is the address of the fork,
    and its revision and the server time in milliseconds at which it was read.
    """
    address, revision, now = fork
    made = Plan([], [], (), None)
    applied = []
    marks = _adopted(record, base.born)
    for each in found:
        marks[each.path] = list(Mark(_digest(each.theirs), each.theirs.expiry if each.theirs else 0, revision))
        if not each.is_new:
            continue
        made.guards.append(revision_guard(each.path, each.ours.revision if each.ours else 0))
        value = resolved[each.path] if each.path in resolved else _value(each.theirs)
        if value == _value(each.ours):
            continue
        applied.append(each.path)
        _write(made, each, value, now)
    if marks != _adopted(record, base.born):
        path = record_of(address)
        made.operations.append(set_op(path, encode({"born": base.born, "marks": marks})))
        made.guards.append(revision_guard(path, record.revision if record else 0))
    made.applied = tuple(applied)
    return made


def some_of(records: Collection[str], seed: int) -> list[str]:
    """Returns a few of the records, from one on that the seed decides, so that each has its turn."""
    paths = sorted(records)
    start = seed % max(1, len(paths))
    return [*paths[start:], *paths[:start]][:_LOOKED_AT]


def forgetting(records: Mapping[str, RawEntry]) -> tuple[list[Operation], list[Guard]]:
    """Returns what removes these records, unless one is written meanwhile."""
    operations = [delete_op(path) for path in records]
    return operations, [revision_guard(path, raw.revision) for path, raw in records.items()]


def _adopted(record: RawEntry | None, born: int) -> dict[str, list[Any]]:
    """Returns the marks in a record; none, if it is of an earlier fork with the same address."""
    value: Any = decode(record.value) if record else None
    return dict(value["marks"]) if value and value["born"] == born else {}


def _write(made: Plan, each: Difference, value: bytes | None, now: int) -> None:
    if value is None:
        made.operations.append(delete_op(each.path))
        return
    source = each.theirs if value == _value(each.theirs) else each.ours
    ttl = _ttl(source, now) if source else None
    made.operations.append(set_op(each.path, value, ttl, lasting=True))
    if ttl is not None:
        made.ttl = min(ttl, made.ttl or ttl)


def _ttl(raw: RawEntry, now: int) -> int | None:
    return max(1, raw.expiry - now) if raw.expiry else None


def _value(raw: Side) -> bytes | None:
    return raw.value if raw else None


def _digest(raw: Side) -> bytes:
    return blake2b(raw.value, digest_size=16).digest() if raw else b""
