"""The system's paths for what users name: `@claims/<resource>`, `@once/<key>`, `@inbox/<role>/…`.

A name may be any text. It becomes a path below its root, segment by segment, percent-encoded only as far as a legal path
needs: `%`, control characters, and segments that are `.` or `..`. An empty segment becomes a single `%`.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from ccs._core.names.address import MAX_PATH_BYTES, MAX_SEGMENTS
from ccs._core.quoted_values import shown
from ccs.errors import InvalidPath

__all__ = ["as_segment", "name_of", "system_path"]

_UNSAFE = re.compile("[%\x00-\x1f\x7f-\x9f\u2028\u2029]")
_UNSAFE_SEGMENT = re.compile("[%/\x00-\x1f\x7f-\x9f\u2028\u2029]")
# Segments that are encoded although each of their characters is legal.
_SEGMENTS = {"": "%", ".": "%2E", "..": "%2E%2E"}
# Below the path of a name, recipes keep entries of their own: they need room too.
_MAX_NAME_BYTES = MAX_PATH_BYTES - 256
_MAX_NAME_SEGMENTS = MAX_SEGMENTS - 7


def system_path(root: str, name: str, *rest: str) -> str:
    """Returns the path of a name below a root, followed by `rest`.

    Raises `InvalidPath` for a name that is empty, too long or too deep.
    """
    segments = _text(name).split("/")
    if len(segments) > _MAX_NAME_SEGMENTS:
        raise InvalidPath(
            f"the name {shown(name)} has {len(segments)} segments, over the limit of {_MAX_NAME_SEGMENTS}: use fewer slashes"
        )
    return "/".join((root, _bounded(name, "/".join(map(_segment, segments))), *rest))


def as_segment(name: str) -> str:
    """Returns a name as one segment, with `/` encoded too, so that no other name's path can be below this one's.

    Raises `InvalidPath` for a name that is empty or too long.
    """
    text = _text(name)
    return _bounded(name, _SEGMENTS[text] if text in _SEGMENTS else _UNSAFE_SEGMENT.sub(_percent, text))


def name_of(root: str, path: str) -> str:
    """Returns the name from which `system_path` made this path."""
    segments = path.removeprefix(f"{root}/").split("/")
    return "/".join("" if segment == "%" else unquote(segment) for segment in segments)


def _segment(segment: str) -> str:
    return _SEGMENTS[segment] if segment in _SEGMENTS else _UNSAFE.sub(_percent, segment)


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())


def _text(name: str) -> str:
    if not isinstance(name, str) or not name:
        raise InvalidPath(f"{shown(name)} is not a name: give some text")
    return str.__str__(name)


def _bounded(name: str, encoded: str) -> str:
    try:
        size = len(encoded.encode())
    except UnicodeEncodeError as error:
        raise InvalidPath(f"the name {shown(name)} holds a lone surrogate, which UTF-8 cannot carry") from error
    if size > _MAX_NAME_BYTES:
        raise InvalidPath(f"the name {shown(name)} takes {size} bytes, over the limit of {_MAX_NAME_BYTES}: shorten it")
    return encoded
