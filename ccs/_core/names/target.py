"""The target of `connect`, parsed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from os import PathLike, fsdecode
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

from ccs._core.names.server_url import Endpoint, parse_endpoint
from ccs.errors import InvalidValue

__all__ = ["Target", "parse_target", "with_credentials"]

Kind = Literal["default", "folder", "url", "memory"]

_SCHEMES = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss", "unix": "unix"}
# Text that begins like this is surely a folder.
_FOLDER = re.compile(r"\.{1,2}(?:/|$)|~|/(?!/)")
# Text that surely means a server, but is not a URL. As a folder's name it would hide the slip, and show the password.
_SLIP = re.compile(
    r"""\s*(?:
        (?:rediss?|valkeys?|unix|memory|https?|tcp|tls|ssl|file) (?: [\w+.\-]*\s*: | [^\w/]*// ) .*   # redis:/x redis//x
        | .*://.*                                       # a malformed scheme
        | .*:.*@.*                                      # user:password@host, with anything before and after it
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
    """A parsed target. `address` holds no secret.

    `location` is a folder, or a name in memory. A URL has an `endpoint`, and may have a provider of `credentials`.
    """

    kind: Kind
    location: str
    address: str
    endpoint: Endpoint = field(default_factory=Endpoint)
    credentials: Any = field(default=None, repr=False)

    @property
    def user(self) -> str:
        """The user that the server knows us as, as far as it is known here."""
        return self.endpoint.user or ("default" if self.credentials is None else "the credential provider's")


def parse_target(target: str | PathLike[str] | None) -> Target:
    """Returns the parsed target. Raises `InvalidValue` for an unknown scheme, or what is neither text nor a path."""
    if target is None:
        return Target("default", "", "the embedded server")
    if not isinstance(target, (str, PathLike)):
        # Not shown: a list of URLs may hold a password.
        raise InvalidValue(f"a target is a URL, a folder or nothing, not this {type(target).__name__}")
    text = fsdecode(target)
    if not text:
        raise InvalidValue("the target is empty: give a URL, the path of a folder, or None for the user's own store")
    if not isinstance(target, str) or _FOLDER.match(text):
        return Target("folder", text, text)
    found = _SCHEME.fullmatch(text)
    if found:
        return _url(found[1].lower(), found[2], text)
    if _SLIP.fullmatch(text):
        raise InvalidValue(
            "that looks like a server, not like a folder: write redis://user:password@host:port/0, or ./ before a folder"
        )
    return Target("folder", text, text)


def with_credentials(target: Target, provider: Any) -> Target:
    """Returns the target with this provider of credentials; None changes nothing.

    Raises `InvalidValue` for something that is not a provider, and a target that takes none or has credentials already.
    """
    if provider is None:
        return target
    if not hasattr(provider, "get_credentials") and not hasattr(provider, "get_credentials_async"):
        raise InvalidValue(f"{type(provider).__name__} is not a credential provider: it has no get_credentials")
    if target.kind in ("folder", "memory"):
        raise InvalidValue(f"{target.address} takes no credentials: a credential_provider is for the URL of a server")
    if target.endpoint.credentials:
        raise InvalidValue("the URL has credentials, and there is a credential_provider too: leave one of them out")
    return replace(target, credentials=provider)


def _url(scheme: str, rest: str, text: str) -> Target:
    if scheme == "memory":
        return Target("memory", rest, text)
    if scheme not in _SCHEMES:
        known = ", ".join(f"{name}://" for name in [*_SCHEMES, "memory"])
        raise InvalidValue(f"{scheme}:// is not a scheme of ccs: use one of {known}, or the path of a folder")
    address = _without_secrets(scheme, text)
    return Target("url", "", address, parse_endpoint(f"{_SCHEMES[scheme]}://{rest}"))


def _without_secrets(scheme: str, text: str) -> str:
    # A URL that does not parse is not shown: after a `/`, `?` or `#` in a password the rest of it is not recognised.
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
            + ", with special characters in the password percent-encoded"
        )
    query = "&".join(f"{name}={value}" for name, value in items if name == "db")
    return f"{scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{query and f'?{query}'}"


def _misplaced(scheme: str, netloc: str, path: str) -> bool:
    if scheme == "unix":
        return not path or not (netloc == "" or netloc.endswith("@"))
    return not _DATABASE.fullmatch(path)
