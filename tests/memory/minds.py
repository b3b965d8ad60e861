"""Embedders for the tests, and the results that a search must have, by brute force in plain Python."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pytest

DIMENSION = 8


def embed(texts: list[str]) -> list[list[float]]:
    """Returns vectors that are the same in all processes; those of two texts are unrelated."""
    return [vector_of(text) for text in texts]


def newer(texts: list[str]) -> list[list[float]]:
    """The embedder of another model, with vectors of three numbers."""
    return [vector_of(f"newer {text}")[:3] for text in texts]


def vector_of(text: str) -> list[float]:
    digest = hashlib.sha256(text.encode()).digest()
    return [byte - 127.5 for byte in digest[:DIMENSION]]


def cosine(one: Sequence[float], other: Sequence[float]) -> float:
    product = math.fsum(a * b for a, b in zip(one, other, strict=True))
    return product / math.hypot(*one) / math.hypot(*other)


def ranking(query: Sequence[float], vectors: Mapping[str, Sequence[float]]) -> list[tuple[str, float]]:
    """Every id with its score, the best first, equal ones in order of their ids."""
    scored = [(name, round(cosine(query, vector), 12)) for name, vector in vectors.items()]
    return sorted(scored, key=lambda each: (-each[1], each[0]))


def check_found(matches: Iterable[Any], expected: Sequence[tuple[str, float]]) -> None:
    """Holds what a search found against a ranking; vectors are kept in float32."""
    found = [(match.id, match.score) for match in matches]
    assert [name for name, _ in found] == [name for name, _ in expected]
    assert [score for _, score in found] == pytest.approx([score for _, score in expected], abs=3e-7)


def contents(matches: Iterable[Any]) -> list[str]:
    return [match.content for match in matches]
