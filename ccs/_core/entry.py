"""An entry as it is stored: a header of six numbers in text, the agent, and the value as opaque msgpack.

<revision> <version> <created µs> <updated µs> <expiry ms, 0 = none> <bytes of agent> <agent><value>

The first five have a fixed number of digits (16, 10, 16, 16, 13), so that the script finds and compares them as text.
"""

from __future__ import annotations

from typing import NamedTuple

from ccs._core.codec import decode
from ccs._core.times import from_micros, from_millis
from ccs.types import Entry

__all__ = ["RawEntry", "parse_entry", "to_entry"]


class RawEntry(NamedTuple):
    """A stored entry, taken apart but not decoded."""

    revision: int
    version: int
    created: int
    updated: int
    expiry: int
    agent: str
    value: bytes

    def due(self, now: int) -> bool:
        """Whether its deadline has passed at the server time `now`, in milliseconds."""
        return 0 < self.expiry <= now


def parse_entry(raw: bytes) -> RawEntry:
    """Takes a stored entry apart."""
    revision, version, created, updated, expiry, length, rest = raw.split(b" ", 6)
    end = int(length)
    return RawEntry(
        int(revision), int(version), int(created), int(updated), int(expiry), rest[:end].decode(), rest[end:]
    )


def to_entry(path: str, raw: RawEntry) -> Entry:
    """The entry that users see; its value is decoded anew each time, so nobody shares a mutable one."""
    return Entry(
        path,
        decode(raw.value),
        raw.version,
        raw.revision,
        raw.agent,
        from_micros(raw.created),
        from_micros(raw.updated),
        from_millis(raw.expiry) if raw.expiry else None,
    )
