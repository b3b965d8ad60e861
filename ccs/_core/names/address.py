"""Names: the addresses of contexts, the paths inside them, and agents.

An address is `/global`, or `/<kind>/<id>` with the id percent-encoded so that it is one segment of a path and prints on
one line: `%`, `/`, control characters, line separators, and an id that is `.` or `..`, as UTF-8 bytes in upper-case hex.
A context has one address: `canonical` returns it for any spelling. What passes these checks can be a key, a member of a
sorted set and a UTF-8 string in every program, so no other module checks names again.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

from ccs._core.quoted_values import shown
from ccs.errors import InvalidPath, InvalidValue, ReservedPath

__all__ = [
    "GLOBAL",
    "KINDS",
    "MAX_AGENT_BYTES",
    "MAX_ID_BYTES",
    "MAX_PATH_BYTES",
    "MAX_SEGMENTS",
    "address_of",
    "canonical",
    "check_agent",
    "check_path",
    "check_writable",
    "id_of",
    "split_absolute",
]

GLOBAL: Final = "/global"
KINDS: Final = ("tasks", "sessions", "actors")

MAX_AGENT_BYTES: Final = 256
MAX_ID_BYTES: Final = 512
MAX_PATH_BYTES: Final = 1_024
MAX_SEGMENTS: Final = 64

_CONTROL = "\x00-\x1f\x7f-\x9f\u2028\u2029"
_UNPRINTABLE = re.compile(f"[{_CONTROL}]")
_UNSAFE = re.compile(f"[%/{_CONTROL}]")
_STRAY_PERCENT = re.compile("%(?![0-9A-Fa-f]{2})")
_DOTS = {".": "%2E", "..": "%2E%2E"}

_SEGMENT = "ccs.segment(text) makes one segment of any text"
_FORMS = "an address is /tasks/<id>, /sessions/<id>, /actors/<id> or /global"


def address_of(kind: str, id: str) -> str:
    """Returns the address of the context of this kind and id, which may be any text. Raises `InvalidPath`."""
    if kind not in KINDS:
        raise InvalidPath(f"{shown(kind)} is not a kind of context: {_FORMS}")
    return _join(kind, _text(id, "id", InvalidPath))


def canonical(address: str) -> str:
    """Returns the one canonical spelling of a user's address. Raises `InvalidPath` if it is none."""
    kind, decoded = _parse(address)
    return _join(kind, decoded) if decoded else GLOBAL


def id_of(address: str) -> str:
    """Returns the decoded id in an address; empty for `/global`."""
    return _parse(address)[1]


def split_absolute(path: str) -> tuple[str, str]:
    """Splits an absolute path such as `/tasks/42/sources/a`. Returns the address and the path in it."""
    text = _text(path, "path", InvalidPath)
    if not text.startswith("/"):
        raise InvalidPath(
            f"{shown(text)} is not an absolute path: it does not begin with /; a relative one goes to a context"
        )
    count = 2 if text.startswith("/global/") else 3
    *address, inner = text.split("/", count) if text.count("/") >= count else (text, "")
    if not inner:
        raise InvalidPath(f"{shown(text)} names no path inside a context, as in /tasks/42/status or /global/status")
    return canonical("/".join(address)), check_path(inner)


def check_path(path: str) -> str:
    """Returns the path. Raises `InvalidPath` if it cannot name an entry."""
    # An ordinary path passes in 0.2 µs. An unusual one may be valid too: `_check_closely` decides.
    if (
        type(path) is str
        and path.isascii()
        and 0 < len(path) <= MAX_PATH_BYTES
        and path[0] not in "/."
        and path[-1] != "/"
        and "//" not in path
        and "/." not in path
        and path.count("/") < MAX_SEGMENTS
    ):
        return path
    return _check_closely(path)


def check_writable(path: str) -> str:
    """Returns the path. Raises `ReservedPath` if users may not write to it: its first segment begins with `@`."""
    path = check_path(path)
    if path[0] == "@":
        raise ReservedPath(f"{shown(path)} belongs to the system: choose a first segment that does not begin with @")
    return path


