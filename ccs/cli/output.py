"""What commands print: JSON for programs; for people, lines without control characters, in colour on a terminal."""

from __future__ import annotations

import dataclasses
import json
import math
import os
import shutil
import sys
from collections.abc import Mapping, Sequence, Set
from datetime import datetime, timedelta
from typing import Any, TextIO

__all__ = [
    "as_json",
    "clock",
    "fields_of",
    "is_terminal",
    "one_line",
    "paint",
    "print_json",
    "print_table",
    "printable",
    "said",
    "short",
    "width",
]

# A value of more characters is cut where it stands in a line.
_SHORT = 200
_STYLES = {"bold": "1", "dim": "2", "red": "31", "green": "32", "yellow": "33", "blue": "34", "cyan": "36"}
# What is no end of a line in JSON, but is one to some readers.
_ENDS = str.maketrans({char: f"\\u{ord(char):04x}" for char in "\x7f\x85\u2028\u2029"})


# For programs


def print_json(value: Any, *, flush: bool = False) -> None:
    """Prints a value as JSON on one line."""
    print(as_json(value), flush=flush)


def as_json(value: Any) -> str:
    """Returns a value as JSON on one line; what JSON does not know becomes text."""
    return json.dumps(plain(value), ensure_ascii=False, default=str).translate(_ENDS)


def fields_of(item: Any) -> dict[str, Any]:
    """Returns the fields of a dataclass by name."""
    return {field.name: getattr(item, field.name) for field in dataclasses.fields(item)}


def plain(value: Any) -> Any:
    """Returns the value in the types of JSON; other types become text."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return plain(fields_of(value))
    if isinstance(value, Mapping):
        return {key if isinstance(key, str) else str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    if isinstance(value, Set):
        return sorted((plain(each) for each in value), key=repr)
    return _plain_scalar(value)


def _plain_scalar(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, bytes):
        return f"hex {value.hex()}"
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


# For people


def printable(text: str) -> str:
    """Returns one line, without control characters for a terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def short(value: Any, most: int = _SHORT) -> str:
    """Returns a value as JSON of at most so many characters."""
    text = printable(as_json(value))
    return text if len(text) <= most else text[: most - 1] + "…"


def one_line(text: str, most: int) -> str:
    """Returns text without control characters, cut to so many characters."""
    line = printable(text)
    return line if len(line) <= most else line[: max(0, most - 1)] + "…"


def clock(moment: datetime) -> str:
    """Returns a moment as people read it here: the time of today, else with its date."""
    local = moment.astimezone()
    today = local.date() == datetime.now(local.tzinfo).date()
    return local.strftime("%H:%M:%S" if today else "%Y-%m-%d %H:%M:%S")


def said(text: str) -> None:
    """Tells the user something that is not data."""
    print(f"ccs: {text}", file=sys.stderr, flush=True)


def is_terminal(stream: TextIO | None = None) -> bool:
    """Returns whether a person sees what is printed."""
    return (stream or sys.stdout).isatty()


def width() -> int | None:
    """Returns the columns of the terminal; None where there is none, and nothing is cut."""
    return shutil.get_terminal_size().columns if is_terminal() else None


def paint(text: str, style: str) -> str:
    """Returns text in a colour, on a terminal that is to have colours (`NO_COLOR`)."""
    return f"\x1b[{_STYLES[style]}m{text}\x1b[0m" if _is_coloured() else text


def _is_coloured() -> bool:
    return is_terminal() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Prints rows in columns under a head, cut to the terminal; where nobody looks, without a head, tabs between."""
    columns = width()
    if columns is None:
        for row in rows:
            print("\t".join(map(printable, row)))
        return
    if not rows:
        print("(none)", file=sys.stderr)
    else:
        _print_columns(head, [[printable(cell) for cell in row] for row in rows], columns)


def _print_columns(head: Sequence[str], rows: list[list[str]], columns: int) -> None:
    widths = [max(map(len, cells)) for cells in zip(head, *rows, strict=True)]
    right = [all(row[index].replace(",", "").isdecimal() for row in rows) for index in range(len(head))]
    for row in (list(head), *rows):
        cells = [
            cell.rjust(size) if to_right else cell.ljust(size)
            for cell, size, to_right in zip(row, widths, right, strict=True)
        ]
        line = one_line("  ".join(cells).rstrip(), columns)
        print(paint(line, "dim") if row == list(head) else line)
