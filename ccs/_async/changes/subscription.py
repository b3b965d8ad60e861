"""A subscription: a callback fed by a watch in the background, in order, whatever it does."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from ccs._compat import AsyncCaller, AsyncGate, AsyncWorker, async_sleep
from ccs._core.retry import Patience
from ccs._core.times import Duration, seconds
from ccs._local import Local
from ccs._log import logger
from ccs._stats import Counters
from ccs.errors import CCSError, ContextGone, Unavailable
from ccs.types import Change, Event

__all__ = ["Callback", "ErrorCallback", "GoneCallback", "Subscription", "unheeded", "whole_of"]

# Seconds after an outage was told: a server that refuses us at once would do so again.
_REST = 0.5

Callback = Callable[[Change], object]
ErrorCallback = Callable[[Exception, Change | None], object]
GoneCallback = Callable[[str], object]
Told = Change | Event


def whole_of(told: Any) -> object:
    """What a callback is given, unless it asks for less: all of it."""
    return told


def unheeded(address: str) -> None:
    """An `on_gone` of callbacks that go on silently."""


class Source(Protocol):
    """What a subscription reads from: a watch."""

    async def start(self) -> None:
        """Goes live."""

    async def __anext__(self) -> Told:
        """The next change or event."""

    async def aclose(self) -> None:
        """Ends it."""

    def stop(self) -> None:
        """Lets `__anext__` end."""

    def end_when_idle(self) -> None:
        """Lets `__anext__` end once nothing waits."""

    async def left(self, patience: Patience) -> int:
        """How much was never handed out."""

    def begin_anew(self) -> None:
        """After `ContextGone`: goes on with what comes into being again."""


class Subscription(Local):
    """Calls back with each change or event of a watch, one after the other; an error of the callback stops nothing.

    It outlives its context: when that comes into being again, all of its new life is delivered.
    """

    def __init__(
        self,
        source: Callable[[], Source],
        callback: Callable[..., object],
        on_error: Callable[..., object] | None,
        stats: Counters,
        given: Callable[[Any], object] = whole_of,
        on_gone: Callable[[str], object] | None = None,
    ) -> None:
        self._source, self._callback, self._stats, self._given = source, AsyncCaller(callback), stats, given
        self._on_error = None if on_error is None else AsyncCaller(on_error)
        self._on_gone = None if on_gone is None else AsyncCaller(on_gone)
        self._name = getattr(callback, "__qualname__", repr(callback))
        # Cancelled by the user, for good; paused when the store was closed, until it is opened anew.
        self._cancelled = False
        self._prepare()

    def _prepare(self) -> None:
        self._watch = self._source()
        self._live, self._done = AsyncGate(), AsyncGate()
        self._worker: AsyncWorker | None = None
        self._stopped = self._paused = self._over = False
        self._failure: Exception | None = None

    def __repr__(self) -> str:
        return f"<Subscription {self._name} to {self._watch!r}, {self.state}>"

    @property
    def state(self) -> str:
        """`waiting` for the store to be entered, `starting`, `live`, `paused` while the store is closed, `ended` when its context was finished, `failed` or `cancelled`."""
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
        """Whether nothing will be called back any more, unless the store is entered again."""
        return self._stopped or self._over

    def cancel(self) -> None:
        """Ends the subscription after the callback that runs, if one does; also from within it."""
        self._cancelled = True
        self._stop()

    def _stop(self) -> None:
        self._stopped = True
        self._watch.stop()
        if self._worker is None:
            self._live.open()

    async def ready(self, timeout: Duration = 5.0) -> None:
        """Waits until it is live: what anybody commits from then on is delivered. `TimeoutError` after `timeout`."""
        if not await self._live.wait(seconds(timeout, "timeout")):
            raise TimeoutError(f"{self!r} is not live yet")
        if self._failure:
            raise self._failure

    async def settled(self, timeout: float) -> bool:
        """Waits until it is live or has failed; False if that took longer than `timeout` seconds."""
        return await self._live.wait(timeout)

    def start(self) -> None:
        """Begins in the background. For the inside: stores start their subscriptions."""
        if self._worker is None and not self._stopped:
            self._worker = AsyncWorker(f"ccs {self._name}", self._run)

    def begin_to_drain(self) -> None:
        """Has it pause when nothing waits any more. For the inside: stores do so when they are closed."""
        self._paused = self._paused or not self.is_over
        self._watch.end_when_idle()

    def pause(self) -> None:
        """Ends it, after the callback that runs, until its store is entered again. For the inside."""
        self._paused = self._paused or not self.is_over
        self._stop()

    def resume(self) -> bool:
        """Makes it ready to start again, from what is committed then; whether it may. For the inside."""
        if not self._cancelled and (self._paused or not self._over):
            self._prepare()
        return not self.is_over

    async def drained(self, timeout: float) -> None:
        """Waits until nothing waits any more, no longer than `timeout` seconds."""
        if self._worker and not self._worker.current():
            await self._done.wait(timeout)

    async def left(self, patience: Patience) -> int:
        """How many changes or events were never delivered. For the inside: stores ask, once it has been cancelled."""
        return await self._watch.left(patience) if self._worker else 0

    async def finished(self, timeout: float) -> None:
        """Waits for its end, no longer than `timeout` seconds."""
        if self._worker and not self._worker.current():
            await self._worker.finish(timeout)

    async def _run(self) -> None:
        # Its own: a callback may still run when the subscription is resumed.
        watch, live, done = self._watch, self._live, self._done
        try:
            await watch.start()
            live.open()
            while await self._deliver_next(watch):
                pass
        except Exception as error:  # noqa: BLE001  # whatever it is, it reaches on_error and ready()
            if self._has_let_go(watch):
                return
            # First of all nobody waits for it any more: what it is reported to may use the store.
            self._failure = error
            live.open()
            await self._report(error, None)
        except BaseException:
            if not self._has_let_go(watch):
                logger.warning("subscription %s was ended from outside, with its task", self._name)
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
            told = await watch.__anext__()
        except StopAsyncIteration:
            return False
        except Unavailable as error:
            await self._report(error, None)
            await async_sleep(_REST)
            return True
        except ContextGone as error:
            watch.begin_anew()
            await self._tell_gone(error)
            return True
        try:
            await self._callback(self._given(told))
        except Exception as error:  # noqa: BLE001  # whatever a callback raises, it stops nothing
            self._stats.add("callback_errors")
            await self._report(error, told)
        return True

    async def _tell_gone(self, error: ContextGone) -> None:
        if self._on_gone is None:
            logger.warning("subscription %s goes on with what comes into being again: %s", self._name, error)
            return
        try:
            await self._on_gone(error.address)
        except Exception:  # noqa: BLE001  # as for a callback
            self._stats.add("callback_errors")
            logger.exception("on_gone of %s failed", self._name)

    async def _report(self, error: Exception, told: Told | None) -> None:
        if isinstance(error, CCSError) and told is None:
            logger.error("subscription %s: %s", self._name, error)
        else:
            where = told.topic if isinstance(told, Event) else told and told.path
            logger.error("callback %s failed on %s", self._name, where, exc_info=error)
        if self._on_error is None:
            return
        try:
            await self._on_error(error, told)
        except Exception:  # noqa: BLE001  # as for a callback
            logger.exception("on_error of %s failed itself", self._name)
