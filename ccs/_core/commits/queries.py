"""Arguments and replies of the read scripts, paired with `read.lua`, `journal.lua` and `info.lua`."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

from ccs._core.codec import decode
from ccs._core.commits.commit import Argument
from ccs._core.commits.entry import RawEntry, parse_entry
from ccs._core.commits.field_layout import STATE, check_format
from ccs._core.names.keys import Keys
from ccs._core.names.pattern import Below, Exact
from ccs._core.times import from_micros
from ccs.types import ContextInfo

__all__ = [
    "Found",
    "Listed",
    "PathTest",
    "info_keys",
    "journal_arguments",
    "journal_keys",
    "last_of",
    "page_arguments",
    "parse_found",
    "parse_info",
    "parse_listed",
    "read_arguments",
]

_PAGE_BYTES = 4 * 1024 * 1024
_LAST = STATE.slice_of("last")

PathTest = Callable[[str], bool]


class Found(NamedTuple):
    """Raw entries that a read found, alive right after `revision`. `hidden`: others were due.

    `now` is the server's time, in milliseconds.
    """

    revision: int
    entries: dict[str, RawEntry]
    last_path: str | None
    hidden: bool
    now: int


class Listed(NamedTuple):
    """Paths that a read found, alive right after `revision`. `hidden`: others were due."""

    revision: int
    paths: list[str]
    hidden: bool = False


def read_arguments(what: str, selectors: Iterable[Exact | Below]) -> list[Argument]:
    """Returns the ARGV of `read.lua` for all that the selectors cover."""
    flat: list[Argument] = [what]
    for selector in selectors:
        flat.extend(("x", selector.path) if isinstance(selector, Exact) else ("b", selector.prefix, "", "-1"))
    return flat


def page_arguments(selector: Exact | Below, after: str, limit: int) -> list[Argument]:
    """Returns the ARGV of `read.lua` for one page of entries."""
    if isinstance(selector, Exact):
        return ["entries", "x", selector.path]
    return ["entries", "b", selector.prefix, after, str(limit)]


def parse_found(reply: Sequence[Any], matches: PathTest, *, due: bool = False) -> Found:
    """Parses the entries of a reply that match, by path. Those past their deadline are included only with `due`."""
    now = int(reply[1])
    flat = reply[2]
    found: dict[str, RawEntry] = {}
    path = None
    hidden = False
    for raw_path, raw in zip(flat[::2], flat[1::2], strict=True):
        path = raw_path.decode()
        if not matches(path):
            continue
        entry = parse_entry(raw)
        if due or not entry.due(now):
            found[path] = entry
        else:
            hidden = True
    return Found(int(reply[0]), found, path, hidden, now)


def parse_listed(reply: Sequence[Any], matches: PathTest) -> Listed:
    """Parses the paths of a reply that match and are not due, sorted."""
    due = set(reply[3])
    paths = {raw.decode() for raw in reply[2] if raw not in due}
    return Listed(int(reply[0]), sorted(path for path in paths if matches(path)), bool(due))


def journal_keys(keys: Keys) -> tuple[str, str, str]:
    """Returns the KEYS of `journal.lua`."""
    return keys.deadlines, keys.journal, keys.meta


def journal_arguments(since: int, count: int) -> list[Argument]:
    """Returns the ARGV of `journal.lua`. A page ends at `count` records or about 4 MiB."""
    return [str(since), str(count), str(_PAGE_BYTES)]


def last_of(state: bytes, address: str) -> int:
    """Returns the newest revision in the field `state` of meta, which outlives the context by ten minutes.

    Raises `UnknownFormat` if the context is in a format that this version does not know.
    """
    check_format(state, address)
    return int(state[_LAST])


def info_keys(keys: Keys) -> tuple[str, str, str, str]:
    """Returns the KEYS of `info.lua`."""
    return keys.entries, keys.deadlines, keys.journal, keys.meta


def parse_info(address: str, reply: Sequence[Any]) -> ContextInfo:
    """Parses a reply of `info.lua`."""
    revision, entries, created, updated, ttl, finished, outcome = reply
    if not int(revision):
        return ContextInfo(address)
    return ContextInfo(
        address,
        int(revision),
        int(entries),
        from_micros(int(created)),
        from_micros(int(updated)),
        timedelta(milliseconds=int(ttl)) if int(ttl) else None,
        int(finished) > 0,
        decode(outcome) if outcome else None,
    )
