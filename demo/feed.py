"""The demo's own eyes: a thread that watches the whole task from its first commit, and keeps the board."""

from __future__ import annotations

import threading

import ccs
from demo.board import Audit, Board
from demo.entries import EVERYTHING

__all__ = ["Feed", "replay"]


class Feed:
    """Keeps a board up to date until the task is finished. Look at the board only under the lock."""

    def __init__(self, task: ccs.Context) -> None:
        self.board = Board()
        self.lock = threading.Lock()
        self.error: BaseException | None = None
        self._task = task
        self._thread = threading.Thread(target=self._run, name="feed", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def join(self, timeout: float) -> None:
        """Until the watch has ended, as it does when the task is finished. `TimeoutError` if it does not in time."""
        self._thread.join(timeout)
        if self._thread.is_alive():
            raise TimeoutError(f"the watch of the demo has not ended {timeout:g} s after the task")

    def _run(self) -> None:
        try:
            with self._task.watch(*EVERYTHING, since=0) as changes:
                for change in changes:
                    with self.lock:
                        self.board.apply(change)
        except Exception as error:  # noqa: BLE001  the demo looks at it in its own thread
            self.error = error


def replay(task: ccs.Context, marks: list[int]) -> Audit:
    """The same account, taken from the journal afterwards: read between marks, so that a large one fits in memory."""
    audit = Audit()
    for since, until in zip([0, *marks], [*marks, None], strict=True):
        for change in task.history(*EVERYTHING, since=since, until=until):
            audit.add(change)
    return audit
