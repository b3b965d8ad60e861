"""What the terminal shows while the swarm works: lines where it is not a terminal, else a live picture."""

from __future__ import annotations

import sys
import time
from importlib.util import find_spec
from types import TracebackType
from typing import Protocol, Self

from demo.board import Board, progress

__all__ = ["PlainView", "View", "choose_view"]

LINE_EVERY = 1.0


class View(Protocol):
    """Shows boards, from entering to leaving."""

    def __enter__(self) -> object: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None: ...

    def draw(self, board: Board) -> None:
        """Show the board as it stands; called several times a second."""


def choose_view(*, plain: bool) -> View:
    """Lines if they are asked for, if the output is no terminal or if `rich` is not installed; else the live view."""
    if plain or not sys.stdout.isatty() or find_spec("rich") is None:
        return PlainView()
    from demo.live import LiveView  # noqa: PLC0415  needs the extra `demo`

    return LiveView()


class PlainView:
    """A line a second, and one for each piece of news."""

    def __init__(self) -> None:
        self.started = time.monotonic()
        self._told_at = self.started
        self._news = 0
        self._done = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        pass

    def draw(self, board: Board) -> None:
        """Print what is new."""
        for news in board.news[self._news :]:
            self._print(news)
        self._news = len(board.news)
        if self._is_due(board):
            self._print(progress(board))
            self._told_at = time.monotonic()
            self._done = board.done

    def _is_due(self, board: Board) -> bool:
        return board.done != self._done and (board.reported or time.monotonic() - self._told_at >= LINE_EVERY)

    def _print(self, text: str) -> None:
        print(f"{time.monotonic() - self.started:6.1f} s  {text}", flush=True)
