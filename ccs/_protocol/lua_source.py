"""Assembles Lua scripts from their sources: puts in the parts that a script includes, and offsets for the names of fields.

-- include guards           puts in `parts/guards.lua`, unless that is there already
${entry.expiry}             63, 75: the offsets of a field, its first and last character; `${kept.answers}`, to the end: 31
${start state.terms}        91: where it begins
${before entry.expiry}      1, 62: all that stands before it
${upto label.agent}         1, 8: all up to its end
${end label.agent}          8: where it ends
${after entry.expiry}       76: where what follows it begins
${between counts.bytes counts.records}      16, 16: what stands between two fields
${width label.agent}        3: how many characters it has
${tail clock.micros}        -6: where a text of that width begins that ends with it
${digits entry.expiry}      %013d: how its number is printed
${entry.version = 1}        0000000001: the number in all its digits; with `-` or `*`, so many of them
${words bytes records}      the pattern that captures these words, one behind the other, of the head of a record
${KEYS.meta}, ${key.meta}   KEYS[5], 5: a key, by the order in which the script declares its keys
${FINISHED}                 a constant of the layout
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache

from ccs._core.commits.field_layout import CONSTANTS, LAYOUTS, RECORD

__all__ = ["SourceError", "assemble"]

_INCLUDE = re.compile(r"^ *-- include (\w+)\n", re.MULTILINE)
_NAME = re.compile(r"\$\{([^}]*)\}")
_FUNCTION = re.compile(r"^local function (\w+)", re.MULTILINE)
_KEYS = re.compile(r"^-- KEYS +(.*)", re.MULTILINE)
_SPELLED = re.compile(r"([\w.]+) = ([-*\d]+)")

Read = Callable[[str], str | None]
Span = tuple[int, int | None]


class SourceError(Exception):
    """A script cannot be put together out of its sources."""


def assemble(text: str, read: Read) -> str:
    """Returns the text of a script as the server gets it; `read` gives the source of a part, None if there is none.

    Raises `SourceError` for a part that is missing, includes itself or of which nothing is used, and for an unknown name.
    """
    parts: dict[str, str] = {}
    joined = _join(text, read, parts, ())
    for name, part in parts.items():
        _check_used(name, part, joined)
    keys = _KEYS.search(joined)
    names = _numbered(keys[1]) if keys else {}
    return _NAME.sub(lambda found: _replacement(found[1], names), joined)


def _join(text: str, read: Read, parts: dict[str, str], within: Sequence[str]) -> str:
    def included(found: re.Match[str]) -> str:
        name = found[1]
        if name in within:
            raise SourceError(f"parts include each other: {' > '.join((*within, name))}")
        if name in parts:
            return ""
        part = read(name)
        if part is None:
            raise SourceError(f"there is no part {name!r}")
        parts[name] = part
        return _join(part, read, parts, (*within, name))

    return _INCLUDE.sub(included, text)


def _check_used(name: str, part: str, joined: str) -> None:
    """Raises `SourceError` if the script uses nothing that the part defines. A part without functions is used as it is."""
    functions = _FUNCTION.findall(part)
    if functions and not any(joined.count(function) > part.count(function) for function in functions):
        raise SourceError(f"nothing of the part {name!r} is used")


def _numbered(declared: str) -> Mapping[str, str]:
    return {name: number for number, name in re.findall(r"(\d) ([a-z]+)", declared)}


def _replacement(expression: str, keys: Mapping[str, str]) -> str:
    scope, _, name = expression.partition(".")
    if scope not in ("KEYS", "key"):
        return _named(expression)
    if name not in keys:
        raise SourceError(f"no key is called ${{{expression}}}")
    return f"KEYS[{keys[name]}]" if scope == "KEYS" else keys[name]


@cache
def _named(expression: str) -> str:
    if expression in CONSTANTS:
        return CONSTANTS[expression]
    try:
        if spelled := _SPELLED.fullmatch(expression):
            return _spelled(*spelled.groups())
        kind, *names = expression.split(" ") if " " in expression else ("", expression)
        return _words(names) if kind == "words" else _KINDS[kind](*map(_field, names))
    except (LookupError, ValueError, TypeError) as error:
        raise SourceError(f"nothing is called ${{{expression}}}") from error


def _field(name: str) -> Span:
    layout, _, field = name.partition(".")
    return LAYOUTS[layout].spans[field]


def _end(field: Span) -> int:
    if field[1] is None:
        raise ValueError("it goes on to the end of the text")
    return field[1]


def _span(field: Span) -> str:
    return f"{field[0]}" if field[1] is None else f"{field[0]}, {field[1]}"


def _width(field: Span) -> int:
    return _end(field) - field[0] + 1


def _spelled(name: str, value: str) -> str:
    width = _width(_field(name))
    return f"{int(value):0{width}d}" if value.isdigit() else value * width


def _words(names: Sequence[str]) -> str:
    first = RECORD.index(names[0])
    if tuple(names) != RECORD[first : first + len(names)]:
        raise ValueError("they do not stand one behind the other")
    skipped = "".join("%S+ " if word == "client" else "%d+ " for word in RECORD[:first])
    return "^" + skipped + " ".join("(%d+)" for _ in names)


_KINDS: dict[str, Callable[..., str]] = {
    "": _span,
    "start": lambda field: f"{field[0]}",
    "before": lambda field: f"1, {field[0] - 1}",
    "upto": lambda field: f"1, {_end(field)}",
    "end": lambda field: f"{_end(field)}",
    "after": lambda field: f"{_end(field) + 1}",
    "between": lambda one, other: f"{_end(one) + 1}, {other[0] - 1}",
    "width": lambda field: f"{_width(field)}",
    "tail": lambda field: f"-{_width(field)}",
    "digits": lambda field: f"%0{_width(field)}d",
}
