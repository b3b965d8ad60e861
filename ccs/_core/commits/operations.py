"""What commits consist of: operations, and the guards that must hold."""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "Guard",
    "Operation",
    "append_op",
    "delete_op",
    "drop_op",
    "event_op",
    "fewer_below",
    "finish_op",
    "increment_op",
    "nothing_below",
    "policies_op",
    "renew_op",
    "revision_guard",
    "set_op",
    "sweep_op",
    "version_guard",
]

_KEEP = "keep"

Operation = tuple[str, str, str, str | bytes]
"""The kind of an operation, its path, its parameter and its value, as the commit script takes them."""


class Guard(NamedTuple):
    """A condition that the commit script checks.

    Its kind is `v`ersion or `r`evision of a path (0: no entry), `n`othing below a prefix, or a smaller `c`ount below it.
    """

    kind: str
    path: str
    expected: int


def version_guard(path: str, version: int) -> Guard:
    """Returns the guard that the entry has this version; 0: it does not exist."""
    return Guard("v", path, version)


def revision_guard(path: str, revision: int) -> Guard:
    """Returns the guard that the entry has this revision; 0: it does not exist."""
    return Guard("r", path, revision)


def nothing_below(prefix: str) -> Guard:
    """Returns the guard that no entry exists below the prefix."""
    return Guard("n", prefix, 0)


def fewer_below(prefix: str, limit: int) -> Guard:
    """Returns the guard that fewer entries than `limit` exist below the prefix; else the commit is `Crowded`."""
    return Guard("c", prefix, limit)


def set_op(
    path: str, value: bytes, ttl: int | None = None, *, keep_ttl: bool = False, lasting: bool = False
) -> Operation:
    """Writes an encoded value, with a ttl in milliseconds. Result: version, created, expiry.

    The context lives at least as long as a `lasting` ttl; the ttls of entries that recipes write do not count.
    """
    if ttl is None:
        return "s", path, _KEEP if keep_ttl else "", value
    return "s", path, _ttl(ttl, lasting), value


def delete_op(path: str) -> Operation:
    """Removes an entry. Result: whether it existed."""
    return "d", path, "", ""


def increment_op(path: str, by: int) -> Operation:
    """Adds to a small integer. Result: version, created, expiry, value."""
    return "i", path, str(by), ""


def append_op(path: str, count: int, items: bytes, limit: int) -> Operation:
    """Appends `count` packed items to a list of at most `limit` bytes. Result: version, created, expiry."""
    return "a", path, f"{count} {limit}", items


def renew_op(path: str, ttl: int | None, *, lasting: bool = False) -> Operation:
    """Moves a deadline, without a new revision. Result: whether the entry existed. `lasting` as for `set_op`."""
    return "k", path, _ttl(ttl, lasting), ""


def _ttl(ttl: int | None, lasting: bool) -> str:
    if ttl is None:
        return ""
    return f"+{ttl}" if lasting else str(ttl)


def event_op(topic: str, data: bytes) -> Operation:
    """Publishes an event, which exists only in its journal record. No result."""
    return "e", topic, "", data


def policies_op() -> Operation:
    """Makes the policies of this commit the valid ones. The last operation of its commit."""
    return "p", "", "", ""


def finish_op(outcome: bytes, keep: int) -> Operation:
    """Finishes the context, which stays readable for `keep` milliseconds. Alone in its commit."""
    return "f", "", str(keep), outcome


def drop_op() -> Operation:
    """Removes the context. Alone in its commit."""
    return "D", "", "", ""


def sweep_op(limit: int = 100) -> Operation:
    """Expires at most `limit` entries that are due. Result: the next deadline in server milliseconds, or 0. Alone in its commit."""
    return "w", "", str(limit), ""
