"""The braces of a pattern, expanded, and each of what it stands for, split into segments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from ccs._core.quoted_values import shown
from ccs.errors import InvalidPattern

__all__ = ["Plain", "absolute", "relative"]

MAX_PATTERN: Final = 16_384  # characters, as written
MAX_ALTERNATIVES: Final = 1_024  # plain patterns after braces are expanded
MAX_EXPANDED: Final = 131_072  # characters of all alternatives together

Plain = tuple[str, ...]
"""The segments of a pattern without braces. `**` is never followed by another, and no segment is empty."""

_TOKEN = re.compile(r"\[!?+\]?+[^\]]*+\]|[\[{},]|[^\[{},]+")
_SURROGATE = re.compile("[\ud800-\udfff]")


def relative(pattern: str) -> Iterator[Plain]:
    """Yields the plain patterns of a pattern within a context. Raises `InvalidPattern`."""
    for text in _expand(pattern):
        if text.startswith("/"):
            raise _invalid(pattern, "it begins with /; absolute patterns go to the store, and {,a}/b is {,a/}b here")
        yield _segments(text, pattern)


def absolute(pattern: str) -> Iterator[Plain]:
    """Yields the plain patterns of a pattern across contexts, without its leading `/`. Raises `InvalidPattern`."""
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
    """Returns the plain patterns that braces expand to. Uses a stack, not recursion, as users may nest deeply."""
    outer: list[tuple[list[str], list[str]]] = []
    done: list[str] = []  # the finished alternatives of the innermost open brace
    texts = [""]  # the alternative being read, expanded so far
    for token in _tokens(pattern):
        if token == "{":
            outer.append((done, texts))
            done = []
            texts = [""]
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
    """Yields braces, commas, complete classes, and the text between them."""
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
    """Drops empty alternatives, which name no path. Raises `InvalidPattern` if there is no other."""
    if not any(texts):
        raise _invalid(pattern, "it is empty; ** matches everything")
    return [text for text in texts if text]


def _invalid(pattern: str, problem: str) -> InvalidPattern:
    return InvalidPattern(f"{shown(pattern)} is not a pattern: {problem}")
