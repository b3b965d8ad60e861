"""The addresses of resources: `ccs://briefing`, and `ccs://entry/` with the path of an entry, percent-encoded.

A `/` of the path may stand as it is or as `%2F`: clients that fill in a template encode it.
"""

from __future__ import annotations

from urllib.parse import quote, unquote

__all__ = ["BRIEFING", "TEMPLATE", "entry_uri", "path_in"]

BRIEFING = "ccs://briefing"
TEMPLATE = "ccs://entry/{path}"
_ENTRY = "ccs://entry/"


def entry_uri(path: str) -> str:
    """Returns the address of an entry.

    >>> entry_uri("sources/a b")
    'ccs://entry/sources/a%20b'
    """
    return _ENTRY + quote(path, safe="/")


def path_in(uri: str) -> str | None:
    """Returns the path of an entry's address; None if it is another address.

    >>> path_in("ccs://entry/sources%2Fa%20b"), path_in("ccs://briefing")
    ('sources/a b', None)
    """
    return unquote(uri.removeprefix(_ENTRY)) if uri.startswith(_ENTRY) else None
