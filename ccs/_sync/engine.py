# Generated from ccs/_async/engine.py by scripts/twin. Do not edit.
"""What all contexts of a store share: its opening, their routes, the subscriptions, and caches."""

from __future__ import annotations

import atexit
import itertools
import os
import socket
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import cache, partial
from typing import Any, Protocol, TypeVar
from weakref import WeakSet, WeakValueDictionary

from ccs._compat import Lock, Work, Worker
from ccs._core.commits.commit import Settings
from ccs._core.commits.journal import JournalPage
from ccs._core.commits.script_calls import commit_call, journal_call
from ccs._core.names.keys import Keys, keys_of
from ccs._core.names.target import Target
from ccs._core.recipes.held_entries import Holding, giving_back, grouped
from ccs._core.retry import Patience
from ccs._log import logger
from ccs._protocol import fake_server
from ccs._stats import Counters
from ccs._sync.batch_sender import BatchSender
from ccs._sync.commit_route import Route
from ccs._sync.group_commit import GroupCommit
from ccs._sync.opening import Opening, Starting
from ccs._sync.transport.connect import resolve
from ccs.errors import CCSError, StoreClosed
from ccs.types import Durability

__all__ = ["Engine"]

# How many routes are kept that no context refers to.
_REMEMBERED = 10_000
# Seconds for the last callbacks to end and for what is held to be given back, at least for the latter.
_FAREWELL = 1.0
_GIVING_BACK = 0.25
# Dimensions and live copies of memories that are kept: up to four a context.
_SHARED = 256

T = TypeVar("T")


class Subscribed(Starting, Protocol):
    """A subscription, as far as the engine knows it."""

    @property
    def is_over(self) -> bool:
        """Whether it has ended."""

    def pause(self) -> None:
        """Ends it until the store is opened anew."""

    def resume(self) -> bool:
        """Makes it ready to start again. Returns whether it was paused."""

    def begin_to_drain(self) -> None:
        """Has it pause when no change waits any more."""

    def drained(self, timeout: float) -> None:
        """Waits until no change waits any more, at most `timeout` seconds."""

    def undelivered(self, patience: Patience) -> int:
        """Returns how many changes were never delivered."""

    def finished(self, timeout: float) -> None:
        """Waits for its end."""


class Replica(Protocol):
    """A mirror, as far as the engine knows it: this process keeps it up to date."""

    def abandon(self, error: StoreClosed) -> None:
        """Ends it with an error, in a forked child, where nothing keeps it up to date."""


