"""The pattern language, the same everywhere: watches, lists, history, policies.

`*` any text within a segment · `**` as a segment, zero or more segments, at the end one or more (`a/` is short for
`a/**`) · `?` one character · `[abc]` `[a-z]` `[!abc]` one character of (not of) a class, in which a leading `]` is
literal · `{a,b}` alternatives, which may be nested, empty or across segments. All else is literal.

Reserved paths, whose first segment begins with `@`, match only if a literal segment of the pattern matches that first
segment. A class of one character, which `escape` makes, is literal.

Invariant: braces are expanded first and a class cannot hold a `/`, so a plain pattern is its segments, split at `/`.

Matching takes polynomial time for any pattern: of the text between two stars only the shortest match is worth trying,
within a segment and for `**` across segments, so an atomic group keeps it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from ccs._core.names.address import GLOBAL, canonical
from ccs._core.names.pattern_braces import Plain, absolute, relative
from ccs._core.names.wildcards import is_literal, is_reserved, literal_start, regex_of, segment_regex
from ccs._core.quoted_values import shown
from ccs.errors import InvalidPath, InvalidPattern

__all__ = [
    "AddressMatcher",
    "Below",
    "Exact",
    "Matcher",
    "Selector",
    "compile_addresses",
    "compile_patterns",
    "escape",
]

_SPECIAL = re.compile(r"[*?\[{},]")


@dataclass(frozen=True, slots=True, order=True)
class Exact:
    """Read this one path."""

    path: str


@dataclass(frozen=True, slots=True, order=True)
class Below:
    """Read the paths that start with this text, which may end within a segment; all paths if it is empty."""

    prefix: str


Selector = Exact | Below


class Matcher:
    """Tests paths against some patterns, and knows what to read from the server to find all that match."""

    __slots__ = ("_plains", "matches", "selectors")

    matches: Callable[[str], bool]
    selectors: tuple[Selector, ...]

    def __init__(self, plains: Iterable[Plain]) -> None:
        self._plains = tuple(sorted(set(_possible(plains))))
        self.matches = _predicate(self._plains)
        self.selectors = _selectors(self._plains)

    def narrowed(self, shows: Callable[[str], bool] | None) -> Matcher:
        """Returns a matcher of the same paths, as far as they are shown. None shows everything."""
        if shows is None:
            return self
        matches = self.matches
        narrow = Matcher(self._plains)
        narrow.matches = lambda path: matches(path) and shows(path)
        return narrow

    def __repr__(self) -> str:
        return f"Matcher({', '.join(repr('/'.join(plain)) for plain in self._plains)})"


class AddressMatcher:
    """Some absolute patterns: which contexts they name, and which paths inside of each.

    `named` are the addresses of the contexts; None if a wildcard stands for more of them.
    """

    __slots__ = ("_addresses", "_plains", "named")

    def __init__(self, plains: Iterable[Plain]) -> None:
        self._plains = tuple(sorted(set(plains)))
        self._addresses = Matcher(self._plains)
        addresses = [_address_named(plain) for plain in self._plains]
        self.named = None if None in addresses else tuple(dict.fromkeys(filter(None, addresses)))

    def matches_address(self, address: str) -> bool:
        """Returns whether a pattern, as the name of contexts, matches all of this (canonical) address."""
        return self._addresses.matches(address[1:])

    def paths_in(self, address: str) -> Matcher | None:
        """Returns the matcher for the paths of the context at this (canonical) address; None if none can match."""
        segments = tuple(address[1:].split("/"))
        rests = {rest for plain in self._plains for rest in _after(plain, segments) if rest}
        matcher = _matcher(tuple(sorted(rests)))
        return matcher if matcher.selectors else None

    def __repr__(self) -> str:
        return f"AddressMatcher({', '.join(repr('/' + '/'.join(plain)) for plain in self._plains)})"


@lru_cache(maxsize=1_024)
def compile_patterns(patterns: tuple[str, ...]) -> Matcher:
    """Returns the matcher of paths for any of these patterns; of all, if there is none. Raises `InvalidPattern`."""
    return _matcher(tuple(plain for pattern in patterns or ("**",) for plain in relative(pattern)))


def compile_addresses(patterns: tuple[str, ...]) -> AddressMatcher:
    """Returns the matcher for any of these absolute patterns; of all, if there is none. Raises `InvalidPattern`."""
    for pattern in patterns:
        if not isinstance(pattern, str):  # perhaps a list, which cannot be a key of the cache
            raise InvalidPattern(f"{shown(pattern)} is not a pattern: give text, several of them one by one")
    return _address_matcher(patterns)


@lru_cache(maxsize=1_024)
def _address_matcher(patterns: tuple[str, ...]) -> AddressMatcher:
    return AddressMatcher(plain for pattern in patterns or ("/**",) for plain in absolute(pattern))


def escape(text: str) -> str:
    """Returns the pattern that matches only this text, also as an alternative in `{a,b}`. Raises `InvalidPattern`."""
    if not isinstance(text, str):
        raise InvalidPattern(f"{shown(text)} is not text: only text can be escaped")
    return _SPECIAL.sub(r"[\g<0>]", text)


@lru_cache(maxsize=1_024)
def _matcher(plains: tuple[Plain, ...]) -> Matcher:
    return Matcher(plains)


# Meaning: the rule on reserved paths, and what to read.


def _possible(plains: Iterable[Plain]) -> Iterator[Plain]:
    """Drops patterns to which the rule on `@` leaves no match. Adds `@a` for `**/@a`, where `**` matches nothing."""
    for plain in plains:
        start, literal = literal_start(plain[0])
        if literal or not start.startswith("@"):
            yield plain
        if plain[0] == "**" and len(plain) > 1 and is_reserved(plain[1]):
            yield plain[1:]


def _selectors(plains: Iterable[Plain]) -> tuple[Selector, ...]:
    """Returns the smallest ranges that hold all candidates, none within another."""
    starts = sorted(literal_start("/".join(plain)) for plain in plains)
    prefixes: list[str] = []
    for prefix in (text for text, literal in starts if not literal):
        if not prefix.startswith(tuple(prefixes)):
            prefixes.append(prefix)
    paths = {text for text, literal in starts if literal and not text.startswith(tuple(prefixes))}
    return (*map(Exact, sorted(paths)), *map(Below, prefixes))


def _after(plain: Plain, segments: Plain) -> Iterator[Plain]:
    """Yields what may be left of a pattern after it matched these leading segments: one for each split of a `**`."""
    if not segments:
        yield plain
    elif plain and plain[0] == "**":
        yield from _after(plain[1:], segments)
        yield from _after(plain, segments[1:])
    elif plain and _segment_matcher(plain[0])(segments[0]):
        yield from _after(plain[1:], segments[1:])


def _address_named(plain: Plain) -> str | None:
    """Returns the address of the only context in which an absolute pattern can match; None if there may be others."""
    text, literal = literal_start("/".join(plain[: 1 if plain[0] == GLOBAL[1:] else 2]))
    try:
        return canonical(f"/{text}") if literal else None
    except InvalidPath:
        return None


@lru_cache(maxsize=1_024)
def _segment_matcher(segment: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile(rf"{segment_regex(segment)}\Z").match


# Matching: a look-up or a comparison where that is enough, for all else a single regular expression.


def _predicate(plains: tuple[Plain, ...]) -> Callable[[str], bool]:
    exact = set()
    below = set()
    rest = []
    for plain in plains:
        text, literal = literal_start("/".join(plain))
        if literal:
            exact.add(text)
        elif plain[-1] == "**" and len(plain) > 1 and is_literal("/".join(plain[:-1])):
            below.add(text)
        else:
            rest.append(plain)
    return _any_of([*_exactly(exact), *_starting(below), *_searching(rest)])


def _any_of(tests: list[Callable[[str], bool]]) -> Callable[[str], bool]:
    if len(tests) == 1:
        return tests[0]

    def matches(path: str) -> bool:
        for test in tests:  # noqa: SIM110 - any() with a generator takes three times as long
            if test(path):
                return True
        return False

    return matches


def _exactly(paths: set[str]) -> Iterator[Callable[[str], bool]]:
    if paths:
        yield frozenset(paths).__contains__


def _starting(prefixes: set[str]) -> Iterator[Callable[[str], bool]]:
    if prefixes:
        found = tuple(sorted(prefixes))
        yield lambda path: path.startswith(found)


def _searching(plains: list[Plain]) -> Iterator[Callable[[str], bool]]:
    if ("**",) in plains:
        yield lambda path: not path.startswith("@")
        plains = [plain for plain in plains if is_reserved(plain[0])]
    if plains:
        match = re.compile("|".join(map(regex_of, plains))).match
        yield lambda path: match(path) is not None
