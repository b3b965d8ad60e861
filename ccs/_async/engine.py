"""The machinery of a store, shared by all its contexts: connection, gatherers, listener, subscriptions."""

from __future__ import annotations

#| import atexit
import contextlib
import itertools
import math
import os
import secrets
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, NamedTuple, Protocol, TypeVar
from weakref import WeakSet, WeakValueDictionary

from ccs._async.background.listener import Listener
from ccs._async.commit_sender import Sender, commit_call
from ccs._async.group_commit import Gatherer
from ccs._async.transport.commands import Connection
from ccs._async.transport.connect import Dialer, resolve
from ccs._async.transport.pool import Link
from ccs._compat import AsyncLock, AsyncWork, AsyncWorker, Lock, async_here, async_home, interrupter_refused
from ccs._core.commits.commit import Settings
from ccs._core.commits.journal import JournalPage, parse_page
from ccs._core.commits.queries import journal_arguments, journal_keys
from ccs._core.names.keys import Keys, keys_of
from ccs._core.names.target import Target
from ccs._core.recipes.holdings import Holding, giving_back, grouped
from ccs._core.retry import Patience
from ccs._log import logger
from ccs._protocol import fake_server
from ccs._protocol.scripts import JOURNAL
from ccs._stats import Counters
from ccs.errors import CCSError, StoreClosed, StoreFull, Unavailable

__all__ = ["Engine", "Route"]

# Seconds without an answer after which a command is sent again; contexts whose gatherers are remembered.
_ANSWER, _REMEMBERED = 5.0, 10_000
# Seconds for the last callbacks to end and for what is held to be given back, at least for the latter.
_FAREWELL, _GIVING_BACK = 1.0, 0.25
# Dimensions and live copies of memories that are kept: up to four a context.
_SHARED = 256

T = TypeVar("T")


