"""What a check has found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

__all__ = ["Finding", "Level"]

Level = Literal["fine", "note", "wrong"]


@dataclass(frozen=True, slots=True)
class Finding:
    """One finding: what was looked at, how it is, and what to do. Only what is `wrong` makes the exit code other than 0."""

    check: str
    level: Level
    text: str
    advice: str = ""
