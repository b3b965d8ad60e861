"""Where the system keeps what users name: `@claims/<resource>`, `@once/<key>`, `@inbox/<role>/…`.

A name may be any text. It becomes a path below its root, segment by segment, with just so much percent-encoded that
it is a legal one: `%`, control characters, `.` and `..`; an empty segment is a lone `%`.
"""

from __future__ import annotations

import re
from urllib.parse import unquote

from ccs._core.names.address import MAX_PATH_BYTES, MAX_SEGMENTS
from ccs._core.shown import shown
from ccs.errors import InvalidPath

__all__ = ["as_segment", "name_of", "system_path"]

_UNSAFE = re.compile("[%\x00-\x1f\x7f-\x9f\u2028\u2029]")
_UNSAFE_SEGMENT = re.compile("[%/\x00-\x1f\x7f-\x9f\u2028\u2029]")
_WHOLE = {"": "%", ".": "%2E", "..": "%2E%2E"}
_ROOM = 256


def system_path(root: str, name: str, *rest: str) -> str:
    """The path of a name below a root, and of what is kept below it; `InvalidPath` if the name is empty or too long."""
    if not isinstance(name, str) or not name:
        raise InvalidPath(f"{shown(name)} names nothing in {root}: give some text")
    try:
        encoded = "/".join(_segment(segment) for segment in str.__str__(name).split("/"))
        size = len(encoded.encode())
    except UnicodeEncodeError as error:
        raise InvalidPath(f"{shown(name)} holds a lone surrogate, which UTF-8 cannot carry") from error
    if size > MAX_PATH_BYTES - _ROOM or encoded.count("/") > MAX_SEGMENTS - 8:
        raise InvalidPath(f"the name {name[:80]!r}… takes {size} bytes; shorten it to {MAX_PATH_BYTES - _ROOM}")
    return "/".join((root, encoded, *rest))


def as_segment(name: str) -> str:
    """A name as one segment, its `/` encoded too: no other name can then mean what is kept below it."""
    if not isinstance(name, str) or not name:
        raise InvalidPath(f"{shown(name)} names nothing: give some text")
    return _WHOLE[name] if name in _WHOLE else _UNSAFE_SEGMENT.sub(_percent, str.__str__(name))


def name_of(root: str, path: str) -> str:
    """The name that a path below a root was made of."""
    segments = path.removeprefix(f"{root}/").split("/")
    return "/".join("" if segment == "%" else unquote(segment) for segment in segments)


def _segment(segment: str) -> str:
    return _WHOLE[segment] if segment in _WHOLE else _UNSAFE.sub(_percent, segment)


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())
