"""Progress on a terminal, drawn with `rich`."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Console
from rich.status import Status

__all__ = ["LiveProgress"]


class LiveProgress:
    """One line that says what is measured right now."""

    def __init__(self) -> None:
        self._status = Status("", console=Console(stderr=True))
        self._started = time.monotonic()
        self._measure = self._step = ""

    def __enter__(self) -> Self:
        self._status.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._status.stop()

    def begin(self, measure: str) -> None:
        """Its name stands before what it does."""
        self._measure = measure
        self._step = ""

    def step(self, text: str) -> None:
        """Show it."""
        self._step = text
        self.detail("")

    def detail(self, text: str) -> None:
        """Show it behind the step."""
        seconds = time.monotonic() - self._started
        self._status.update(f"{seconds:5.0f} s  [bold]{self._measure}[/bold]  {self._step}  [dim]{text}[/dim]")
