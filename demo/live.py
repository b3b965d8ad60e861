"""The live picture, drawn with `rich` from a board."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Self

from rich.console import Group, RenderableType
from rich.live import Live
from rich.panel import Panel
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from ccs.types import Change
from demo.board import Board, Worker, progress
from demo.names import cut

__all__ = ["LiveView", "picture"]

STYLES = {"killed": "red", "done": "green", "at work": "cyan"}
NEWS = 4


class LiveView:
    """Redraws one picture in place, and takes it away at the end."""

    def __init__(self) -> None:
        self._live = Live(auto_refresh=False, transient=True)
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self._live.stop()

    def draw(self, board: Board) -> None:
        """Show the board as it stands."""
        self._live.update(picture(board, time.monotonic() - self._started), refresh=True)


def picture(board: Board, seconds: float) -> RenderableType:
    """The whole picture."""
    return Group(
        Text(f"{seconds:5.1f} s  {progress(board)}", style="bold"),
        ProgressBar(total=max(1, board.listed or board.found), completed=board.done),
        _workers(board),
        Panel(_summary(board), title="the reporter's summary so far", title_align="left"),
        Panel(Group(*map(_change, board.latest)), title="the latest changes", title_align="left"),
        *(Text(news, style="yellow") for news in board.news[-NEWS:]),
    )


def _workers(board: Board) -> Table:
    table = Table(box=None, padding=(0, 2, 0, 0))
    for column in ("agent", "state", "files", "changes", "holds"):
        table.add_column(column, justify="right" if column in ("files", "changes") else "left")
    for _, worker in sorted(board.workers.items()):
        table.add_row(*_cells(worker, board.audit.agents[worker.name]))
    return table


def _cells(worker: Worker, changes: int) -> list[Text]:
    state = Text(worker.state, style=STYLES[worker.state])
    texts = (f"{worker.files:,}", f"{changes:,}", cut(worker.place or "", 60))
    return [Text(worker.name), state, *map(Text, texts)]


def _summary(board: Board) -> RenderableType:
    totals = board.totals
    counted = ("lines", "classes", "functions", "todos")
    first = ", ".join(f"{totals.get(name, 0):,} {name}" for name in counted)
    ranked = (f"{one['complexity']:4d}  {one['name']}  {cut(one['path'], 50)}" for one in board.complex)
    return Group(Text(f"{first}, {board.unparsed:,} files that do not parse"), *map(Text, ranked))


def _change(change: Change) -> Text:
    return Text.assemble((f"{change.op:7}", "magenta"), f"{change.agent:11}  ", cut(change.path, 80))
