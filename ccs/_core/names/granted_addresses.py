"""Globs of addresses, as they are granted to a user: in the language of patterns, and as the server's ACL spells them.

The server compares bytes, so only what means the same there can be granted: literal text, `*`, `**` and `{a,b}`. Neither
the ACL nor its file can hold a blank. A class that excludes all else stands for it: of what it admits, an address has only
the blank.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from ccs._core.names.address import GLOBAL, KINDS, canonical
from ccs._core.names.keys import tag_of
from ccs._core.names.pattern import escape
from ccs._core.names.pattern_braces import Plain, absolute
from ccs._core.names.wildcards import literal_start, segment_matches
from ccs._core.number_checks import listed
from ccs._core.quoted_values import shown
from ccs.errors import InvalidPattern

__all__ = ["acl_glob", "address_glob", "address_globs"]

_BLANK = "[^!-~\u0080-\U00100000]"
_PIECE = re.compile(r"(\*+)|\[([^!])\]|([^*?\[]+)|(.)", re.DOTALL)
_SPELLED = re.compile(rf"({re.escape(_BLANK)})|(\*)|\\(.)|([^*\\\[]+)", re.DOTALL)
_SPECIAL = re.compile(r"([*?\[\]\\])")
_ANY = 2  # segments of an address, at most


def address_globs(name: str, patterns: Iterable[str]) -> tuple[str, ...]:
    """Returns the addresses, and globs of them, that were given as `name`: each of one kind of context, sorted.

    Raises `InvalidPattern` for what names no context, or cannot be granted; `InvalidPath` for what is no address.
    """
    given = [patterns] if isinstance(patterns, str) else listed(name, patterns, "a list of addresses, or globs of them")
    return tuple(sorted({glob for pattern in given for glob in _globs_of(pattern)}))


def acl_glob(namespace: str, glob: str) -> str:
    """Returns how an ACL spells the channels of the contexts that match a glob, and their keys but for what ends these."""
    start, literal = literal_start(glob)
    if literal:
        return _spelled(tag_of(namespace, start))
    before, after = tag_of(namespace, "\n").split("\n")
    pieces = (("*" if star else _spelled(_inside(one or text))) for star, one, text, _ in _PIECE.findall(glob))
    return _spelled(before) + "".join(pieces) + _spelled(after)


def address_glob(namespace: str, spelled: str) -> str | None:
    """Returns the glob that `acl_glob` spelled so; None for anything else."""
    before, after = (_spelled(text) for text in tag_of(namespace, "\n").split("\n"))
    if not (spelled.startswith(before) and spelled.endswith(after)):
        return None
    inner = spelled[len(before) : len(spelled) - len(after)]
    glob = ""
    for blank, star, special, text in _SPELLED.findall(inner):
        glob += " " if blank else star or escape((special or text).replace("%7B", "{").replace("%7D", "}"))
    return glob


def _globs_of(pattern: str) -> Iterator[str]:
    found: list[str] = []
    for plain in absolute(pattern):
        text, literal = literal_start("/".join(plain))
        found += [escape(canonical(f"/{text}"))] if literal else _matching(plain, pattern)
    if not found:
        raise InvalidPattern(f"{shown(pattern)} names no context: write an address, or a glob of them as in /tasks/*")
    yield from found


def _matching(plain: Plain, pattern: str) -> Iterator[str]:
    for segments in _without_double(plain):
        if len(segments) == 1 and segment_matches(segments[0], GLOBAL[1:]):
            yield GLOBAL
        if len(segments) == _ANY:
            yield from (
                f"/{kind}/{_checked(segments[1], pattern)}" for kind in KINDS if segment_matches(segments[0], kind)
            )


def _without_double(plain: Plain) -> Iterator[Plain]:
    """Yields what a plain pattern means for paths of at most two segments, without `**`."""
    if "**" not in plain:
        yield plain
        return
    at = plain.index("**")
    fewest = 1 if at == len(plain) - 1 else 0
    for count in range(fewest, _ANY + 1):
        yield from _without_double((*plain[:at], *["*"] * count, *plain[at + 1 :]))


def _checked(segment: str, pattern: str) -> str:
    glob = ""
    for star, one, text, other in _PIECE.findall(segment):
        if other:
            raise InvalidPattern(
                f"{shown(pattern)} cannot be granted: the server compares bytes, so only *, ** and {{a,b}} mean the same there"
            )
        glob += "*" if star else escape(one or text)
    return glob


def _inside(text: str) -> str:
    return tag_of("", text)[2:-1]


def _spelled(text: str) -> str:
    return _SPECIAL.sub(r"\\\1", text).replace(" ", _BLANK)