class Engine:
    """What all contexts of a store share.

    Its `opening` is opened by the first command. Once that is closed, `reopen` replaces it: elsewhere too.
    """

    def __init__(
        self,
        target: Target,
        namespace: str,
        retry_for: float,
        max_value_bytes: int,
        embed: Work | None = None,
        durability: Durability | None = None,
    ) -> None:
        self.target = resolve(target)
        self.namespace = namespace
        self.retry_for = retry_for
        self.max_value_bytes = max_value_bytes
        self.embed = embed
        self.durability = durability
        self.stats = Counters()
        # By identity, in order; a copy of a dict is taken in one step, so threads need no lock.
        self.subscriptions: dict[Subscribed, None] = {}
        self.opening = self._new_opening()
        # By their id, as mappings have no hash.
        self._replicas: WeakValueDictionary[int, Replica] = WeakValueDictionary()
        self._next_number = itertools.count(2, 2).__next__
        self._routes: WeakValueDictionary[str, Route] = WeakValueDictionary()
        self._recent: OrderedDict[str, Route] = OrderedDict()
        self._shared: OrderedDict[tuple[str, ...], Any] = OrderedDict()
        self._common: WeakValueDictionary[tuple[str, ...], Any] = WeakValueDictionary()
        self._sharing = Lock()
        # The agent of what is written where none is named: this process.
        self.default_agent = _default_agent()
        _engines.add(self)

    def __repr__(self) -> str:
        return f"<Engine at {self.address}, {self.opening.state}>"

    @property
    def address(self) -> str:
        """Where the server is, without secrets."""
        return self.target.address

    def close(self, drain: float = 0.0) -> None:
        """Ends subscriptions, dispatcher and connections. Whatever is used afterwards raises `StoreClosed`.

        Changes that wait are delivered for up to `drain` seconds. What is held is given back. A forked child ends
        nothing: all that belongs to its parent.
        """
        opening = self.opening
        if opening.inherited:
            opening.closed = True
            return
        end = time.monotonic() + max(drain, _FAREWELL)
        try:
            if drain and opening.is_open and not opening.closed:
                self._drain(time.monotonic() + drain)
        finally:
            # Again where it was cancelled: each step from here on may be repeated.
            opening.closed = True
            opening.dispatcher.end_leases()
        if opening.is_open and not opening.replaced:
            self._end_subscriptions(end)
        for call in list(opening.last_calls):
            call.finished(max(0.0, end - time.monotonic()))
        with opening.ending:
            if opening.must_end:
                self._end(opening, end)

    def _end(self, opening: Opening, end: float) -> None:
        for route in list(self._routes.values()):
            route.group_commit.close()
        if opening.is_open:
            self._give_back_in_time(opening, end)
        opening.end()

    def reopen(self) -> None:
        """Replaces a closed opening by a new one, with an identity of its own, once nobody is closing the old one.

        Subscriptions that were paused at the close start again when it is opened.
        """
        closed = self.opening
        if closed.inherited:
            raise closed.elsewhere()
        with closed.ending:
            if not closed.closed or closed.replaced:
                return
            if closed.must_end:
                self._end(closed, time.monotonic())
            self._shared.clear()
            self._common.clear()
            self.default_agent = _default_agent()
            if self.target.kind == "memory":
                fake_server.register(self.target.location)
            opening = self._new_opening()
            with opening.lock:
                closed.replaced = True
                self.opening = opening
                self._take_over(closed)

    def _take_over(self, closed: Opening) -> None:
        """Takes over what outlives an opening: the routes, with what was acknowledged there, and the subscriptions."""
        for address, route in list(self._routes.items()):
            if route.opening is closed:
                acknowledged = route.group_commit.last_revision
                self._lead(route, address)
                route.group_commit.last_revision = acknowledged
        for subscription in list(self.subscriptions):
            if not subscription.resume():
                self.subscriptions.pop(subscription, None)

    def _new_opening(self) -> Opening:
        return Opening(self.target, self.namespace, self.retry_for, self.stats, self.subscriptions, self.durability)

    def leave(self) -> None:
        """Gives back what is held, when the program ends without a close. No more than that: threads have ended."""
        opening = self.opening
        held = [] if opening.closed or opening.inherited else opening.dispatcher.holdings.all()
        if held:
            opening.closed = True
            self._give_back(opening, held, Patience(time.monotonic() + _FAREWELL))

    def _drain(self, until: float) -> None:
        for subscription in list(self.subscriptions):
            subscription.begin_to_drain()
        for subscription in list(self.subscriptions):
            subscription.drained(max(0.0, until - time.monotonic()))

    def _end_subscriptions(self, end: float) -> None:
        subscriptions = list(self.subscriptions)
        ended = [subscription for subscription in subscriptions if not subscription.is_over]
        for subscription in subscriptions:
            subscription.pause()
        for subscription in subscriptions:
            subscription.finished(max(0.0, end - time.monotonic()))
        patience = Patience(max(end, time.monotonic() + _GIVING_BACK))
        if undelivered := sum([subscription.undelivered(patience) for subscription in ended]):
            self.stats.add("undelivered", undelivered)
            logger.warning("the store at %s was closed before %d changes were delivered", self.address, undelivered)

    def _give_back_in_time(self, opening: Opening, end: float) -> None:
        if held := opening.dispatcher.holdings.all():
            left = max(_GIVING_BACK, end - time.monotonic())
            giving = partial(self._give_back, opening, held, Patience(time.monotonic() + left))
            Worker("ccs farewell", giving).finish(left + _GIVING_BACK)

    def _give_back(self, opening: Opening, held: Sequence[Holding], patience: Patience) -> None:
        try:
            self._send_back(opening, held, patience)
        except CCSError as error:
            logger.warning("could not give back %d entries, which will expire: %s", len(held), error)

    def give_back(self, held: Sequence[Holding], patience: Patience) -> None:
        """Gives back what is held, in one round trip. What belongs to another holder by now is left alone."""
        opening = self.opening
        opening.ready(patience)
        self._send_back(opening, held, patience)

    def _send_back(self, opening: Opening, held: Sequence[Holding], patience: Patience) -> None:
        commands = opening.commands
        calls = [
            commit_call(giving_back(some), self.keys(address), address, commands.forbidden, commands.topology.publish)
            for address, some in grouped(held)
        ]
        for reply in commands.calls(calls, patience):
            if isinstance(reply, Exception):
                logger.warning("could not give back some entries, which will expire: %s", reply)
        opening.dispatcher.holdings.done_with(held)

    def subscribe(self, subscription: Subscribed) -> bool:
        """Registers a subscription. Returns whether it starts now, not only when the store opens."""
        self.opening.check()
        for old in list(self.subscriptions):
            if old.is_over:
                self.subscriptions.pop(old, None)
        self.subscriptions[subscription] = None
        if self.opening.is_open:
            self.opening.start(subscription)
        return self.opening.is_open

    def keys(self, address: str) -> Keys:
        """Returns the keys of a context."""
        return keys_of(self.namespace, address)

    def route(self, address: str, defaults: Settings) -> Route:
        """Returns the route of a context: all that write there share it, so that there is one order."""
        route = self._routes.get(address)
        if route is None:
            route = Route(defaults)
            self._lead(route, address)
            self._routes[address] = route
        self._recent[address] = route
        self._recent.move_to_end(address)
        if len(self._recent) > _REMEMBERED:
            self._recent.popitem(last=False)
        return route

    def _lead(self, route: Route, address: str) -> None:
        """Leads a route through the present opening."""
        opening = self.opening
        batch_sender = BatchSender(opening, address, self.keys(address), route.defaults)
        route.group_commit = GroupCommit(batch_sender, opening.enter, self._next_number, self.retry_for)
        route.opening = opening

    def shared(self, key: tuple[str, ...], make: Callable[[], T]) -> T:
        """Returns what is cached under a key for all users of this store; made when it is first asked for.

        Of more than some hundreds, the least recently used is forgotten.
        """
        if self.opening.inherited:
            self.opening.check()
        with self._sharing:
            found: T = self._shared[key] if key in self._shared else self._shared.setdefault(key, make())
            self._shared.move_to_end(key)
            if len(self._shared) > _SHARED:
                self._shared.popitem(last=False)
        return found

    def common(self, key: tuple[str, ...], make: Callable[[], T]) -> T:
        """Returns what the present users of a key share; forgotten when no caller refers to it any more."""
        self.opening.check()
        with self._sharing:
            found: T | None = self._common.get(key)
            if found is None:
                found = self._common[key] = make()
        return found

    def look(self, address: str, cursor: int, count: int, patience: Patience | None = None) -> JournalPage:
        """Reads a page of a context's journal. It does not wait for subscriptions, which use it to start."""
        return self.opening.commands.call(journal_call(self.keys(address), cursor, count), patience)

    def remember(self, replica: Replica) -> None:
        """Has a replica abandoned in forked children."""
        self._replicas[id(replica)] = replica

    def left_behind(self) -> None:
        """Abandons the replicas, in a child that was just forked."""
        if not self.opening.is_used:
            self.default_agent = _default_agent()
            return
        error = self.opening.elsewhere()
        for replica in list(self._replicas.values()):
            replica.abandon(error)


def _default_agent() -> str:
    return f"{_host()}:{os.getpid()}"


@cache
def _host() -> str:
    return socket.gethostname()


_engines: WeakSet[Engine] = WeakSet()


@atexit.register
def _leave_all() -> None:
    for engine in list(_engines):
        engine.leave()


def _after_fork() -> None:
    for engine in list(_engines):
        engine.left_behind()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork)
