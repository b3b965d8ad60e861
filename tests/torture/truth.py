"""The truth: the journals and entries as they stand on the servers, read by raw commands, behind the library's back."""

from __future__ import annotations

from collections.abc import Iterator
from zlib import crc32

import redis

from ccs._core.codec import decode
from ccs._core.commits.entry import parse_entry
from ccs._core.commits.journal import Record, parse_record
from ccs._core.names.keys import keys_of
from tests.torture.history import Commit, Held, Step

__all__ = ["entries_of", "journal_of", "mark"]

_PAGE = 1000
_OPS = {b"s": "set", b"d": "delete", b"x": "expire", b"e": "event", b"f": "finish", b"g": "gone"}
_DECODED = ("@once/", "@inbox/", "guarded/", "@agreements/", "merged/", "@procedures/", "u/", "l/")


def mark(raw: bytes) -> int:
    """The mark of a stored value."""
    return crc32(raw)


def journal_of(client: redis.Redis, namespace: str, address: str) -> list[Commit]:
    """Every commit of a context, the oldest first."""
    journal = keys_of(namespace, address).journal
    return [_commit(parse_record(raw)) for raw in _raw_records(client, journal)]


def _raw_records(client: redis.Redis, journal: str) -> Iterator[bytes]:
    # redis-py would make a dictionary of the fields, which all have one name.
    client.set_response_callback("XRANGE", lambda reply, **_: reply)
    after = "-"
    while page := client.xrange(journal, min=after, count=_PAGE):
        for name, fields in page:
            yield from fields[1::2]
            after = f"({name.decode()}"


def entries_of(client: redis.Redis, namespace: str, address: str) -> dict[str, Held]:
    """Every entry of a context."""
    stored = client.hgetall(keys_of(namespace, address).entries)
    return {path.decode(): _held(path.decode(), raw) for path, raw in stored.items()}


def _commit(record: Record) -> Commit:
    steps = tuple(_step(record, *operation) for operation in record.operations)
    return Commit(record.previous, record.revision, record.at, record.identity.decode(), record.agent, steps)


def _step(record: Record, kind: bytes, path: str, before: bytes, after: bytes) -> Step:
    op = _OPS[kind]
    if op in ("event", "finish"):
        return Step(op, path, None, Held(record.revision, 0, record.agent, mark(after)))
    return Step(op, path, _held(path, before) if before else None, _held(path, after) if after else None)


def _held(path: str, raw: bytes) -> Held:
    entry = parse_entry(raw)
    value = decode(entry.value) if path.startswith(_DECODED) else None
    return Held(entry.revision, entry.version, entry.agent, mark(entry.value), entry.expiry, value)
