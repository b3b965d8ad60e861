"""Entries and values as commands print them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from ccs.cli.output import as_json, clock, fields_of, plain, print_json, print_table, printable, short, width
from ccs.types import Entry

__all__ = ["entry_fields", "print_entries", "print_value", "span", "time_left"]

_HEAD = ("PATH", "VERSION", "AGENT", "UPDATED", "VALUE")


def entry_fields(address: str, entry: Entry) -> dict[str, Any]:
    """Returns the fields of an entry, and of which context it is."""
    return {"context": address, **fields_of(entry)}


def print_entries(address: str, entries: Iterable[Entry], json: bool) -> None:
    """Prints entries: as JSON, each as it comes; for people in columns."""
    if json:
        for entry in entries:
            print_json(entry_fields(address, entry))
        return
    print_table(_HEAD, [_row(entry) for entry in entries])


def _row(entry: Entry) -> tuple[str, ...]:
    value = short(entry.value)
    if entry.expires_at:
        value += f"  (expires in {time_left(entry.expires_at)})"
    return entry.path, str(entry.version), entry.agent, clock(entry.updated_at), value


def print_value(value: Any) -> None:
    """Prints a value: text bare, all else as JSON. On a terminal nothing in it is taken for a command to that."""
    columns = width()
    if columns is None:
        print(value if isinstance(value, str) else as_json(value))
        return
    text = value if isinstance(value, str) else as_json(value)
    if not isinstance(value, str) and len(text) > columns:
        text = json.dumps(plain(value), ensure_ascii=False, indent=2, default=str)
    print("\n".join(map(printable, text.split("\n"))))


def time_left(moment: datetime) -> str:
    """Returns how long it is until a moment, roughly: `12 s`, `3 min`, `5 h`, `2 d`."""
    return span((moment - datetime.now(UTC)).total_seconds())


def span(seconds: float) -> str:
    """Returns a duration, roughly: `12 s`, `3 min`, `5 h`, `2 d`."""
    size = max(0.0, seconds)
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if size >= 2 * length:
            return f"{size / length:.0f} {unit}"
    return f"{size:.0f} s"
