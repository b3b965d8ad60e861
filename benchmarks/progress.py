"""What is said while it runs, on standard error: lines; on a terminal, one that changes."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from types import TracebackType
from typing import Protocol, Self

__all__ = ["PlainProgress", "Progress", "choose_progress"]


class Progress(Protocol):
    """Tells what goes on, from entering to leaving."""

    def __enter__(self) -> Self: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...

    def begin(self, measure: str) -> None:
        """A measure begins."""

    def step(self, text: str) -> None:
        """Something that takes a second or more begins."""

    def detail(self, text: str) -> None:
        """Something shorter begins."""


def choose_progress(*, plain: bool) -> Progress:
    """Lines if they are asked for, if there is no terminal or if `rich` is not installed; else one that changes."""
    if plain or not sys.stderr.isatty() or find_spec("rich") is None:
        return PlainProgress()
    from benchmarks.live import LiveProgress  # noqa: PLC0415  needs the extra `bench`

    return LiveProgress()


class PlainProgress:
    """A line for each step."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._measure = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    def begin(self, measure: str) -> None:
        """Its name stands before its steps."""
        self._measure = measure

    def step(self, text: str) -> None:
        """Print it."""
        seconds = time.monotonic() - self._started
        print(f"{seconds:6.1f} s  {self._measure}: {text}", file=sys.stderr, flush=True)

    def detail(self, text: str) -> None:
        """Too short for a line."""
