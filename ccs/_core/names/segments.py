"""Any text as one segment of a path, and back: an URL, a file's path, a name that somebody else has given.

What a segment cannot hold is percent-encoded: `%`, `/`, control characters, lone surrogates, a `@` in front, and a text that
is `.` or `..`. An empty text becomes a single `%`. Different texts have different segments.
"""

from __future__ import annotations

import re
from urllib.parse import unquote_to_bytes

from ccs._core.names.address import MAX_PATH_BYTES
from ccs._core.quoted_values import shown
from ccs.errors import InvalidPath

__all__ = ["segment", "unsegment"]

_UNSAFE = re.compile("^@|[%/\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")
_STRAY_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_WHOLE = {"": "%", ".": "%2E", "..": "%2E%2E"}


def segment(text: str) -> str:
    """Returns any text as one segment of a path, from which `unsegment` makes it again. Other texts have other segments.

    Raises `InvalidPath` if that takes more than 1,024 bytes: then use a digest, and keep the text beside it. In a pattern,
    `ccs.escape` it too.

        >>> import ccs
        >>> ccs.segment("https://example.org/a?b=1"), ccs.unsegment("https:%2F%2Fexample.org%2Fa?b=1")
        ('https:%2F%2Fexample.org%2Fa?b=1', 'https://example.org/a?b=1')
    """
    if not isinstance(text, str):
        raise InvalidPath(f"{shown(text)} is not text: give a str")
    plain = str.__str__(text)
    encoded = _WHOLE[plain] if plain in _WHOLE else _UNSAFE.sub(_percent, plain)
    size = len(encoded.encode())
    if size > MAX_PATH_BYTES:
        raise InvalidPath(
            f"{shown(text)} takes {size} bytes as a segment, over the limit of {MAX_PATH_BYTES} of a path: use a digest of"
            " it, and keep the text in the value"
        )
    return encoded


def unsegment(segment: str) -> str:
    """Returns the text that `segment` made a segment of. Raises `InvalidPath` for what is no such segment."""
    if not isinstance(segment, str) or not segment or "/" in segment:
        raise InvalidPath(f"{shown(segment)} is not a segment: give one part of a path, between slashes")
    if segment == "%":
        return ""
    if _STRAY_PERCENT.search(segment):
        raise InvalidPath(f"{shown(segment)} was not made by ccs.segment: it has a % that encodes nothing")
    try:
        return unquote_to_bytes(segment).decode("utf-8", "surrogatepass")
    except UnicodeError as error:
        raise InvalidPath(f"{shown(segment)} was not made by ccs.segment: its %-codes are not UTF-8") from error


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode("utf-8", "surrogatepass"))
