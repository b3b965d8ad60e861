"""Where a store lives, read from what the caller gave to `connect`."""

from __future__ import annotations

import re
from dataclasses import dataclass
from os import PathLike, fsdecode
from typing import Literal
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

from ccs.errors import InvalidValue

__all__ = ["Target", "parse_target"]

Kind = Literal["default", "folder", "url", "memory"]

_SCHEMES = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss", "unix": "unix"}
# Text that begins so is surely meant for a folder.
_FOLDER = re.compile(r"\.{1,2}(?:/|$)|~|/(?!/)")
# Text that is surely meant for a server, and is no URL. A folder of that name would hide the slip, and show the password.
_SLIP = re.compile(
    r"""\s*(?:
        (?:rediss?|valkeys?|unix|memory|https?|tcp|tls|ssl|file) (?: [\w+.\-]*\s*: | [^\w/]*// ) .*   # redis:/x redis//x
        | .*://.*                                       # a scheme that is none
        | .*:.*@.*                                      # user:password@host, with what not before and behind it
        | (?://)? [^/]* @ [^/]* : \d+ .*                # password@host:6379
        | (?://)? [\w.\-]* : \d+ \s* (?: [/?\#,] .* )?   # host:6379/0
        | (?://)? \[ [^]/]* : [^]/]* ] .*               # [::1]
    )""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://(.*)", re.DOTALL)
_DATABASE = re.compile(r"/?|/[0-9]+/?")


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed target: `location` is a folder, a redis-py URL or a name in memory; `address` may be shown to anyone."""

    kind: Kind
    location: str
    address: str

    @property
    def user(self) -> str:
        """Whom the server takes us for."""
        if self.kind != "url":
            return "default"
        parts = urlsplit(self.location)
        return unquote(parts.username or "") or parse_qs(parts.query).get("username", ["default"])[0]


def parse_target(target: str | PathLike[str] | None) -> Target:
    """What a target means; `InvalidValue` for a scheme that is none of ours or anything that is no text or path."""
    if target is None:
        return Target("default", "", "the embedded server")
    if not isinstance(target, (str, PathLike)) or not (text := fsdecode(target)):
        # Not shown: a list of URLs may hold a password.
        raise InvalidValue(f"a target is a URL, a folder or nothing, and no {type(target).__name__} such as this")
    if not isinstance(target, str) or _FOLDER.match(text):
        return Target("folder", text, text)
    if found := _SCHEME.fullmatch(text):
        return _url(found[1].lower(), found[2], text)
    if _SLIP.fullmatch(text):
        raise InvalidValue(
            "that looks like a server, not like a folder: write redis://user:password@host:port/0, or ./ before a folder"
        )
    return Target("folder", text, text)


def _url(scheme: str, rest: str, text: str) -> Target:
    if scheme == "memory":
        return Target("memory", rest, text)
    if scheme not in _SCHEMES:
        known = ", ".join(f"{name}://" for name in [*_SCHEMES, "memory"])
        raise InvalidValue(f"{scheme}:// is no scheme of ccs: use one of {known}, or the path of a folder")
    return Target("url", f"{_SCHEMES[scheme]}://{rest}", _without_secrets(scheme, text))


def _without_secrets(scheme: str, text: str) -> str:
    # What does not parse is not told: a `/`, `?` or `#` in a password puts the rest of it where it is not looked for.
    try:
        parts = urlsplit(text)
        items = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        wrong = parts.port == 0 or parts.fragment or _misplaced(scheme, parts.netloc, parts.path)
    except ValueError:
        wrong = True
    if wrong:
        raise InvalidValue(
            f"this {scheme}:// URL does not parse: it is {scheme}://"
            + ("/path/of/socket" if scheme == "unix" else "user:password@host:port/0")
            + ", with what is special in the password percent-encoded"
        )
    query = "&".join(f"{name}={value}" for name, value in items if name == "db")
    return f"{scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{query and f'?{query}'}"


def _misplaced(scheme: str, netloc: str, path: str) -> bool:
    if scheme == "unix":
        return not path or not (netloc == "" or netloc.endswith("@"))
    return not _DATABASE.fullmatch(path)
