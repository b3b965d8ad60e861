# Generated from ccs/_async/last_call.py by scripts/twin. Do not edit.
"""What runs beside all else, and is waited for only when its store is closed."""

from __future__ import annotations

import time
from collections.abc import Callable

from ccs._compat import Gate, Worker

__all__ = ["LastCall"]


class LastCall:
    """One function that runs in a task, or a thread, of its own. `over` is opened for it when its end is waited for.

    It stands in `calls` from before its begin until its end, so whoever goes through them meets all that have begun.
    """

    def __init__(
        self,
        calls: dict[LastCall, None],
        name: str,
        fn: Callable[[], object],
        over: Gate | None = None,
    ) -> None:
        self._calls = calls
        self._over = over
        self._fn = fn
        self._begun = Gate()
        calls[self] = None
        try:
            self._worker = Worker(name, self._run)
        except BaseException:  # no thread can be started
            del calls[self]
            raise
        self._begun.open()

    def finished(self, timeout: float) -> None:
        """Waits for its end, for at most `timeout` seconds. Does not wait for its own."""
        end = time.monotonic() + timeout
        if self._over:
            self._over.open()
        # Another thread may still be starting it.
        if self._begun.wait(timeout) and not self._worker.current():
            self._worker.finish(max(0.0, end - time.monotonic()))

    def _run(self) -> None:
        try:
            self._fn()
        finally:
            self._calls.pop(self, None)
