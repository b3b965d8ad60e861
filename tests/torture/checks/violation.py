"""What a check reports."""

from __future__ import annotations

from typing import Any, NamedTuple

__all__ = ["Violation"]


class Violation(NamedTuple):
    """A promise that was broken: which, what happened, and what shows it."""

    rule: str
    text: str
    evidence: tuple[Any, ...] = ()
