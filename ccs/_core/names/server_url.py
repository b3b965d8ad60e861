"""Where a server listens and how to log in: what a URL means, with the options of redis-py's URLs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from ccs.errors import InvalidValue

__all__ = ["Endpoint", "Tls", "at_node", "parse_endpoint", "parse_logins"]

_VERIFIED = ("none", "optional", "required")
# The numbers of the module ssl for TLS 1.0 to 1.3.
_VERSIONS = range(769, 773)
_FLAGS = re.compile(r"\[?((?:\s*VERIFY_[A-Z0-9_]+\s*,?)*)\]?")
_YES = ("1", "t", "true", "y", "yes")
_NO = ("0", "f", "false", "n", "no")

# A store has its own timeouts, retries, protocol and connections, so it ignores these.
_IGNORED = frozenset(
    (
        "decode_responses", "encoding", "encoding_errors", "health_check_interval", "legacy_responses", "lib_name",
        "lib_version", "max_connections", "protocol", "retry_on_error", "retry_on_timeout", "socket_read_size",
        "socket_timeout", "timeout",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Tls:
    """How a connection is encrypted, and which certificates it trusts. Files and folders are given by their paths."""

    ca_file: str | None = None
    ca_path: str | None = None
    ca_data: str | None = None
    certificate: str | None = None
    key: str | None = None
    key_password: str | None = field(default=None, repr=False)
    verify: str = "required"
    check_hostname: bool = True
    oldest: int | None = None
    ciphers: str | None = None
    flags: tuple[str, ...] = ()
    without_flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server: on a unix socket if it has a `path`, else at `host` and `port`, with TLS if it has `tls`."""

    host: str = "localhost"
    port: int = 6379
    path: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    db: int = 0
    name: str = ""
    keepalive: bool = True
    connect_timeout: float | None = None
    tls: Tls | None = None

    @property
    def credentials(self) -> tuple[str, ...]:
        """The arguments of `AUTH`; empty if no login is needed."""
        if self.user:
            return self.user, self.password
        return (self.password,) if self.password else ()


def parse_endpoint(url: str) -> Endpoint:
    """Returns the server of a `redis://`, `rediss://` or `unix://` URL. Raises `InvalidValue`, which names the problem."""
    parts = urlsplit(url)
    return _endpoint(parts, _options(parts.query, _OPTIONS))


def parse_logins(url: str) -> tuple[Endpoint, Endpoint]:
    """Returns how to log in to a primary, and how to its Sentinels, which have no database and logins of their own.

    Raises `InvalidValue`, which names the problem. `at_node` says where.
    """
    parts = urlsplit(url)
    found = _options(parts.query, _OPTIONS | _SENTINEL_OPTIONS)
    user = found.pop("sentinel_username", "")
    password = found.pop("sentinel_password", "")
    primary = _endpoint(parts, found)
    return primary, replace(primary, user=user, password=password, db=0)


def at_node(endpoint: Endpoint, node: str, port: int) -> Endpoint:
    """Returns the endpoint at the node, which is text like `host:port`; at `port` if the text has none."""
    parts = urlsplit(f"//{node}")
    return replace(endpoint, host=_host(unquote(parts.hostname or "localhost")), port=parts.port or port)


def _endpoint(parts: SplitResult, found: Mapping[str, Any]) -> Endpoint:
    options = {_OPTIONS[name][0]: value for name, value in found.items() if not name.startswith("ssl_")}
    tls = {_OPTIONS[name][0]: value for name, value in found.items() if name.startswith("ssl_")}
    if parts.username:
        options["user"] = _carried("user", unquote(parts.username))
    if parts.password:
        options["password"] = _carried("password", unquote(parts.password))
    if parts.scheme == "rediss":
        options["tls"] = Tls(**tls)
    elif tls:
        raise InvalidValue("options that begin with ssl_ need a URL of rediss:// or valkeys://")
    if parts.scheme == "unix":
        return Endpoint(path=_file("path", unquote(parts.path)), **options)
    options.setdefault("db", int(parts.path.strip("/") or 0))
    return at_node(Endpoint(**options), parts.netloc.rpartition("@")[2], 6379)


