"""The target of `connect`, parsed."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from os import PathLike, fsdecode
from typing import Any, Literal
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from ccs._core.names.server_url import Endpoint, at_node, parse_endpoint, parse_logins
from ccs.errors import InvalidValue

__all__ = ["Target", "login_url", "parse_target", "with_credentials"]

Kind = Literal["default", "folder", "url", "memory", "cluster", "sentinel"]

_OVER_TCP = {"redis": "redis", "rediss": "rediss", "valkey": "redis", "valkeys": "rediss"}
_SCHEMES = {
    **_OVER_TCP,
    "unix": "unix",
    **{f"{name}+{kind}": plain for kind in ("cluster", "sentinel") for name, plain in _OVER_TCP.items()},
}
# What follows the scheme, as errors say it: by scheme, or by what a scheme has after its `+`.
_FORMS = {
    "unix": "/path/of/socket",
    "": "user:password@host:port/0",
    "cluster": "user:password@host:port,host:port",
    "sentinel": "user:password@host:port,host:port/name-of-primary/0",
}
# Text that begins like this is surely a folder.
_FOLDER = re.compile(r"\.{1,2}(?:/|$)|~|/(?!/)")
# Text that surely means a server, but is not a URL. As a folder's name it would hide the slip, and show the password.
_SLIP = re.compile(
    r"""\s*(?:
        (?:rediss?|valkeys?|unix|memory|https?|tcp|tls|ssl|file)
            (?: [\w+.\-]*\s*: | (?:\+\w+)? [^\w/]*// ) .*   # redis:/x redis//x redis+cluster//x
        | .*://.*                                       # a malformed scheme
        | .*:.*@.*                                      # user:password@host, with anything before and after it
        | (?://)? [^/]* @ [^/]* : \d+ .*                # password@host:6379
        | (?://)? [\w.\-]* : \d+ \s* (?: [/?\#,] .* )?   # host:6379/0
        | (?://)? \[ [^]/]* : [^]/]* ] .*               # [::1]
    )""",
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_SEVERAL = re.compile(rf"(?:{'|'.join(_OVER_TCP)})\+(?:cluster|sentinel)(?![\w+.\-])", re.IGNORECASE)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.\-]*)://(.*)", re.DOTALL)
_COMMA = re.compile(r"(?:[^/?#]*@)?[^/?#@]*,[^/?#@]*(?:[/?#]|$)")
_DATABASE = re.compile(r"/?|/[0-9]+/?")
_NODE = r"(?!,) (?: \[ [^][/?#@,\s]+ ] | [^][/?#@,:\s]* ) (?: : [0-9]* )?"
# What follows the scheme where there are several nodes. A login is one for all, so a second @ or a comma in it is a slip.
_NODES = re.compile(
    rf"""
    (?P<login> (?: [^/?#@,]* @ )? )
    (?P<nodes> {_NODE} (?: , (?=[^/?]) {_NODE} )* )
    (?P<path> (?: / [^?#]* )? )
    (?P<query> (?: \? .* )? )
    """,
    re.VERBOSE | re.DOTALL,
)
# A name with @ or : would rather be the end of a password that has a slash.
_PRIMARY = re.compile(r"(/[^/@:\s]+)(.*)", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Target:
    """A parsed target. `address` holds no secret.

    `location` is a folder, or a name in memory. A URL has an `endpoint`, and may have a provider of `credentials`.
    A Cluster has `seeds`, the nodes that the URL names; `endpoint` is the first. With Sentinels, these are the `seeds`,
    `primary` is the name by which they know the primary, and `endpoint` is how to log in there: they say where it is.
    """

    kind: Kind
    location: str
    address: str
    endpoint: Endpoint = field(default_factory=Endpoint)
    credentials: Any = field(default=None, repr=False)
    seeds: tuple[Endpoint, ...] = ()
    primary: str = ""

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
        meant = _SEVERAL.match(text)
        form = _form(meant[0].lower() if meant else "redis")
        raise InvalidValue(f"that looks like a server, not like a folder: write {form}, or ./ before a folder")
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


def login_url(target: Target, user: str, password: str = "") -> str:
    """Returns the URL by which a user logs in to the server of a target: without its options, such as those for TLS."""
    scheme, _, rest = target.address.partition("://")
    secret = f":{quote(password, safe='')}" if password else ""
    return f"{scheme}://{quote(user, safe='')}{secret}@{rest}"


def _url(scheme: str, rest: str, text: str) -> Target:
    if scheme == "memory":
        return Target("memory", rest, text)
    if scheme not in _SCHEMES:
        known = ", ".join(f"{name}://" for name in [*_SCHEMES, "memory"])
        raise InvalidValue(f"{scheme}:// is not a scheme of ccs: use one of {known}, or the path of a folder")
    plain = _SCHEMES[scheme]
    if scheme.endswith("+cluster"):
        return _cluster(scheme, plain, rest)
    if scheme.endswith("+sentinel"):
        return _sentinel(scheme, plain, rest)
    if scheme in _OVER_TCP and _COMMA.match(rest):
        raise InvalidValue(f"{_malformed(scheme)}; with several nodes it is {_form(f'{scheme}+cluster')}")
    return Target("url", "", _without_secrets(scheme, text), parse_endpoint(f"{plain}://{rest}"))


def _cluster(scheme: str, plain: str, rest: str) -> Target:
    login, nodes, path, query = _split(scheme, rest)
    tail = _tail(scheme, login, path, query)
    common = parse_endpoint(f"{plain}://{login}{path}{query}")
    if common.db:
        raise InvalidValue(f"a Cluster has no database {common.db}, only 0: leave the number out of the URL")
    seeds = tuple(at_node(common, node, 6379) for node in nodes)
    return Target("cluster", "", f"{scheme}://{','.join(nodes)}{tail}", seeds[0], seeds=seeds)


def _sentinel(scheme: str, plain: str, rest: str) -> Target:
    login, nodes, path, query = _split(scheme, rest)
    found = _PRIMARY.fullmatch(path)
    if not found:
        raise _malformed(scheme)
    shown, path = found.groups()
    tail = _tail(scheme, login, path, query)
    primary, sentinel = parse_logins(f"{plain}://{login}{path}{query}")
    seeds = tuple(at_node(sentinel, node, 26379) for node in nodes)
    address = f"{scheme}://{','.join(nodes)}{shown}{tail}"
    return Target("sentinel", "", address, replace(primary, host="", port=0), seeds=seeds, primary=_name(shown[1:]))


def _split(scheme: str, rest: str) -> tuple[str, list[str], str, str]:
    found = _NODES.fullmatch(rest)
    if not found:
        raise _malformed(scheme)
    nodes = found["nodes"].split(",")
    for node in nodes:
        _without_secrets(scheme, f"{scheme}://{node}")
    return found["login"], nodes, found["path"], found["query"]


def _tail(scheme: str, login: str, path: str, query: str) -> str:
    # What an address shows after its nodes.
    return _without_secrets(scheme, f"{scheme}://{login}{path}{query}").removeprefix(f"{scheme}://")


def _name(text: str) -> str:
    try:
        name = unquote(text, errors="strict")
    except UnicodeDecodeError:
        name = ""
    if not name.isprintable() or not name:
        raise InvalidValue("the name of the primary in the URL is not printable text")
    return name


def _without_secrets(scheme: str, text: str) -> str:
    # A URL that does not parse is not shown: after a `/`, `?` or `#` in a password the rest of it is not recognised.
    try:
        parts = urlsplit(text)
        items = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        wrong = parts.port == 0 or parts.fragment or _misplaced(scheme, parts.netloc, parts.path)
    except ValueError:
        wrong = True
    if wrong:
        raise _malformed(scheme)
    query = "&".join(f"{name}={value}" for name, value in items if name == "db")
    return f"{scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{query and f'?{query}'}"


def _malformed(scheme: str) -> InvalidValue:
    return InvalidValue(
        f"this {scheme}:// URL does not parse: it is {_form(scheme)}"
        ", with special characters in the password percent-encoded"
    )


def _form(scheme: str) -> str:
    return f"{scheme}://{_FORMS.get(scheme) or _FORMS[scheme.partition('+')[2]]}"


def _misplaced(scheme: str, netloc: str, path: str) -> bool:
    if scheme == "unix":
        return not path or not (netloc == "" or netloc.endswith("@"))
    return not _DATABASE.fullmatch(path)
