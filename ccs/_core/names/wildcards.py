"""The wildcards: what each means, as a regular expression, and the literal text of a pattern that has none."""

from __future__ import annotations

import re
from itertools import groupby

from ccs._core.names.pattern_braces import Plain

__all__ = ["is_literal", "is_reserved", "literal_start", "regex_of", "segment_matches", "segment_regex"]

_PIECE = re.compile(r"(?P<star>\*+)|(?P<one>\?)|\[(?P<negated>!?+)(?P<chars>\]?+[^\]]*+)\]|(?P<text>[^*?\[]+)")
_RANGE = re.compile(r"(.)-(.)|(.)", re.DOTALL)


def literal_start(text: str) -> tuple[str, bool]:
    """Returns the literal text at the beginning of a plain pattern, and whether that is all of it."""
    start = ""
    for piece in _PIECE.finditer(text):
        literal = _literal(piece)
        if literal is None:
            return start, False
        start += literal
    return start, True


def _literal(piece: re.Match[str]) -> str | None:
    if piece["text"]:
        return piece["text"]
    return piece["chars"] if piece["chars"] and not piece["negated"] and len(piece["chars"]) == 1 else None


def is_literal(segment: str) -> bool:
    """Returns whether a plain pattern is only literal text."""
    return literal_start(segment)[1]


def is_reserved(segment: str) -> bool:
    """Returns whether a segment is literal and begins with `@`."""
    start, literal = literal_start(segment)
    return literal and start.startswith("@")


def regex_of(plain: Plain) -> str:
    """Returns the regex of a plain pattern: groups of segments between `**`, each found as early as possible, the last one at the end."""
    groups = [list(group) for double, group in groupby(plain, "**".__eq__) if not double]
    first = groups.pop(0) if plain[0] != "**" else []
    last = groups.pop() if groups and plain[-1] != "**" else []
    guard = "" if is_literal(plain[0]) else "(?!@)"
    if "**" not in plain:
        return rf"{guard}{_joined(first)}\Z"
    head = f"{_joined(first)}/" if first else ""
    middle = "".join(f"(?>(?:[^/]++/)*?{_joined(group)}/)" for group in groups)
    tail = rf"(?:[^/]++/)*{_joined(last)}\Z" if last else ""
    return guard + head + middle + tail


def _joined(segments: list[str]) -> str:
    return "/".join(map(segment_regex, segments))


def segment_regex(segment: str) -> str:
    """Returns the regex of a segment: parts between stars, each found as early as possible, the last one at the segment's end."""
    parts = [""]
    for piece in _PIECE.finditer(segment):
        if piece["star"]:
            parts.append("")
        else:
            parts[-1] += _piece_regex(piece)
    if len(parts) == 1:
        return parts[0]
    first, *middle, last = parts
    return f"(?>{first}{''.join(f'(?>[^/]*?{part})' for part in middle)}[^/]*{last}(?![^/]))"


def segment_matches(segment: str, name: str) -> bool:
    """Returns whether a segment of a plain pattern matches all of a name."""
    return re.fullmatch(segment_regex(segment), name) is not None


def _piece_regex(piece: re.Match[str]) -> str:
    if piece["text"]:
        return re.escape(piece["text"])
    return "[^/]" if piece["one"] else _class_regex(piece["chars"], bool(piece["negated"]))


def _class_regex(chars: str, negated: bool) -> str:
    """Returns the regex of a class. A range that runs backwards is empty, and no class holds the `/`."""
    members = "".join(_range_regex(match) for match in _RANGE.finditer(chars))
    if negated:
        return f"[^/{members}]"
    return f"(?!/)[{members}]" if members else "(?!)"


def _range_regex(match: re.Match[str]) -> str:
    if match[3]:
        return re.escape(match[3])
    return f"{re.escape(match[1])}-{re.escape(match[2])}" if match[1] <= match[2] else ""
