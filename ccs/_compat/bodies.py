"""The body of a with block that its object may cancel: with asyncio, where the body runs in a task."""

from __future__ import annotations

import asyncio

from ccs.errors import InvalidValue, Misuse

__all__ = ["AsyncBody", "Body"]


class Body:
    """A body that runs in a thread, which nothing can stop."""

    def __init__(self, cancels: bool) -> None:
        if cancels:
            raise InvalidValue("cancel=True needs ccs.aio: nothing can stop a thread; use on_lost, or look at `lost`")

    @property
    def cancels(self) -> bool:
        """Whether it may be cancelled: never."""
        return False

    def enter(self) -> None:
        """Begins."""

    def cancel(self) -> None:
        """Cancels it, if that is possible."""

    def leave(self, error: object) -> bool:
        """Ends. Returns whether `error` is the cancellation that was asked for here: never."""
        return False


class AsyncBody:
    """A body that runs in one task. If it `cancels`, `cancel` ends it by a cancellation, which `leave` recognises."""

    def __init__(self, cancels: bool) -> None:
        self.cancels = cancels
        self._task: asyncio.Task[object] | None = None
        self._before = 0
        self._cancelled = False

    def enter(self) -> None:
        """Begins in the present task."""
        task = asyncio.current_task() if self.cancels else None
        self._task = task
        self._before = task.cancelling() if task else 0

    def cancel(self) -> None:
        """Cancels the task soon, if the body has begun and has not ended by then."""
        if self._task:
            # Never at once: a task that cancels itself could leave the body before it notices.
            self._task.get_loop().call_soon(self._cancel)

    def _cancel(self) -> None:
        if self._task and not self._cancelled:
            self._cancelled = True
            self._task.cancel()

    def leave(self, error: object) -> bool:
        """Ends. Returns whether `error` is the cancellation that was asked for here, and no other was asked for.

        Raises `Misuse` in another task than the one that entered.
        """
        task = self._task
        self._task = None
        if not task:
            return False
        cancelled = self._cancelled and task.uncancel() <= self._before
        self._cancelled = False
        if asyncio.current_task() is not task:
            raise Misuse(
                "a block with cancel=True was left in another task than the one that entered it, so the claim was released:"
                " enter and leave it in one task, or use on_lost() and no cancel="
            )
        return cancelled and isinstance(error, asyncio.CancelledError)
