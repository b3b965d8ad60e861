"""The commit dispatcher of a store, asyncio: it hands each commit that arrives to the watches.

It parses each commit once and delivers it to the feeds. A message is only a hint: after a reconnect, a gap or a silence
the watches read the journal. How the subscriptions reconnect is in `transport/subscription_connection.py`; what it does at
its time, in `upkeep.py` and `scheduled_calls.py`.

The blocking twin, written by hand, runs this class in a thread. There other threads may receive the messages, so what
those change is safe to change from any thread, or is passed to `call_soon`.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from functools import partial
from typing import Protocol

from ccs._async.background.failover_watch import FailoverWatch, Leaving
from ccs._async.background.scheduled_calls import ScheduledCall
from ccs._async.background.store_watch_channels import FollowedContexts
from ccs._async.background.upkeep import GRACE, Upkeep
from ccs._async.transport.commands import Commands
from ccs._async.transport.connection import Plain
from ccs._async.transport.subscriptions import Subscriptions
from ccs._async.transport.topology import Topology
from ccs._compat import AsyncSignal, Lock, call
from ccs._core.changes.feed import Feed
from ccs._core.changes.watch_mailbox import Mailbox
from ccs._core.commits.journal import MALFORMED, JournalPage, Record, parse_record
from ccs._core.commits.script_calls import journal_call
from ccs._core.names.keys import address_of_key, address_of_notice, channel_glob, keys_of, notice_glob
from ccs._core.names.target import Target
from ccs._core.nodes.cluster_layout import ClusterLayout
from ccs._core.recipes.held_entries import Holdings
from ccs._log import logger
from ccs._protocol.faults import copy_of
from ccs._stats import Counters
from ccs.errors import CCSError, StoreClosed, Unavailable

__all__ = ["CommitDispatcher", "Observer", "OtherConnections"]

# Seconds until a silent context is checked, and until all are.
SILENCE = 5.0
RESYNC = 30.0


class Observer(Protocol):
    """A watch of the whole store: it gets the commits of every context of the namespace, or of those that it names."""

    @property
    def named(self) -> Collection[str] | None:
        """The addresses of the only contexts that concern it; None for all."""

    def offer(self, address: str, record: Record) -> None:
        """Takes the next commit of any context."""

    def wants(self, address: str) -> bool:
        """Returns whether anything in a context can match."""

    def look_at(self, address: str) -> None:
        """Reads the journal of a context: it may be new, or messages may have been missed."""

    def resync(self, *, routine: bool = False) -> None:
        """Reads what may have been missed anywhere; or, if `routine`, it is only time to check."""

    def fail(self, error: CCSError) -> None:
        """Takes the reason why nothing can be delivered at present."""


class OtherConnections(Leaving, Protocol):
    """The connections that the store itself has, and what it knows of a Cluster."""

    @property
    def layout(self) -> ClusterLayout:
        """Which node of the Cluster serves which slot."""


class CommitDispatcher(Upkeep):
    """Receives the commits of all contexts that are watched in this store, and keeps up leases and deadlines."""

    def __init__(
        self,
        target: Target,
        timeout: float,
        namespace: str,
        retry_for: float,
        stats: Counters,
        commands: OtherConnections,
        call_soon: Callable[..., object] = call,
        plain: Plain | None = None,
        holdings: Holdings | None = None,
    ) -> None:
        # A connection of its own, for sweeps and checks: they do not wait for the commands of callers.
        self._topology = Topology(target, timeout, retry_for, stats, commands.layout)
        upkeep = Commands(self._topology, target.address, target.user, retry_for, stats)
        kinds = {"check": self._check, "resync": self._resync}
        super().__init__(upkeep, namespace, holdings, kinds, call_soon, self._on_unknown_format)
        self._stats = stats
        self._feeds: dict[str, Feed] = {}
        # Replaced, never changed: another thread may be iterating over them.
        self._observers: tuple[Observer, ...] = ()
        self._everywhere: tuple[Observer, ...] = ()
        self._call_soon = call_soon
        callbacks = self._on_message, self._on_live, self._on_refused
        self._subscriptions = Subscriptions(
            self._topology, target.address, target.user, *callbacks, retry_for, stats, call_soon, plain
        )
        # In a Cluster: the contexts whose channels the watches of the whole store need.
        self._followed = FollowedContexts[Observer](self._subscribe, self._unsubscribe)
        connections = commands, self._topology, self._subscriptions
        self._failover_watch = FailoverWatch(self._topology, connections, lambda: bool(self._subscriptions))

    def __repr__(self) -> str:
        return f"<CommitDispatcher to {len(self._feeds)} contexts over {self._subscriptions!r}>"

    async def open(self) -> None:
        """Goes by what the opening has found: one server or a Cluster.

        The first watch opens the connection, the first scheduled call starts the task.
        """
        self._topology.adopt()
        self._failover_watch.start()

    async def aclose(self) -> None:
        """Ends the schedules and the connections. Watches get `StoreClosed`."""
        closed = StoreClosed(f"the store at {self._commands.address} was closed; connect anew")
        self._on_down(closed)
        await self._failover_watch.aclose()
        await self._followed.aclose()
        await self._end_calls()
        await self._subscriptions.aclose(closed)
        await self._commands.aclose()

    def signal(self) -> AsyncSignal:
        """Returns a signal for a consumer that this dispatcher wakes."""
        return AsyncSignal()

    async def join(self, address: str, mailbox: Mailbox) -> None:
        """Adds a watch of a context. When this returns, the mailbox gets every commit from then on."""
        feed = self._feeds.setdefault(address, Feed(address, Lock()))
        feed.mailboxes += (mailbox,)
        try:
            await self._subscribe(address)
        except BaseException:
            await self.leave(address, mailbox)
            raise

    async def leave(self, address: str, mailbox: Mailbox) -> None:
        """Removes a watch."""
        feed = self._feeds.get(address)
        if not feed or mailbox not in feed.mailboxes:
            return
        feed.mailboxes = tuple(each for each in feed.mailboxes if each is not mailbox)
        if not feed.mailboxes:
            del self._feeds[address]
            self._schedule.cancel("check", address)
            self._unsubscribe(address)

    async def add_observer(self, watch: Observer) -> None:
        """Adds a watch of the whole store, which is live when this returns."""
        self._observe((*self._observers, watch))
        try:
            if watch.named is None:
                await self._subscriptions.observe(self._glob())
            else:
                await self._followed.follow(watch, watch.named)
        except BaseException:
            await self.remove_observer(watch)
            raise
        self._plan("resync", "", RESYNC)

    async def remove_observer(self, watch: Observer) -> None:
        """Removes a watch of the whole store."""
        self._observe(each for each in self._observers if each is not watch)
        self._followed.leave(watch)
        if not self._everywhere:
            self._subscriptions.unsubscribe(self._glob())

    def _observe(self, observers: Iterable[Observer]) -> None:
        self._observers = tuple(observers)
        self._everywhere = tuple(each for each in self._observers if each.named is None)

    @property
    def covers_all(self) -> bool:
        """Whether watches of the whole store get the commits of all contexts; in a Cluster they have to `follow` them."""
        return self._topology.only is not None

    async def follow(self, watch: Observer, addresses: Iterable[str], seconds: float | None = None) -> None:
        """Has a watch of the whole store get every commit of these contexts from now on.

        Raises `Unavailable` if that is not so after so many seconds.
        """
        if not self.covers_all and not await self._followed.follow(watch, addresses, seconds):
            raise Unavailable(self._commands.address, reason="no subscription could be made in time")

    def unfollow(self, watch: Observer, address: str) -> None:
        """Ends `follow` for a context that is gone, in a while."""
        if not self.covers_all and watch.named is None:
            self._followed.part(watch, address)

    def anchor(self, address: str, page: JournalPage) -> None:
        """Takes a page of the journal, read after `join`: the revision of the context, and its deadlines."""
        if feed := self._feeds.get(address):
            feed.anchor(page.last)
            self._plan_from(address, page)

    def check_soon(self, address: str, seconds: float) -> None:
        """Checks in so many seconds whether a context still exists."""
        self._plan("check", address, seconds + GRACE)

    async def _subscribe(self, address: str) -> None:
        await self._subscriptions.subscribe(keys_of(self._namespace, address).channel)

    def _unsubscribe(self, address: str) -> None:
        if address not in self._feeds and address not in self._followed:
            self._subscriptions.unsubscribe(keys_of(self._namespace, address).channel)

    def _glob(self) -> str:
        return (channel_glob if self._topology.only else notice_glob)(self._namespace)

    def _on_message(self, kind: bytes, channel: str, raw: bytes) -> None:
        born = address_of_notice(self._namespace, channel)
        if born is not None:
            self._call_soon(self._begin, born)
            if not raw:
                return None
        address = address_of_key(self._namespace, channel) if born is None else born
        try:
            record = parse_record(raw)
        except MALFORMED as error:
            logger.warning("a message on %s is no commit, and ignored: %r", channel, error)
            return self._doubt(address)
        if address is None:
            return None
        self._stats.add("bytes", record.size)
        self._note_deadlines(address, record)
        if kind != b"pmessage" and (feed := self._feeds.get(address)):
            self._count_gap(not feed.deliver(record))
        for watch in self._everywhere if kind == b"pmessage" else self._followed.followers(address):
            watch.offer(address, record)
        return None

    def _begin(self, born: str) -> None:
        for watch in self._everywhere:
            if watch.wants(born):
                joining = self._followed.begin(watch, born)
                if joining:
                    joining.add_done_callback(partial(_look, watch, born))
                else:
                    watch.look_at(born)

    def _doubt(self, address: str | None) -> None:
        if address is not None and (feed := self._feeds.get(address)):
            feed.doubt()
            self._plan("check", address, 0.0)

    def _count_gap(self, missed: bool) -> None:
        if missed:
            self._stats.add("gaps_filled")

    def _note_deadlines(self, address: str, record: Record) -> None:
        now = record.at / 1000
        if record.expiry:
            self.expect(address, (record.expiry - now) / 1000)
        if record.deadline:
            self.check_soon(address, (record.deadline - now) / 1000)

    def _on_live(self, channel: str) -> None:
        # Live again after a loss: the journal has what was missed.
        address = address_of_key(self._namespace, channel)
        if channel == self._glob():
            for watch in self._everywhere:
                watch.resync()
        elif address is not None:
            self._doubt(address)
            for watch in self._followed.followers(address):
                watch.look_at(address)
                if watch.named is not None:
                    watch.resync()

    def _on_down(self, error: CCSError) -> None:
        for feed in self._feeds.values():
            for mailbox in feed.mailboxes:
                mailbox.fail(copy_of(error))
        self._each_observer(lambda watch: watch.fail(copy_of(error)))

    def _on_refused(self, channel: str, error: CCSError) -> None:
        address = address_of_key(self._namespace, channel)
        feed = None if address is None else self._feeds.get(address)
        for mailbox in feed.mailboxes if feed else ():
            mailbox.fail(copy_of(error))
        watches = self._everywhere if channel == self._glob() else self._followed.followers(address or "")
        for watch in watches:
            watch.fail(copy_of(error))

    def _on_unknown_format(self, address: str) -> None:
        # The watches then read the journal, and their consumers get the error from there.
        feed = self._feeds.get(address)
        for mailbox in feed.mailboxes if feed else ():
            mailbox.nudge()

    def _each_observer(self, call: Callable[[Observer], None]) -> None:
        for watch in self._observers:
            call(watch)

    def _plan_from(self, address: str, page: JournalPage) -> None:
        if page.next_expiry:
            self.expect(address, (page.next_expiry - page.now) / 1000)
        if page.deadline:
            self.check_soon(address, (page.deadline - page.now) / 1000)
        self._plan("check", address, SILENCE)

    def _check(self, address: str) -> Sequence[ScheduledCall]:
        feed = self._feeds.get(address)
        if feed is None:
            return ()
        call = journal_call(keys_of(self._namespace, address), feed.last or 0, 0)
        return [ScheduledCall(call, partial(self._checked, feed))]

    def _checked(self, feed: Feed, page: JournalPage) -> None:
        self._plan_from(feed.address, page)
        self._count_gap(feed.check(page))

    def _resync(self, _: str) -> Sequence[ScheduledCall]:
        self._each_observer(lambda watch: watch.resync(routine=True))
        if self._observers:
            self._plan("resync", "", RESYNC)
        return ()


def _look(watch: Observer, address: str, _: object) -> None:
    watch.look_at(address)
