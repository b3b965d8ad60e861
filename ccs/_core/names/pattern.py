"""The one pattern language, everywhere: live, lists, history, policies.

`*` any text within a segment · `**` as a whole segment, zero or more segments, at the end one or more (`a/` is short
for `a/**`) · `?` one character · `[abc]` `[a-z]` `[!abc]` one character of (not of) a class, `]` first in it being
itself · `{a,b}` alternatives, nested, empty or across segments as one likes. All else is itself.

Reserved paths, whose first segment begins with `@`, must be asked for: a literal segment of the pattern has to match
that first segment, or else nothing does. A class of one character, which is what `escape` makes, is literal.

Invariant: braces are expanded first and a class cannot hold a `/`, so a plain pattern is its segments, split at `/`.

Matching takes polynomial time whatever the pattern: the shortest match of what stands between two stars is also
the only one worth trying, for stars within a segment and for `**` across segments, so an atomic group keeps it.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from typing import Final

from ccs._core.shown import shown
from ccs.errors import InvalidPattern

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

MAX_PATTERN: Final = 16_384  # characters, as written
MAX_ALTERNATIVES: Final = 1_024  # plain patterns that braces expand to
MAX_EXPANDED: Final = 131_072  # characters, of all alternatives together

Plain = tuple[str, ...]
"""The segments of a pattern without braces. `**` is never followed by another, and no segment is empty."""

_TOKEN = re.compile(r"\[!?+\]?+[^\]]*+\]|[\[{},]|[^\[{},]+")
_PIECE = re.compile(r"(?P<star>\*+)|(?P<one>\?)|\[(?P<negated>!?+)(?P<chars>\]?+[^\]]*+)\]|(?P<text>[^*?\[]+)")
_RANGE = re.compile(r"(.)-(.)|(.)", re.DOTALL)
_SURROGATE = re.compile("[\ud800-\udfff]")
_SPECIAL = re.compile(r"[*?\[{},]")


@dataclass(frozen=True, slots=True, order=True)
class Exact:
    """Read this one path."""

    path: str


@dataclass(frozen=True, slots=True, order=True)
class Below:
    """Read the paths that start with this text, which need not end a segment; all of them if it is empty."""

    prefix: str


Selector = Exact | Below


class Matcher:
    """Whether a path fits any of some patterns, and what to read from the server to find those that do."""

    __slots__ = ("_plains", "matches", "selectors")

    matches: Callable[[str], bool]
    selectors: tuple[Selector, ...]

    def __init__(self, plains: Iterable[Plain]) -> None:
        self._plains = tuple(sorted(set(_possible(plains))))
        self.matches = _predicate(self._plains)
        self.selectors = _selectors(self._plains)

    def __repr__(self) -> str:
        return f"Matcher({', '.join(repr('/'.join(plain)) for plain in self._plains)})"


class AddressMatcher:
    """What some absolute patterns mean: which contexts they name, and which paths inside of each."""

    __slots__ = ("_addresses", "_plains")

    def __init__(self, plains: Iterable[Plain]) -> None:
        self._plains = tuple(sorted(set(plains)))
        self._addresses = Matcher(self._plains)

    def matches_address(self, address: str) -> bool:
        """Whether a pattern, taken as the name of contexts, fits this (canonical) address as a whole."""
        return self._addresses.matches(address[1:])

    def paths_in(self, address: str) -> Matcher | None:
        """What to match the paths of the context at this (canonical) address with; `None` if none can fit."""
        segments = tuple(address[1:].split("/"))
        rests = {rest for plain in self._plains for rest in _after(plain, segments) if rest}
        matcher = _matcher(tuple(sorted(rests)))
        return matcher if matcher.selectors else None

    def __repr__(self) -> str:
        return f"AddressMatcher({', '.join(repr('/' + '/'.join(plain)) for plain in self._plains)})"


@lru_cache(maxsize=1_024)
def compile_patterns(patterns: tuple[str, ...]) -> Matcher:
    """The matcher of the paths in a context that fit any of these patterns; of all paths, if there is no pattern."""
    return _matcher(tuple(plain for pattern in patterns or ("**",) for plain in _relative(pattern)))


def compile_addresses(patterns: tuple[str, ...]) -> AddressMatcher:
    """The matcher of what fits any of these absolute patterns, each beginning with `/`; of all, if there is none."""
    for pattern in patterns:
        if not isinstance(pattern, str):  # perhaps a list, which could not be looked up
            raise InvalidPattern(f"{shown(pattern)} is no pattern: give text, several of them one by one")
    return _address_matcher(patterns)


@lru_cache(maxsize=1_024)
def _address_matcher(patterns: tuple[str, ...]) -> AddressMatcher:
    return AddressMatcher(plain for pattern in patterns or ("/**",) for plain in _absolute(pattern))


def escape(text: str) -> str:
    """The pattern that matches this text alone, also as an alternative within `{a,b}`. `InvalidPattern` for no text."""
    if not isinstance(text, str):
        raise InvalidPattern(f"{shown(text)} is no text: only text can be escaped")
    return _SPECIAL.sub(r"[\g<0>]", text)


@lru_cache(maxsize=1_024)
def _matcher(plains: tuple[Plain, ...]) -> Matcher:
    return Matcher(plains)


# Parsing: a pattern as written, its braces expanded, its segments.


def _relative(pattern: str) -> Iterator[Plain]:
    for text in _expand(pattern):
        if text.startswith("/"):
            raise _invalid(pattern, "it begins with /; absolute patterns go to the store, and {,a}/b is {,a/}b here")
        yield _segments(text, pattern)


def _absolute(pattern: str) -> Iterator[Plain]:
    for text in _expand(pattern):
        if not text.startswith("/"):
            raise _invalid(pattern, "across contexts it begins with /, as in /tasks/*/status")
        yield _segments(text[1:], pattern)


def _segments(text: str, pattern: str) -> Plain:
    *segments, last = text.split("/")
    segments.append(last or "**")
    if "" in segments:
        raise _invalid(pattern, "it has an empty segment (//); an optional one is written {,a/}b")
    return tuple(
        segment for segment, after in zip(segments, [*segments[1:], ""], strict=True) if not segment == after == "**"
    )


def _expand(pattern: str) -> list[str]:
    """The plain patterns that braces stand for. A stack, not recursion: nesting is the user's to choose."""
    outer: list[tuple[list[str], list[str]]] = []
    done: list[str] = []  # the finished alternatives of the innermost open brace
    texts = [""]  # the alternative being read, as all the plain texts it stands for so far
    for token in _tokens(pattern):
        if token == "{":
            outer.append((done, texts))
            done, texts = [], [""]
        elif token == "," and outer:
            done += texts
            texts = [""]
        elif token == "}" and outer:
            tails = done + texts
            done, heads = outer.pop()
            texts = _product(heads, tails, pattern)
        else:
            texts = _product(texts, [token], pattern)
    if outer:
        raise _invalid(pattern, "a { is not closed; a literal one is written [{]")
    return _nonempty(texts, pattern)


