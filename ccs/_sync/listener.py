"""The background listener, blocking: the asyncio one, in a thread with a loop of its own.

Written by hand. What it delivers goes into mailboxes, which are made for that; what it is asked comes back at once.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError
from contextlib import suppress
from typing import Any, TypeVar

from ccs._core.journal import JournalPage
from ccs._core.mailbox import Mailbox
from ccs._core.target import Target
from ccs._stats import Counters
from ccs.aio.listener import Listener as AsyncListener
from ccs.aio.listener import Overhearing
from ccs.errors import StoreClosed

__all__ = ["Listener", "Overhearing"]

T = TypeVar("T")


class Listener:
    """Hears the commits of all contexts that somebody of this store watches, and keeps their appointments."""

    def __init__(self, target: Target, timeout: float, namespace: str, retry_for: float, stats: Counters) -> None:
        self._settings = target, timeout, namespace, retry_for, stats
        self._listener: AsyncListener
        self._loop: asyncio.AbstractEventLoop
        self._end: asyncio.Event
        self._ready = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._main()), name="ccs listener", daemon=True)

    def __repr__(self) -> str:
        return repr(self._listener) if self._ready.is_set() else "<Listener, not started>"

    def open(self) -> None:
        """Starts the thread."""
        self._thread.start()
        self._ready.wait()

    def close(self) -> None:
        """Ends the thread, within a second."""
        if self._ready.is_set() and self._thread.is_alive():
            self._tell(self._end.set)
            self._thread.join(1.0)

    def join(self, address: str, mailbox: Mailbox) -> None:
        """Adds a watch to a context: when this returns, whatever is committed from then on reaches the mailbox."""
        self._do(self._listener.join(address, mailbox))

    def leave(self, address: str, mailbox: Mailbox) -> None:
        """Removes a watch."""
        with suppress(StoreClosed):
            self._do(self._listener.leave(address, mailbox))

    def overhear(self, watch: Overhearing) -> None:
        """Adds a watch of the whole store: live when this returns."""
        self._do(self._listener.overhear(watch))

    def ignore(self, watch: Overhearing) -> None:
        """Removes a watch of the whole store."""
        with suppress(StoreClosed):
            self._do(self._listener.ignore(watch))

    def anchor(self, address: str, page: JournalPage) -> None:
        """A look at the journal after joining: where the context stands, and its deadlines."""
        self._tell(self._listener.anchor, address, page)

    def expect(self, address: str, seconds: float) -> None:
        """An entry will be due in so many seconds: sweeps then, so that its end becomes a commit."""
        self._tell(self._listener.expect, address, seconds)

    def check_soon(self, address: str, seconds: float) -> None:
        """Looks at a context then, whether it still exists."""
        self._tell(self._listener.check_soon, address, seconds)

    async def _main(self) -> None:
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self._listener = AsyncListener(*self._settings)
        self._ready.set()
        await self._end.wait()
        await self._listener.aclose()

    def _tell(self, fn: Callable[..., object], *args: object) -> None:
        # Once the loop has ended, nobody is left to whom it would matter.
        with suppress(RuntimeError):
            self._loop.call_soon_threadsafe(fn, *args)

    def _do(self, coroutine: Coroutine[Any, Any, T]) -> T:
        # Another thread may close the store at any moment: the loop ends before this, in it, or without looking at it.
        target, _, _, retry_for, _ = self._settings
        closed = StoreClosed(f"the store at {target.address} was closed; connect anew")
        try:
            doing = asyncio.run_coroutine_threadsafe(coroutine, self._loop)
        except RuntimeError as error:
            coroutine.close()
            raise closed from error
        try:
            return doing.result(retry_for + 5.0)
        except (CancelledError, TimeoutError) as error:
            doing.cancel()
            raise closed from error
        except BaseException:
            # Interrupted: what was begun for us is taken back.
            doing.cancel()
            raise
