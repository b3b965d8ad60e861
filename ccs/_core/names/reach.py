"""What a view of a context reaches: the paths that it shows, and those that may be written through it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from ccs._core.names.pattern import Matcher, compile_patterns
from ccs._core.names.pattern_braces import Plain, relative
from ccs._core.names.wildcards import is_literal, literal_start, segment_matches

__all__ = ["Reach", "narrowed"]


@dataclass(frozen=True, slots=True)
class _Layer:
    """What one view shows, and lets be written."""

    shown: tuple[str, ...]
    reads: Matcher
    writes: Matcher | None

    def covers(self, pattern: str) -> bool:
        """Returns whether it certainly shows all that matches a pattern of one alternative."""
        if pattern in self.shown:
            return True
        start, literal = literal_start(pattern)
        if literal:
            return self.reads.matches(start)
        above = tuple(start.split("/")[:-1])
        return any(_holds_all_below(plain, above) for text in self.shown for plain in relative(text))


@dataclass(frozen=True, slots=True)
class Reach:
    """What a view of a view (and so on) reaches: what each of them does."""

    layers: tuple[_Layer, ...]

    def shows(self, path: str) -> bool:
        """Returns whether the path, or the topic of an event, is shown."""
        return all(layer.reads.matches(path) for layer in self.layers)

    def writes(self, path: str) -> bool:
        """Returns whether the path, or the topic of an event, may be written."""
        return all(layer.writes is not None and layer.writes.matches(path) for layer in self.layers)

    @property
    def shown(self) -> tuple[tuple[str, ...], ...]:
        """The patterns of what is shown, of each view: those of equal patterns show the same."""
        return tuple(layer.shown for layer in self.layers)

    def covers(self, pattern: str) -> bool:
        """Returns whether all that matches a pattern of one alternative is shown, as far as that is plain to see."""
        return all(layer.covers(pattern) for layer in self.layers)


# What the owner of a root keeps beside it: tickets of those that wait for a claim, runs of once, ids of episodes.
_BESIDE = {"@claims": "@waiting", "@once": "@runs", "@episodes": "@episode-ids"}
_EMBEDDED = ("@semantic", "@episodes", "@procedures")
_DIMENSION = "@embeddings"


def narrowed(reach: Reach | None, read: Sequence[str], write: Sequence[str]) -> Reach:
    """Returns what is left of a reach (None: everything) behind one more view. Raises `InvalidPattern`."""
    written = _plain_texts(write)
    writes = compile_patterns(written) if written else None
    shown = _plain_texts(read)
    # Without a pattern, a matcher would match everything.
    reads = compile_patterns(shown) if shown else Matcher(())
    return Reach((*(reach.layers if reach else ()), _Layer(shown, reads, writes)))


def _plain_texts(patterns: Sequence[str]) -> tuple[str, ...]:
    """Returns patterns without braces, and with them those of what is kept beside the roots that they name."""
    texts: list[str] = []
    for pattern in patterns:
        for root, *rest in relative(pattern):
            texts.append("/".join((root, *rest)))
            if root in _BESIDE:
                texts += ["/".join((_BESIDE[root], *rest)), "/".join((_BESIDE[root], *rest, "**"))]
            if root == "@claims":
                texts.append("/".join((root, *rest, "%slots", "**")))
            if root in _EMBEDDED:
                texts.append(_DIMENSION)
    return tuple(texts)


def _holds_all_below(plain: Plain, above: Plain) -> bool:
    *start, last = plain
    if last != "**" or "**" in start or len(start) > len(above):
        return False
    if above and above[0].startswith("@") and not (start and is_literal(start[0])):
        return False
    return all(segment_matches(segment, name) for segment, name in zip(start, above, strict=False))