def check_agent(agent: str) -> str:
    """Returns the agent's name. Raises `InvalidValue` unless it is one line of at most 256 bytes."""
    text = _text(agent, "agent", InvalidValue)
    if _UNPRINTABLE.search(text):
        raise InvalidValue(f"the agent {shown(text)} holds a control character; a name is one line of text")
    return _bounded(text, "agent", MAX_AGENT_BYTES, InvalidValue)


def _check_closely(path: str) -> str:
    text = _text(path, "path", InvalidPath, f"; {_SEGMENT}")
    problem = _problem(text)
    if problem:
        raise InvalidPath(f"{shown(text)} is not a path: {problem}; {_SEGMENT}")
    return _bounded(text, "path", MAX_PATH_BYTES, InvalidPath, f"shorten it, or put a digest in it ({_SEGMENT})")


def _problem(path: str) -> str | None:
    segments = path.split("/")
    if path.startswith("/"):
        return "it begins with /; inside a context paths are relative, and absolute ones go to the store"
    if path.endswith("/"):
        return "it ends with /; drop that (only a pattern may end so)"
    if "" in segments:
        return "it has an empty segment (//)"
    if "." in segments or ".." in segments:
        return "it has a segment . or .., which mean nothing here; spell the path out"
    return f"it has {len(segments)} segments, over {MAX_SEGMENTS}" if len(segments) > MAX_SEGMENTS else None


def _parse(address: str) -> tuple[str, str]:
    """Returns the kind and the decoded id of an address, an empty id for the global one."""
    text = _text(address, "address", InvalidPath)
    if text == GLOBAL:
        return "global", ""
    before, kind, encoded, *path = text.split("/") if text.count("/") > 1 else (text, "", "")
    if before or kind not in KINDS or not encoded:
        raise InvalidPath(f"{shown(text)} is not an address: {_FORMS}")
    if path:
        raise InvalidPath(f"{shown(text)} goes on after the id: {_FORMS}; a / inside an id is written %2F")
    if encoded in _DOTS:
        raise InvalidPath(f"{shown(text)} is not an address: an id that is {encoded} is written {_DOTS[encoded]}")
    return kind, _decode(encoded)


@lru_cache(maxsize=1_024)
def _decode(encoded: str) -> str:
    if _STRAY_PERCENT.search(encoded):
        raise InvalidPath(f"{shown(encoded)} is not an id in an address: a % that encodes nothing is written %25")
    try:
        return unquote_to_bytes(encoded).decode()
    except UnicodeDecodeError as error:
        raise InvalidPath(
            f"{shown(encoded)} is not an id in an address: its %-codes are not UTF-8; correct it"
        ) from error


def _join(kind: str, id: str) -> str:
    encoded = _DOTS.get(id) or _UNSAFE.sub(_percent, id)
    return f"/{kind}/{_bounded(encoded, 'id', MAX_ID_BYTES, InvalidPath)}"


def _percent(match: re.Match[str]) -> str:
    return "".join(f"%{byte:02X}" for byte in match[0].encode())


_Failure = type[InvalidPath] | type[InvalidValue]


def _text(value: object, what: str, error: _Failure, hint: str = "") -> str:
    """Returns a plain `str` of the same text: a subclass, such as a `StrEnum`, may print differently."""
    if not isinstance(value, str):
        raise error(f"the {what} must be a str, not {type(value).__name__} ({shown(value)}); pass its str")
    if not value:
        raise error(f"the {what} is empty; give it a name{hint}")
    try:
        value.encode()
    except UnicodeEncodeError as cause:
        raise error(f"the {what} {shown(value)} holds a lone surrogate, which UTF-8 cannot carry{hint}") from cause
    return str.__str__(value)


def _bounded(text: str, what: str, limit: int, error: _Failure, hint: str = "shorten it") -> str:
    size = len(text.encode())
    if size > limit:
        raise error(f"the {what} {shown(text)} takes {size} bytes, over the limit of {limit}; {hint}")
    return text