def _tokens(pattern: str) -> Iterator[str]:
    """Braces, commas, whole classes, and the text between."""
    for token in _TOKEN.findall(_checked(pattern)):
        if token == "[":
            raise _invalid(pattern, "a [ is not closed; a literal one is written [[]")
        if token[0] == "[" and "/" in token:
            raise _invalid(pattern, "a [ is not closed within its segment; a literal one is written [[]")
        yield token


def _checked(pattern: object) -> str:
    if not isinstance(pattern, str):
        raise InvalidPattern(f"a pattern is a str, not {type(pattern).__name__}")
    if _SURROGATE.search(pattern):
        raise _invalid(pattern, "it holds a lone surrogate, which UTF-8 cannot carry")
    if len(pattern) > MAX_PATTERN:
        raise _invalid(pattern, f"it has {len(pattern)} characters, over {MAX_PATTERN}; give several patterns")
    return pattern


def _product(heads: list[str], tails: list[str], pattern: str) -> list[str]:
    count = len(heads) * len(tails)
    size = len(heads) * sum(map(len, tails)) + len(tails) * sum(map(len, heads))
    if count > MAX_ALTERNATIVES or size > MAX_EXPANDED:
        raise _invalid(
            pattern, f"its alternatives are over {MAX_ALTERNATIVES}, or too long in all; give several patterns"
        )
    return [head + tail for head in heads for tail in tails]


def _nonempty(texts: list[str], pattern: str) -> list[str]:
    """An alternative that is empty as a whole names no path; a pattern with no other is a mistake."""
    if not any(texts):
        raise _invalid(pattern, "it is empty; ** matches everything")
    return [text for text in texts if text]


def _invalid(pattern: str, problem: str) -> InvalidPattern:
    shown = repr(pattern) if len(pattern) <= 200 else f"{pattern[:200]!r}…"
    return InvalidPattern(f"{shown} is no pattern: {problem}")


# Meaning: what a plain pattern spells, and the rule on reserved paths.


def _spelled(text: str) -> tuple[str, bool]:
    """The literal text that a plain pattern begins with, and whether that is all of it."""
    spelled = ""
    for piece in _PIECE.finditer(text):
        literal = _literal(piece)
        if literal is None:
            return spelled, False
        spelled += literal
    return spelled, True


def _literal(piece: re.Match[str]) -> str | None:
    if piece["text"]:
        return piece["text"]
    return piece["chars"] if piece["chars"] and not piece["negated"] and len(piece["chars"]) == 1 else None


def _is_literal(segment: str) -> bool:
    return _spelled(segment)[1]


def _is_reserved(segment: str) -> bool:
    spelled, literal = _spelled(segment)
    return literal and spelled.startswith("@")


