"""The commit dispatcher of a store, blocking: the asyncio one, in a thread with an event loop of its own.

Written by hand. It delivers into mailboxes, which are safe to share between threads.

A thread that waits for the loop shares only gates with it. What `threading` and `concurrent.futures` offer is written in
Python, with locks: a signal handler on top of a wait could leave one taken, and then wait for the loop, which waits for it.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, Generic, TypeVar

from ccs._async.background.commit_dispatcher import CommitDispatcher as AsyncDispatcher
from ccs._async.background.commit_dispatcher import Observer, OtherConnections
from ccs._async.transport.sockets import Socket
from ccs._compat import Gate, interrupter_refused, refuse_interrupter
from ccs._core.changes.watch_mailbox import Mailbox
from ccs._core.commits.journal import JournalPage
from ccs._core.names.target import Target
from ccs._core.recipes.held_entries import Holdings
from ccs._core.recipes.lease import Lease
from ccs._stats import Counters
from ccs._sync.transport.connection import LEADS, LeadingSignal, LedConnection, OnLost, OnReply
from ccs.errors import Misuse, StoreClosed, Unavailable

__all__ = ["CommitDispatcher", "Observer"]

T = TypeVar("T")

# Seconds after which a caller that waits for the loop checks whether it still runs.
_LOOK = 1.0


class CommitDispatcher:
    """Receives the commits of all contexts that are watched in this store, and makes their scheduled calls."""

    def __init__(
        self,
        target: Target,
        timeout: float,
        namespace: str,
        retry_for: float,
        stats: Counters,
        commands: OtherConnections,
    ) -> None:
        self._settings = target, timeout, namespace, retry_for, stats, commands
        self.holdings = Holdings()
        self._dispatcher: AsyncDispatcher
        self._loop: asyncio.AbstractEventLoop
        self._end: asyncio.Event
        self._connection: LedConnection | None = None
        # Opened once the thread either serves or has failed to.
        self._begun = Gate()
        self._is_ready = False
        self._failure: BaseException | None = None
        self._closing = False
        self._farewells: set[asyncio.Future[None]] = set()
        self._thread: threading.Thread | None = None

    def __repr__(self) -> str:
        return repr(self._dispatcher) if self._is_ready else "<CommitDispatcher, not started>"

    def open(self) -> None:
        """Starts the thread. Raises `Unavailable` if it cannot serve, for want of file descriptors for example.

        Raises `Misuse` in a handler that interrupts this: a thread can be started only once.
        """
        refuse_interrupter(self.open)
        if (
            self._thread is None
        ):  # not earlier: since Python 3.13 a thread made before a fork cannot be started after it
            self._thread = threading.Thread(target=self._run, name="ccs dispatcher", daemon=True)
        if self._thread.ident is None:  # else an earlier call was interrupted here
            self._thread.start()
        self._begun.wait(None)
        if not self._is_ready:
            failure = self._failure
            self._thread, self._begun, self._failure = None, Gate(), None
            raise Unavailable(self._settings[0].address, reason=str(failure)) from failure

    def close(self) -> None:
        """Ends the thread, within a second."""
        if self._is_ready and self._thread and self._thread.is_alive():
            self._closing = True
            with suppress(RuntimeError):  # closed meanwhile by another thread
                self._loop.call_soon_threadsafe(self._end.set)
            self._thread.join(1.0)

    def signal(self) -> LeadingSignal:
        """Returns a signal for a consumer that this dispatcher wakes. While it waits, it reads for all."""
        return LeadingSignal(lambda: self._connection)

    def join(self, address: str, mailbox: Mailbox) -> None:
        """Adds a watch of a context. When this returns, the mailbox gets every commit from then on."""
        self._do(self._dispatcher.join, address, mailbox)

    def leave(self, address: str, mailbox: Mailbox) -> None:
        """Removes a watch."""
        self._part(self._dispatcher.leave, address, mailbox)

    def add_observer(self, watch: Observer) -> None:
        """Adds a watch of the whole store, which is live when this returns."""
        self._do(self._dispatcher.add_observer, watch)

    def remove_observer(self, watch: Observer) -> None:
        """Removes a watch of the whole store."""
        self._part(self._dispatcher.remove_observer, watch)

    def follow(self, watch: Observer, addresses: Iterable[str], seconds: float | None = None) -> None:
        """Has a watch of the whole store get every commit of these contexts from now on.

        Raises `Unavailable` if that is not so after so many seconds.
        """
        if not self._dispatcher.covers_all:
            self._do(self._dispatcher.follow, watch, addresses, seconds)

    def unfollow(self, watch: Observer, address: str) -> None:
        """Ends `follow` for a context that is gone."""
        self._call_soon(self._dispatcher.unfollow, watch, address)

    def anchor(self, address: str, page: JournalPage) -> None:
        """Takes a page of the journal, read after `join`: the revision of the context, and its deadlines."""
        self._call_soon(self._dispatcher.anchor, address, page)

    def expect(self, address: str, seconds: float) -> None:
        """Sweeps in so many seconds, when an entry will be due, so that its end becomes a commit."""
        self._call_soon(self._dispatcher.expect, address, seconds)

    def check_soon(self, address: str, seconds: float) -> None:
        """Checks in so many seconds whether a context still exists."""
        self._call_soon(self._dispatcher.check_soon, address, seconds)

    def hold(self, address: str, lease: Lease) -> None:
        """Renews a lease from now on, together with all others of its context, until it is lost or released."""
        self._dispatcher.register(address, lease)
        if not self._dispatcher.keeps(address, lease):
            self._call_soon(self._dispatcher.attend, address, lease)

    def tidy(self) -> None:
        """Gives back from now on, as long as something is held, what forgotten objects hold."""
        self._dispatcher.tidy()

    def tell_loss(self, lease: Lease) -> None:
        """Has a lease know at its deadline that it was lost, also if no server answers."""
        self._dispatcher.tell_loss(lease)

    def let_go(self, address: str, lease: Lease) -> None:
        """Stops renewing a lease."""
        if self._is_ready:  # else it is a lease of an earlier opening
            self._dispatcher.let_go(address, lease)

    def end_leases(self) -> None:
        """Ends all leases: their holders no longer rely on them."""
        if self._is_ready:
            self._dispatcher.end_leases()

    def _run(self) -> None:
        main = self._main()
        try:
            asyncio.run(main)
        except BaseException as error:
            main.close()
            if self._is_ready:
                raise
            self._failure = error
        finally:
            self._begun.open()

    async def _main(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._end = asyncio.Event()
        self._dispatcher = AsyncDispatcher(
            *self._settings, self._call_soon, self._led if LEADS else None, self.holdings
        )
        await self._dispatcher.open()
        self._is_ready = True
        self._begun.open()
        await self._end.wait()
        await self._dispatcher.aclose()
        self._connection = None

    def _led(self, transport: Socket, on_reply: OnReply, on_lost: OnLost) -> LedConnection:
        self._connection = LedConnection(transport, on_reply, on_lost, self._call_soon)
        return self._connection

    def _call_soon(self, fn: Callable[..., object], *args: object) -> None:
        if self._runs():  # else closed, or in a forked child
            with suppress(RuntimeError):  # closed meanwhile
                self._loop.call_soon_threadsafe(fn, *args)

    def _part(self, leave: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
        try:
            self._do(leave, *args)
        except StoreClosed:
            pass
        except Misuse:
            # The caller does not have to wait for that.
            self._call_soon(self._begin, leave, *args)

    def _begin(self, leave: Callable[..., Coroutine[Any, Any, None]], *args: object) -> None:
        doing = asyncio.ensure_future(leave(*args))
        self._farewells.add(doing)
        doing.add_done_callback(self._farewells.discard)

    def _do(self, fn: Callable[..., Coroutine[Any, Any, T]], *args: object) -> T:
        self._refuse_interrupter()
        doing = _Doing(fn, args)
        try:
            self._begin_on_loop(doing)
            return self._result(doing)
        except asyncio.CancelledError as error:
            raise self._closed() from error
        except BaseException:
            # Interrupted: take back what was begun for this caller.
            self._call_soon(doing.cancel)
            raise

    def _begin_on_loop(self, doing: _Doing[Any]) -> None:
        if self._closing or not self._runs():  # in a forked child the loop does not run
            raise self._closed()
        try:
            self._loop.call_soon_threadsafe(doing.begin)
        except RuntimeError as error:  # closed meanwhile by another thread
            raise self._closed() from error

    def _result(self, doing: _Doing[T]) -> T:
        while not doing.wait(_LOOK):
            # The loop may have ended just before it got this.
            if not self._runs():
                raise self._closed()
        return doing.result()

    def _refuse_interrupter(self) -> None:
        """Raises `Misuse` in a handler that interrupts the loop, or a thread that the loop may wait for."""
        if threading.current_thread() is self._thread or (self._connection and self._connection.is_read_here()):
            raise interrupter_refused()

    def _runs(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _closed(self) -> StoreClosed:
        return StoreClosed(f"the store at {self._settings[0].address} was closed; connect anew")


class _Doing(Generic[T]):
    """A coroutine function that the loop runs for a thread that waits for it."""

    def __init__(self, fn: Callable[..., Coroutine[Any, Any, T]], args: tuple[object, ...]) -> None:
        self._fn = fn
        self._args = args
        self._task: asyncio.Task[T] | None = None
        self._over = Gate()

    def begin(self) -> None:
        """Starts it. Called on the loop."""
        self._task = asyncio.ensure_future(self._fn(*self._args))
        self._task.add_done_callback(self._end)

    def cancel(self) -> None:
        """Cancels it, as nobody waits any more. Called on the loop, after `begin` if that was."""
        if self._task:
            self._task.cancel()

    def wait(self, timeout: float) -> bool:
        """Waits for its end. Returns False after `timeout` seconds."""
        return self._over.wait(timeout)

    def result(self) -> T:
        """Returns what it returned, or raises what it raised."""
        assert self._task
        return self._task.result()

    def _end(self, task: asyncio.Task[T]) -> None:
        if not task.cancelled():
            task.exception()  # looked at: nobody may be waiting for it any more
        self._over.open()
