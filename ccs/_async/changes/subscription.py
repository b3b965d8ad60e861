"""A subscription: a callback that gets the changes of a watch, one after the other, in the background.

`Subscription` is what users hold; `CallbackWorker` does the work, and is what a store starts, pauses and ends.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ccs._compat import AsyncCaller, AsyncGate, AsyncWorker, async_sleep
from ccs._core.quoted_values import shown
from ccs._core.retry import Patience
from ccs._core.times import Duration, seconds
from ccs._log import logger
from ccs._not_copyable import Local
from ccs._stats import Counters
from ccs.errors import CCSError, ContextGone, Unavailable
from ccs.types import Change, Event

__all__ = [
    "Callback",
    "CallbackWorker",
    "Cell",
    "ErrorCallback",
    "GoneCallback",
    "Subscription",
    "cell_of",
    "ignored",
    "unchanged",
]

# Seconds before the next try after an outage: a server that refuses at once would do so again.
_REST = 0.5

Callback = Callable[[Change], object]
ErrorCallback = Callable[[Exception, Change | None], object]
GoneCallback = Callable[[str], object]
Item = Change | Event
Cell = tuple[object, ...]
"""What a decorated function of `__main__` and its successor have in common, when a cell of a notebook is run again."""


def unchanged(item: Any) -> object:
    """Returns the change or event itself: the default argument of a callback."""
    return item


def ignored(address: str) -> None:
    """Does nothing: the `on_gone` of callbacks that need not know."""


def cell_of(callback: Callable[..., object], *where: object) -> Cell | None:
    """Returns what marks a function that is decorated at a place; None unless it is a named one of `__main__` itself.

    The method of an object is not: another object of its class has a method of the same name, and wants its calls too.
    """
    name = getattr(callback, "__qualname__", "<")
    named = getattr(callback, "__module__", None) == "__main__" and "<" not in name
    return (name, *where) if named and isinstance(getattr(callback, "__self__", None), type | None) else None


class Source(Protocol):
    """The watch that a subscription reads."""

    async def start(self) -> None:
        """Goes live."""

    async def __anext__(self) -> Item:
        """Returns the next change or event."""

    async def aclose(self) -> None:
        """Closes the watch."""

    def stop(self) -> None:
        """Ends `__anext__`, wherever it waits."""

    def end_when_idle(self) -> None:
        """Ends `__anext__` once no change is left to deliver."""

    async def undelivered(self, patience: Patience) -> int:
        """Returns how many changes or events were never handed out."""

    def begin_again(self) -> None:
        """After `ContextGone`: goes on with the context that is created at this address next."""


class CallbackWorker(Local):
    """Calls back with each change or event of a watch, in order, also after a call that raised.

    It outlives its context: if that is created again, it is delivered from its beginning.
    """

    def __init__(
        self,
        source: Callable[[], Source],
        callback: Callable[..., object],
        on_error: Callable[..., object] | None,
        stats: Counters,
        argument_of: Callable[[Any], object] = unchanged,
        on_gone: Callable[[str], object] | None = None,
        cell: Cell | None = None,
    ) -> None:
        self.cell = cell
        self._source = source
        self._callback = AsyncCaller(callback)
        self._argument_of = argument_of
        self._stats = stats
        self._on_error = None if on_error is None else AsyncCaller(on_error)
        self._on_gone = None if on_gone is None else AsyncCaller(on_gone)
        self._name = getattr(callback, "__qualname__", shown(callback))
        # Cancelled by the user, for good. `_paused` lasts from the closing of the store until it is opened again.
        self._cancelled = False
        self._prepare()

    def _prepare(self) -> None:
        self._watch = self._source()
        self._live = AsyncGate()
        self._done = AsyncGate()
        self._worker: AsyncWorker | None = None
        self._stopped = self._paused = self._over = False
        self._failure: Exception | None = None

    def __repr__(self) -> str:
        return f"<Subscription {self._name} to {self._watch!r}, {self.state}>"

    @property
    def state(self) -> str:
        """As `Subscription.state`."""
        if self._cancelled or self._failure:
            return "cancelled" if self._cancelled else "failed"
        if self._paused or self._over:
            return "paused" if self._paused else "ended"
        return "live" if self.is_settled else "starting" if self._worker else "waiting"

    @property
    def is_settled(self) -> bool:
        """Whether it is live, or never will be."""
        return self._live.is_open

    @property
    def is_over(self) -> bool:
        """Whether the callback will not be called again, unless the store is entered again."""
        return self._stopped or self._over

    def cancel(self) -> None:
        """Ends it for good, after the callback that is running, if any."""
        self._cancelled = True
        self._stop()

    def _stop(self) -> None:
        self._stopped = True
        self._watch.stop()
        if self._worker is None:
            self._live.open()

    async def ready(self, timeout: float) -> None:
        """Waits until it is live, for at most `timeout` seconds. If it has failed, raises that error."""
        if not await self._live.wait(timeout):
            raise TimeoutError(f"{self!r} is not live yet")
        if self._failure:
            raise self._failure

    async def settled(self, timeout: float) -> bool:
        """Waits until it is live or has failed. Returns False if that took longer than `timeout` seconds."""
        return await self._live.wait(timeout)

    def start(self) -> None:
        """Starts in the background."""
        if self._worker is None and not self._stopped:
            self._worker = AsyncWorker(f"ccs {self._name}", self._run)

    def begin_to_drain(self) -> None:
        """Pauses it once it has delivered all that was committed by now: the store is closing."""
        self._paused = self._paused or not self.is_over
        self._watch.end_when_idle()

    def pause(self) -> None:
        """Ends it, after the callback that is running, until its store is entered again."""
        self._paused = self._paused or not self.is_over
        self._stop()

    def resume(self) -> bool:
        """Prepares it to start again, from the commits made then. Returns whether it can be started."""
        if not self._cancelled and (self._paused or not self._over):
            self._prepare()
        return not self.is_over

    async def drained(self, timeout: float) -> None:
        """Waits until no change is left to deliver, for at most `timeout` seconds."""
        if self._worker and not self._worker.current():
            await self._done.wait(timeout)

    async def undelivered(self, patience: Patience) -> int:
        """Returns how many changes or events were never delivered: the store has closed."""
        return await self._watch.undelivered(patience) if self._worker else 0

    async def finished(self, timeout: float) -> None:
        """Waits for its end, for at most `timeout` seconds."""
        if self._worker and not self._worker.current():
            await self._worker.finish(timeout)

    async def _run(self) -> None:
        # Those of this run: when the subscription is resumed, a callback of this run may still be running.
        watch = self._watch
        live = self._live
        done = self._done
        try:
            await watch.start()
            live.open()
            while await self._deliver_next(watch):
                pass
        except Exception as error:  # noqa: BLE001  # every error reaches on_error and ready()
            if self._has_let_go(watch):
                return
            # Callers of ready() are woken first: on_error may use the store.
            self._failure = error
            live.open()
            await self._report(error, None)
        except BaseException:
            if not self._has_let_go(watch):
                logger.warning("subscription %s was ended with its task", self._name)
            raise
        finally:
            self._over = self._over or watch is self._watch
            live.open()
            done.open()
            await watch.aclose()

    def _has_let_go(self, watch: Source) -> bool:
        return self._stopped or watch is not self._watch

    async def _deliver_next(self, watch: Source) -> bool:
        try:
            item = await watch.__anext__()
        except StopAsyncIteration:
            return False
        except Unavailable as error:
            await self._report(error, None)
            await async_sleep(_REST)
            return True
        except ContextGone as error:
            watch.begin_again()
            await self._report_gone(error)
            return True
        await self._call(item)
        return True

    async def _call(self, item: Item) -> None:
        try:
            await self._callback(self._argument_of(item))
        except Exception as error:  # noqa: BLE001  # an error of the callback must not stop the subscription
            self._stats.add("callback_errors")
            await self._report(error, item)

    async def _report_gone(self, error: ContextGone) -> None:
        if self._on_gone is None:
            logger.warning("subscription %s goes on if the context is created again: %s", self._name, error)
            return
        try:
            await self._on_gone(error.address)
        except Exception:  # noqa: BLE001  # as for a callback
            self._stats.add("callback_errors")
            logger.exception("on_gone of %s failed", self._name)

    async def _report(self, error: Exception, item: Item | None) -> None:
        if isinstance(error, CCSError) and item is None:
            logger.error("subscription %s: %s", self._name, error)
        else:
            name = item.topic if isinstance(item, Event) else item and item.path
            logger.error("callback %s failed on %s", self._name, name, exc_info=error)
        if self._on_error is None:
            return
        try:
            await self._on_error(error, item)
        except Exception:  # noqa: BLE001  # as for a callback
            logger.exception("on_error of %s failed itself", self._name)


class Subscription(Local):
    """Calls back with each change or event of a watch, in order, also after a call that raised.

    It outlives its context: if that is created again, it is delivered from its beginning.
    """

    def __init__(self, worker: CallbackWorker) -> None:
        self._worker = worker

    def __repr__(self) -> str:
        return repr(self._worker)

    @property
    def state(self) -> str:
        """`waiting` (for the store to be entered), `starting`, `live`, `paused` (the store is closed), `ended` (the context was finished), `failed` or `cancelled`."""
        return self._worker.state

    def cancel(self) -> None:
        """Ends the subscription, after the callback that is running, if any. A callback may call it."""
        self._worker.cancel()

    async def ready(self, timeout: Duration = 5.0) -> None:
        """Waits until it is live: every later commit is delivered. Raises `TimeoutError` after `timeout` seconds.

        If the subscription has failed, it raises that error.
        """
        await self._worker.ready(seconds(timeout, "timeout"))