def _possible(plains: Iterable[Plain]) -> Iterator[Plain]:
    """Without those that the rule on `@` leaves no match, and with `**/@a` as `@a` too, where `**` takes nothing."""
    for plain in plains:
        spelled, literal = _spelled(plain[0])
        if literal or not spelled.startswith("@"):
            yield plain
        if plain[0] == "**" and len(plain) > 1 and _is_reserved(plain[1]):
            yield plain[1:]


def _selectors(plains: Iterable[Plain]) -> tuple[Selector, ...]:
    """The smallest ranges that hold all candidates: none within another."""
    spelled = sorted(_spelled("/".join(plain)) for plain in plains)
    prefixes: list[str] = []
    for prefix in (text for text, whole in spelled if not whole):
        if not prefix.startswith(tuple(prefixes)):
            prefixes.append(prefix)
    paths = {text for text, whole in spelled if whole and not text.startswith(tuple(prefixes))}
    return (*map(Exact, sorted(paths)), *map(Below, prefixes))


def _after(plain: Plain, segments: Plain) -> Iterator[Plain]:
    """What may be left of a pattern once it has matched these leading segments: one for each split of a `**`."""
    if not segments:
        yield plain
    elif plain and plain[0] == "**":
        yield from _after(plain[1:], segments)
        yield from _after(plain, segments[1:])
    elif plain and _segment_matcher(plain[0])(segments[0]):
        yield from _after(plain[1:], segments[1:])


@lru_cache(maxsize=1_024)
def _segment_matcher(segment: str) -> Callable[[str], re.Match[str] | None]:
    return re.compile(rf"{_segment_regex(segment)}\Z").match


# Matching: what is a mere look-up or comparison is one, all else a single regular expression.


def _predicate(plains: tuple[Plain, ...]) -> Callable[[str], bool]:
    exact, below, rest = set(), set(), []
    for plain in plains:
        text, literal = _spelled("/".join(plain))
        if literal:
            exact.add(text)
        elif plain[-1] == "**" and len(plain) > 1 and _is_literal("/".join(plain[:-1])):
            below.add(text)
        else:
            rest.append(plain)
    return _any_of([*_exactly(exact), *_starting(below), *_searching(rest)])


def _any_of(tests: list[Callable[[str], bool]]) -> Callable[[str], bool]:
    if len(tests) == 1:
        return tests[0]

    def matches(path: str) -> bool:
        for test in tests:  # noqa: SIM110 - any() with a generator costs three times as much
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
        plains = [plain for plain in plains if _is_reserved(plain[0])]
    if plains:
        match = re.compile("|".join(map(_regex, plains))).match
        yield lambda path: match(path) is not None


def _regex(plain: Plain) -> str:
    """The groups of segments between `**`, each found as early as it can be, the last one at the end."""
    groups = [list(group) for double, group in groupby(plain, "**".__eq__) if not double]
    first = groups.pop(0) if plain[0] != "**" else []
    last = groups.pop() if groups and plain[-1] != "**" else []
    guard = "" if _is_literal(plain[0]) else "(?!@)"
    if "**" not in plain:
        return rf"{guard}{_joined(first)}\Z"
    head = f"{_joined(first)}/" if first else ""
    middle = "".join(f"(?>(?:[^/]++/)*?{_joined(group)}/)" for group in groups)
    tail = rf"(?:[^/]++/)*{_joined(last)}\Z" if last else ""
    return guard + head + middle + tail


def _joined(segments: list[str]) -> str:
    return "/".join(map(_segment_regex, segments))


def _segment_regex(segment: str) -> str:
    """The parts between stars, each found as early as it can be, the last one at the segment's end."""
    parts = [""]
    for piece in _PIECE.finditer(segment):
        if piece["star"]:
            parts.append("")
        else:
            parts[-1] += _piece_regex(piece)
    if len(parts) == 1:
        return parts[0]
    first, *middle, last = parts
    return f"(?>{first}{''.join(f'(?>[^/]*?{part})' for part in middle)}[^/]*{last}(?![^/]))"


def _piece_regex(piece: re.Match[str]) -> str:
    if piece["text"]:
        return re.escape(piece["text"])
    return "[^/]" if piece["one"] else _class_regex(piece["chars"], bool(piece["negated"]))


def _class_regex(chars: str, negated: bool) -> str:
    """A class. A range that runs backwards holds nothing, and none holds the `/`."""
    members = "".join(_range_regex(match) for match in _RANGE.finditer(chars))
    if negated:
        return f"[^/{members}]"
    return f"(?!/)[{members}]" if members else "(?!)"


def _range_regex(match: re.Match[str]) -> str:
    if match[3]:
        return re.escape(match[3])
    return f"{re.escape(match[1])}-{re.escape(match[2])}" if match[1] <= match[2] else ""
