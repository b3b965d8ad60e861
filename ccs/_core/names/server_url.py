"""Where a server listens and how to log in: what a URL means, with the options of redis-py's URLs."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from ccs.errors import InvalidValue

__all__ = ["Endpoint", "Tls", "parse_endpoint"]

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
    found = _options(parts.query)
    options = {_OPTIONS[name][0]: value for name, value in found.items() if not name.startswith("ssl_")}
    tls = {_OPTIONS[name][0]: value for name, value in found.items() if name.startswith("ssl_")}
    if parts.username:
        options["user"] = unquote(parts.username)
    if parts.password:
        options["password"] = unquote(parts.password)
    if parts.scheme == "rediss":
        options["tls"] = Tls(**tls)
    elif tls:
        raise InvalidValue("options that begin with ssl_ need a URL of rediss:// or valkeys://")
    if parts.scheme == "unix":
        return Endpoint(path=_plain("path", unquote(parts.path)), **options)
    options.setdefault("db", int(parts.path.strip("/") or 0))
    return Endpoint(host=_host(unquote(parts.hostname or "localhost")), port=parts.port or 6379, **options)


def _options(query: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, value in parse_qsl(query, keep_blank_values=True):
        if name in _IGNORED:
            continue
        if name not in _OPTIONS:
            raise InvalidValue(_refusal(name))
        if name in found:
            raise InvalidValue(f"the option {name} is in the URL twice")
        found[name] = _OPTIONS[name][1](name, value)
    return found


def _refusal(name: str) -> str:
    if "ocsp" in name:
        return f"{name}: ccs asks no OCSP server; leave it out, or check certificates with ssl_ca_certs"
    # Only a name is shown: anything else may be part of a password.
    shown = name if re.fullmatch(r"[a-z_]{1,40}", name) else "one of its options"
    return f"{shown} is not an option of a URL; the options are {', '.join(_OPTIONS)}"


def _plain(name: str, value: str) -> str:
    if "\0" in value:
        raise InvalidValue(f"the {name} in the URL holds a NUL")
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


# Each option: the field that it sets, and how its value is parsed.
_OPTIONS: dict[str, tuple[str, Callable[[str, str], Any]]] = {
    "db": ("db", _number),
    "username": ("user", _plain),
    "password": ("password", _plain),
    "client_name": ("name", _name),
    "socket_keepalive": ("keepalive", _flag),
    "socket_connect_timeout": ("connect_timeout", _seconds),
    "ssl_ca_certs": ("ca_file", _plain),
    "ssl_ca_path": ("ca_path", _plain),
    "ssl_ca_data": ("ca_data", _plain),
    "ssl_certfile": ("certificate", _plain),
    "ssl_keyfile": ("key", _plain),
    "ssl_password": ("key_password", _plain),
    "ssl_cert_reqs": ("verify", _verified),
    "ssl_check_hostname": ("check_hostname", _flag),
    "ssl_min_version": ("oldest", _version),
    "ssl_ciphers": ("ciphers", _plain),
    "ssl_include_verify_flags": ("flags", _flags),
    "ssl_exclude_verify_flags": ("without_flags", _flags),
}
