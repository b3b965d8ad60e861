"""Workers: what runs one function in the background, a thread or a task."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any

__all__ = ["AsyncWorker", "Worker"]


class Worker:
    """A thread that runs one function to its end."""

    def __init__(self, name: str, fn: Callable[[], object]) -> None:
        self._thread = threading.Thread(target=fn, name=name, daemon=True)
        self._thread.start()

    def current(self) -> bool:
        """Returns whether the caller runs in this thread."""
        return threading.current_thread() is self._thread

    def finish(self, timeout: float) -> None:
        """Waits for the thread's end, at most `timeout` seconds."""
        self._thread.join(timeout)


class AsyncWorker:
    """A task that runs one coroutine function to its end."""

    def __init__(self, name: str, fn: Callable[[], Coroutine[Any, Any, object]]) -> None:
        self._task = asyncio.get_running_loop().create_task(fn(), name=name)

    def current(self) -> bool:
        """Returns whether the caller runs in this task."""
        return asyncio.current_task() is self._task

    async def finish(self, timeout: float) -> None:
        """Waits for the task's end, and cancels it after `timeout` seconds. What the task raised is not raised here."""
        await asyncio.wait([self._task], timeout=timeout)
        self._task.cancel()
        await asyncio.wait([self._task])
