"""What a page asks for by itself: an entry with its versions, the context at an earlier moment, and what changed since."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import ccs
from ccs.aio import Context
from ccs.types import Change, Entry
from ccs.ui.plain_values import cut
from ccs.ui.rows import log_line, millis, overview_lines, row_of_entry

__all__ = ["changes_since", "entry_with_versions", "moment", "when_of"]

_VALUE = 262_144
_VERSION = 65_536
_VERSIONS = 40
_MOST_CHANGES = 2_000
# Of so many paths that have changed since, each is read by name; of more, all is read.
_NAMED = 2_000


def when_of(text: str) -> int | datetime:
    """Returns the moment that a page means: a revision, or milliseconds since 1970 as `@…`. Raises `InvalidValue`."""
    digits = text.removeprefix("@")
    if not digits.isdecimal() or len(digits) > 17:
        raise ccs.InvalidValue(f"{text[:50]!r} is no moment: give a revision, or @ and milliseconds since 1970")
    return datetime.fromtimestamp(int(digits) / 1000, UTC) if text.startswith("@") else int(digits)


async def moment(context: Context, when: int | datetime) -> dict[str, Any]:
    """Returns what was different then: rows, and paths of which there was none; and how the agents worked together."""
    touched: set[str] = set()
    cursor: int | datetime = when
    while True:
        changes = await context.history(since=cursor)
        if not changes and cursor is not when:
            break
        touched |= {change.path for change in changes}
        cursor = changes[-1].revision if changes else when
        found = await context.at(when, *_patterns(touched))
        if not changes:
            break
    seen = await context.overview(when=found.revision)
    rows = {path: row_of_entry(found[path]) for path in touched if path in found}
    return {
        "revision": found.revision,
        "rows": list(rows.values()),
        "gone": sorted(touched - set(rows)),
        "overview": overview_lines(seen),
        "now": millis(datetime.now(UTC)),
    }


def _patterns(paths: set[str]) -> list[str]:
    return ["**"] if len(paths) > _NAMED else [ccs.escape(path) for path in paths] or ["@none"]


async def entry_with_versions(context: Context, path: str, when: int | datetime | None) -> dict[str, Any]:
    """Returns an entry, now or at a moment, and its versions up to then, the newest first."""
    pattern = ccs.escape(path)
    if when is None:
        entry = await context.entry(path)
        until = None
    else:
        found = await context.at(when, pattern)
        entry = found.get(path)
        until = found.revision
    changes = await context.history(pattern, until=until, limit=_VERSIONS, newest_first=True)
    return {"entry": _full(entry), "versions": [_version(each) for each in changes], "more": len(changes) == _VERSIONS}


def _full(entry: Entry | None) -> dict[str, Any] | None:
    if entry is None:
        return None
    return {
        "path": entry.path,
        "value": cut(entry.value, _VALUE),
        "version": entry.version,
        "revision": entry.revision,
        "agent": entry.agent,
        "created": millis(entry.created_at),
        "updated": millis(entry.updated_at),
        "expires": millis(entry.expires_at),
    }


def _version(change: Change) -> dict[str, Any]:
    return {
        "op": change.op,
        "created": change.created,
        "version": change.version,
        "revision": change.revision,
        "agent": change.agent,
        "at": millis(change.at),
        "value": cut(change.value, _VERSION),
        "previous": cut(change.previous, _VERSION),
    }


async def changes_since(context: Context, when: int | datetime, patterns: list[str]) -> dict[str, Any]:
    """Returns the net changes since a moment, the newest first."""
    changes = await context.diff(when, *patterns)
    lines = [log_line(change) for change in reversed(changes[-_MOST_CHANGES:])]
    return {"changes": lines, "count": len(changes)}