class Starting(Protocol):
    """A subscription, as far as the engine knows it."""

    @property
    def is_settled(self) -> bool:
        """Whether it is live, or never will be."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""

    def start(self) -> None:
        """Begins in the background."""

    async def settled(self, timeout: float) -> bool:
        """Waits until it is live or has failed; False if that took longer than `timeout` seconds."""

    def pause(self) -> None:
        """Ends it until the store is opened anew."""

    def resume(self) -> bool:
        """Makes it ready to start again, if it was paused; whether it may."""

    def begin_to_drain(self) -> None:
        """Has it pause when nothing waits any more."""

    async def drained(self, timeout: float) -> None:
        """Waits until nothing waits any more, no longer than `timeout` seconds."""

    async def undelivered(self, patience: Patience) -> int:
        """How much was never delivered."""

    async def finished(self, timeout: float) -> None:
        """Waits for its end."""


class Home(NamedTuple):
    """Where a store is used: in asyncio an event loop, else a process. And the identity of its commits."""

    where: object
    pid: int
    client: str


class Route:
    """How commits reach a context: the gatherer of the present opening, and the settings that the context begins with."""

    __slots__ = ("__weakref__", "defaults", "gatherer")

    gatherer: Gatherer

    def __init__(self, defaults: Settings) -> None:
        self.defaults = defaults


class Replica(Protocol):
    """What is kept up to date by this process, as far as the engine knows it: a mirror."""

    def abandon(self, error: StoreClosed) -> None:
        """It is in a forked child now, where nothing keeps it up to date."""


class Engine:
    """Opened by the first command; used by one process, and in asyncio by one event loop.

    That process, and that loop, are those of the first use. Its identity is made there too: children that were forked
    before it each have their own, and to those that were forked later it is closed.

    Once closed it may be opened anew, elsewhere too. It has another listener then: what belongs to an earlier one stays
    dead.
    """

    def __init__(
        self, target: Target, namespace: str, retry_for: float, max_value_bytes: int, embed: AsyncWork | None = None
    ) -> None:
        self.target = resolve(target)
        self.namespace, self.retry_for, self.max_value_bytes = namespace, retry_for, max_value_bytes
        self.embed, self.stats = embed, Counters()
        # A whole number of them: the last attempt ends when the patience does.
        self._timeout = max(0.1, retry_for / max(1, math.ceil(retry_for / _ANSWER)))
        self.connection = self._new_connection()
        self.listener = self._new_listener()
        # By identity, in order; whole copies of a dict are taken in one step, so threads need no lock.
        self.subscriptions: dict[Starting, None] = {}
        self._starting: dict[Starting, None] = {}
        # The presences that are joined: each its context, its agent, and for how many seconds it is held at a time.
        self.presences: dict[object, tuple[str, str, float]] = {}
        # By their id, as mappings have no hash.
        self._replicas: WeakValueDictionary[int, Replica] = WeakValueDictionary()
        self._next_number = itertools.count(2, 2).__next__
        self._routes: WeakValueDictionary[str, Route] = WeakValueDictionary()
        self._recent: OrderedDict[str, Route] = OrderedDict()
        self._shared: OrderedDict[tuple[str, ...], Any] = OrderedDict()
        self._common: WeakValueDictionary[tuple[str, ...], Any] = WeakValueDictionary()
        self._sharing = Lock()
        self._opening, self._ending = AsyncLock(), AsyncLock()
        self._home: Home | None = None
        self._homes: dict[str, Home] = {}
        # Who writes where nobody was named: this process.
        self.default_agent = _default_agent()
        self._is_open = self.closed = self._has_ended = False
        self._in_memory = self.target.kind == "memory"
        _engines.add(self)

    def __repr__(self) -> str:
        return f"<Engine at {self.address}, {self.state}>"

    @property
    def address(self) -> str:
        """Where the server is, without secrets."""
        return self.target.address

    @property
    def state(self) -> str:
        """`new`, `open` or `closed`."""
        return "closed" if self.closed else "open" if self._is_open else "new"

    @property
    def inherited(self) -> bool:
        """Whether this is a copy in a forked child: the original belongs to the process that was forked."""
        return self._home is not None and self._home.pid != os.getpid()

    async def open(self, patience: Patience | None = None) -> None:
        """Connects, checks the server and starts the subscriptions; once."""
        self.enter()
        # In this order, as they are replaced in the other one: who holds this listener holds no older lock.
        listener = self.listener
        opening = self._opening
        patience = patience or self.connection.patience()
        # Each with its own patience: nobody waits for the attempts of all the others.
        with contextlib.suppress(StoreFull):  # a server whose disk is full answers so, and serves readers
            await self.connection.run(("PING",), early=True, patience=Patience(patience.until))
        async with opening:
            self.check(listener)
            if self._is_open:
                return
            await listener.open()
            if self.closed or listener is not self.listener:
                # Somebody has closed the store meanwhile, and could not end what was only beginning.
                await listener.aclose()
                self.check(listener)
            self._is_open = True
            for subscription in list(self.subscriptions):
                self.start(subscription)
        await self._settle(patience)

    async def aclose(self, drain: float = 0.0) -> None:
        """Ends subscriptions, listener and connection; what is used after it gets `StoreClosed`.

        Callbacks that are waiting are called for up to `drain` seconds. What is held is given back. In a forked child
        nothing is ended: it belongs to the process that was forked.
        """
        # [async-only]
        if not self.closed and self._home and self._home.where != async_here():
            self.check()
        # [/async-only]
        if self.inherited:
            self.closed = True
            return
        end = time.monotonic() + max(drain, _FAREWELL)
        try:
            if drain and self._is_open and not self.closed:
                await self._drain(time.monotonic() + drain)
        finally:
            # Again where it was cancelled: each step from here on may be repeated.
            self.closed = True
            self.listener.end_leases()
        if self._is_open:
            await self._end_subscriptions(end)
        async with self._ending:
            if self.closed:  # else somebody else has ended it, and it was opened anew
                await self._end(end)

    async def _end(self, end: float) -> None:
        for route in list(self._routes.values()):
            await route.gatherer.aclose()
        if self._is_open:
            await self._give_back_in_time(end)
        await self.listener.aclose()
        await self.connection.aclose()
        fake_server.forget(self.target.location)
        self._has_ended = True

    async def reopen(self) -> None:
        """Makes a closed one as good as new, with an identity of its own, once nobody is closing it any more.

        What was paused at the close starts again when it is opened.
        """
        if self.inherited:
            raise self._elsewhere()
        async with self._ending:
            if not self.closed:
                return
            if not self._has_ended and self._is_home():
                # Whoever closes it has not come so far, or was cancelled.
                await self._end(time.monotonic())
            # What is still on its way keeps the connection that was closed, and its identity.
            self.connection = self._new_connection()
            self._opening = AsyncLock()
            self.listener = self._new_listener()
            for address, route in list(self._routes.items()):
                acknowledged = route.gatherer.last_revision
                route.gatherer = self._new_gatherer(address, route)
                route.gatherer.last_revision = acknowledged
            if self._in_memory:
                fake_server.register(self.target.location)
            self.presences.clear()
            self._shared.clear()
            self._common.clear()
            self._home, self._homes = None, {}
            self.default_agent = _default_agent()
            self._starting.clear()
            self.subscriptions = dict.fromkeys(each for each in self.subscriptions if each.resume())
            self._is_open = self.closed = self._has_ended = False

    def _new_connection(self) -> Connection:
        link = Link(Dialer(self.target, self._timeout, self.retry_for), self.stats)
        connection = Connection(link, self.address, self.target.user, self.retry_for, self.stats)
        connection.gate, connection.passable = self._gate, self._passable
        return connection

    def _new_listener(self) -> Listener:
        return Listener(self.target, self._timeout, self.namespace, self.retry_for, self.stats)

    #| def leave(self) -> None:
    #|     """At the end of the program, if nobody has closed it: gives back what is held. No more: threads have ended."""
    #|     held = [] if self.closed or self.inherited else self.listener.holdings.all()
    #|     if held:
    #|         self.closed = True
    #|         self._give_back(held, Patience(time.monotonic() + _FAREWELL))
    #|
    async def _drain(self, until: float) -> None:
        for subscription in list(self.subscriptions):
            subscription.begin_to_drain()
        for subscription in list(self.subscriptions):
            await subscription.drained(max(0.0, until - time.monotonic()))

    async def _end_subscriptions(self, end: float) -> None:
        subscriptions = list(self.subscriptions)
        ended = [subscription for subscription in subscriptions if not subscription.is_over]
        for subscription in subscriptions:
            subscription.pause()
        for subscription in subscriptions:
            await subscription.finished(max(0.0, end - time.monotonic()))
        patience = Patience(max(end, time.monotonic() + _GIVING_BACK))
        if undelivered := sum([await subscription.undelivered(patience) for subscription in ended]):
            self.stats.add("undelivered", undelivered)
            logger.warning("the store at %s was closed before %d changes were delivered", self.address, undelivered)

    async def _give_back_in_time(self, end: float) -> None:
        if held := self.listener.holdings.all():
            left = max(_GIVING_BACK, end - time.monotonic())
            giving = partial(self._give_back, held, Patience(time.monotonic() + left))
            await AsyncWorker("ccs farewell", giving).finish(left + _GIVING_BACK)

    async def _give_back(self, held: Sequence[Holding], patience: Patience) -> None:
        try:
            await self.give_back(held, patience, early=True)
        except CCSError as error:
            logger.warning("what was held lapses by itself, %d entries: %s", len(held), error)

    async def give_back(self, held: Sequence[Holding], patience: Patience, *, early: bool = False) -> None:
        """Gives back what is held, in one round trip; what is somebody else's by now stays so."""
        calls = [commit_call(giving_back(some), self.keys(address)) for address, some in grouped(held)]
        for reply in await self.connection.scripts(calls, patience, early=early):
            if isinstance(reply, Exception):
                logger.warning("some of what was held lapses by itself: %s", reply)
        self.listener.holdings.done_with(held)

    def subscribe(self, subscription: Starting) -> bool:
        """Registers a subscription; whether it starts now, not only when the store opens."""
        self.check()
        for old in list(self.subscriptions):
            if old.is_over:
                self.subscriptions.pop(old, None)
        self.subscriptions[subscription] = None
        if self._is_open:
            self.start(subscription)
        return self._is_open

    def start(self, subscription: Starting) -> None:
        """Starts a subscription; the next command waits until it is live."""
        self._starting[subscription] = None
        subscription.start()

    async def _settle(self, patience: Patience) -> None:
        while starting := list(self._starting):
            if not await starting[0].settled(patience.left(time.monotonic())):
                raise Unavailable(self.address, reason=f"{starting[0]!r} is not live yet")
            self._starting.pop(starting[0], None)

    async def ready(self) -> None:
        """What every command waits for: the store is open, here, and its subscriptions are live."""
        await self._gate(self.connection.patience())

    def _passable(self) -> bool:
        # Every command asks: so this is `check`, written out.
        home = self._home
        if not self._is_open or self._starting or self.closed or home is None:
            return False
        if home.where != async_here():
            return False
        return not (self._in_memory and fake_server.interrupts())

    async def _gate(self, patience: Patience) -> None:
        if self._passable():
            return
        self.enter()
        if not self._is_open:
            await self.open(patience)
        if self._starting:
            await self._settle(patience)

    def enter(self) -> object:
        """Raises as `check`; the first caller decides to which process and event loop the store belongs.

        Returns where that is, as `async_here` would; None where each call is to be checked anew.
        """
        self.check()
        if self._home is None:
            first = Home(async_home(), os.getpid(), secrets.token_hex(8))
            # In one step: of several threads that come first, one decides for all.
            self._home = self._homes.setdefault("first", first)
            self.check()
        return None if self._in_memory else self._home.where

    def check(self, listener: Listener | None = None) -> None:
        """Raises `StoreClosed` where the store is closed, or belongs to another process or event loop.

        Where a `listener` is given, also if the store was closed since it was this one. `Misuse` for a signal handler or a
        finalizer on top of a call to a server in this process.
        """
        if self.closed:
            raise StoreClosed(f"the store at {self.address} is closed; enter it again, or connect anew")
        if listener not in (None, self.listener):
            raise StoreClosed(
                f"the store at {self.address} was closed since this was made, and opened anew; make another"
            )
        if self._in_memory and fake_server.interrupts():
            raise interrupter_refused()
        if not self._is_home():
            raise self._elsewhere()

    def _elsewhere(self) -> StoreClosed:
        where = "another process" if self.inherited else "another event loop"
        return StoreClosed(f"the store at {self.address} belongs to {where}; connect anew in this one")

    def identity(self) -> str:
        """The name under which the server knows the commits of this process; there is none before the first use."""
        if self._home is None:
            raise StoreClosed(f"the store at {self.address} was closed and opened anew meanwhile; nothing was written")
        return self._home.client

    def _is_home(self) -> bool:
        home = self._home
        return home is None or home.where == async_here()

    def keys(self, address: str) -> Keys:
        """The keys of a context."""
        return keys_of(self.namespace, address)

    def route(self, address: str, defaults: Settings) -> Route:
        """The one way of commits to a context: all who write there share it, so that there is one order."""
        route = self._routes.get(address)
        if route is None:
            route = self._routes[address] = Route(defaults)
            route.gatherer = self._new_gatherer(address, route)
        self._recent[address] = route
        self._recent.move_to_end(address)
        if len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)
        return route

    def _new_gatherer(self, address: str, route: Route) -> Gatherer:
        keys = self.keys(address)
        sender = Sender(self.connection, self.stats, address, keys, self.identity, route.defaults)
        return Gatherer(sender, self.enter, self._next_number, self.retry_for)

    def shared(self, key: tuple[str, ...], make: Callable[[], T]) -> T:
        """What rooms above keep for all who use this store, by its key; made when it is first asked for.

        Past some hundreds, what was not asked for the longest is forgotten.
        """
        if self.inherited:
            self.check()
        with self._sharing:
            found: T = self._shared[key] if key in self._shared else self._shared.setdefault(key, make())
            self._shared.move_to_end(key)
            if len(self._shared) > _SHARED:
                self._shared.popitem(last=False)
        return found

    def common(self, key: tuple[str, ...], make: Callable[[], T]) -> T:
        """What those share who use it at one time, by its key; forgotten when nobody does any more."""
        self.check()
        with self._sharing:
            found: T | None = self._common.get(key)
            if found is None:
                found = self._common[key] = make()
        return found

    async def look(self, address: str, cursor: int, count: int, patience: Patience | None = None) -> JournalPage:
        """A stretch of a context's journal; it does not wait for subscriptions, which need it themselves."""
        keys, arguments = journal_keys(self.keys(address)), journal_arguments(cursor, count)
        return parse_page(await self.connection.script(JOURNAL, keys, arguments, early=True, patience=patience))

    def remember(self, replica: Replica) -> None:
        """Sees to it that a replica is abandoned in a forked child."""
        self._replicas[id(replica)] = replica

    def left_behind(self) -> None:
        """In a child that was just forked: tells those that would go on without being kept up to date."""
        if self._home is None:
            self.default_agent = _default_agent()
            return
        error = self._elsewhere()
        for replica in list(self._replicas.values()):
            replica.abandon(error)


def _default_agent() -> str:
    return f"{_host()}:{os.getpid()}"


@cache
def _host() -> str:
    return socket.gethostname()


_engines: WeakSet[Engine] = WeakSet()

#| @atexit.register
#| def _leave_all() -> None:
#|     for engine in list(_engines):
#|         engine.leave()
#|


def _after_fork() -> None:
    for engine in list(_engines):
        engine.left_behind()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