def _options(query: str, known: Mapping[str, _Option]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in _IGNORED:
            continue
        if name not in known:
            raise InvalidValue(_refusal(name, known))
        if name in found:
            raise InvalidValue(f"the option {name} is in the URL twice")
        found[name] = known[name][1](name, value)
    return found


def _refusal(name: str, known: Mapping[str, _Option]) -> str:
    if "ocsp" in name:
        return f"{name}: ccs asks no OCSP server; leave it out, or check certificates with ssl_ca_certs"
    # Only a name is shown: anything else may be part of a password.
    shown = name if re.fullmatch(r"[a-z_]{1,40}", name) else "one of its options"
    return f"{shown} is not an option of a URL; the options are {', '.join(known)}"


def _plain(name: str, value: str) -> str:
    return _carried(name, _without_nul(name, value))


def _file(name: str, value: str) -> str:
    # The name of a file may have bytes that are no UTF-8; Python writes them as these surrogates.
    return _carried(name, _without_nul(name, value), "surrogateescape")


def _without_nul(name: str, value: str) -> str:
    if "\0" in value:
        raise InvalidValue(f"the {name} in the URL holds a NUL")
    return value


def _carried(name: str, value: str, errors: str = "strict") -> str:
    try:
        value.encode(errors=errors)
    except UnicodeEncodeError:  # whose object is the value, which may be a password
        raise InvalidValue(f"the {name} in the URL holds a lone surrogate, which UTF-8 cannot carry") from None
    return value


def _host(host: str) -> str:
    try:
        host.encode("idna")
    except UnicodeError:
        raise InvalidValue("the host in the URL is not a host name") from None
    return _plain("host", host)


def _name(name: str, value: str) -> str:
    if not re.fullmatch(r"[!-~]*", value):
        raise InvalidValue(f"{name} is for servers, which take visible ASCII without spaces")
    return value


def _number(name: str, value: str) -> int:
    if not re.fullmatch(r"[0-9]{1,9}", value):
        raise InvalidValue(f"{name} in the URL is not a number")
    return int(value)


def _seconds(name: str, value: str) -> float:
    try:
        seconds = float(value)
    except ValueError:
        seconds = 0.0
    if not 0.0 < seconds < math.inf:
        raise InvalidValue(f"{name} in the URL is not a number of seconds above 0")
    return seconds


def _flag(name: str, value: str) -> bool:
    if value.lower() not in _YES + _NO:
        raise InvalidValue(f"{name} in the URL is neither true nor false")
    return value.lower() in _YES


def _verified(name: str, value: str) -> str:
    if value not in _VERIFIED:
        raise InvalidValue(f"{name} in the URL is none of {', '.join(_VERIFIED)}")
    return value


def _version(name: str, value: str) -> int:
    number = _number(name, value)
    if number not in _VERSIONS:
        raise InvalidValue(f"{name} in the URL is not a number of ssl.TLSVersion: 771 is TLS 1.2, 772 is TLS 1.3")
    return number


def _flags(name: str, value: str) -> tuple[str, ...]:
    found = _FLAGS.fullmatch(value)
    if not found:
        raise InvalidValue(f"{name} in the URL is not a list of names of ssl.VerifyFlags")
    return tuple(found[1].replace(",", " ").split())


# The field that an option sets, and how its value is parsed.
_Option = tuple[str, Callable[[str, str], Any]]
_OPTIONS: dict[str, _Option] = {
    "db": ("db", _number),
    "username": ("user", _plain),
    "password": ("password", _plain),
    "client_name": ("name", _name),
    "socket_keepalive": ("keepalive", _flag),
    "socket_connect_timeout": ("connect_timeout", _seconds),
    "ssl_ca_certs": ("ca_file", _file),
    "ssl_ca_path": ("ca_path", _file),
    "ssl_ca_data": ("ca_data", _plain),
    "ssl_certfile": ("certificate", _file),
    "ssl_keyfile": ("key", _file),
    "ssl_password": ("key_password", _plain),
    "ssl_cert_reqs": ("verify", _verified),
    "ssl_check_hostname": ("check_hostname", _flag),
    "ssl_min_version": ("oldest", _version),
    "ssl_ciphers": ("ciphers", _plain),
    "ssl_include_verify_flags": ("flags", _flags),
    "ssl_exclude_verify_flags": ("without_flags", _flags),
}
# Of the URL of Sentinels alone.
_SENTINEL_OPTIONS: dict[str, _Option] = {
    "sentinel_username": ("user", _plain),
    "sentinel_password": ("password", _plain),
}
