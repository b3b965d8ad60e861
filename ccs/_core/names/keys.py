"""The Redis keys of a context. No other module spells them.

All keys of a context share the hash tag `{namespace:address}`, so that they live in one slot of a Cluster. Braces are
escaped in it, reversibly: an address holds a literal `%` only as `%25`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache

from ccs._core.quoted_values import shown
from ccs.errors import InvalidValue

__all__ = [
    "BIRTHS",
    "KEY_NAMES",
    "Keys",
    "address_of_key",
    "address_of_notice",
    "address_within",
    "channel_glob",
    "check_namespace",
    "keys_of",
    "meta_glob",
    "notice_glob",
    "tag_of",
]

_NAMESPACE = re.compile(r"[A-Za-z0-9_.\-]{1,64}")
_META = ":meta"
BIRTHS = ":new"
"""What the channel of a context is followed by in the channel of the notice that the context came into being."""

KEY_NAMES = ("entries", "paths", "deadlines", "journal", "meta")


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys of one context, in the order in which the scripts declare them, and its channel."""

    entries: str
    paths: str
    deadlines: str
    journal: str
    meta: str
    channel: str

    @property
    def all(self) -> tuple[str, str, str, str, str]:
        """The keys that the commit and read scripts declare."""
        return self.entries, self.paths, self.deadlines, self.journal, self.meta


def check_namespace(namespace: str) -> str:
    """Returns the namespace. Raises `InvalidValue` unless it is 1 to 64 of letters, digits, `_`, `-` and `.`."""
    if isinstance(namespace, str) and _NAMESPACE.fullmatch(namespace):
        return namespace
    raise InvalidValue(f"{shown(namespace)} is not a namespace: use 1 to 64 letters, digits, '_', '-' and '.'")


@lru_cache(maxsize=4096)
def keys_of(namespace: str, address: str) -> Keys:
    """Returns the keys of the context at a canonical address."""
    tag = tag_of(namespace, address)
    entries, paths, deadlines, journal, meta = (f"{tag}:{name}" for name in KEY_NAMES)
    return Keys(entries, paths, deadlines, journal, meta, channel=tag)


def tag_of(namespace: str, address: str) -> str:
    """Returns what all keys of a context begin with, which is also the name of its channel."""
    return "{" + f"{namespace}:{_escape(address)}" + "}"


def address_of_key(namespace: str, key: str) -> str | None:
    """Returns the address whose meta key or channel this is, or None for any other key."""
    tag = key.removesuffix(_META)
    start = "{" + namespace + ":"
    return _unescape(tag[len(start) : -1]) if tag.startswith(start) and tag.endswith("}") else None


def address_of_notice(namespace: str, channel: str) -> str | None:
    """Returns the address of the context whose notice comes on this channel, or None for any other channel."""
    return address_of_key(namespace, channel.removesuffix(BIRTHS)) if channel.endswith(BIRTHS) else None


def address_within(key: str) -> str:
    """Returns the address of the context that a key belongs to, whatever the namespace."""
    return _unescape(key[1 : key.rfind("}")].partition(":")[2])


def meta_glob(namespace: str) -> str:
    """Returns the server's glob for the meta keys of a namespace."""
    return channel_glob(namespace) + _META


def channel_glob(namespace: str) -> str:
    """Returns the server's glob for the channels of a namespace."""
    return "{" + namespace + ":/*}"


def notice_glob(namespace: str) -> str:
    """Returns the server's glob for the channels of a namespace on which a Cluster tells of new contexts."""
    return channel_glob(namespace) + BIRTHS


def _escape(address: str) -> str:
    return address.replace("{", "%7B").replace("}", "%7D")


def _unescape(text: str) -> str:
    return text.replace("%7B", "{").replace("%7D", "}")
