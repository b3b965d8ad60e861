"""The background listener, asyncio: one subscription connection a store, and the appointments of its contexts.

It parses each commit once and delivers it to the feeds. A message is only a hint: after a reconnect, a gap or a silence
the watches read the journal. The blocking twin, written by hand, runs this class in a thread. There other threads may
receive the messages, so what those change is safe to change from any thread, or is passed to `call_soon`.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

from ccs._async.background.scheduled_calls import Schedule, ScheduledCall
from ccs._async.transport.commands import Commands
from ccs._async.transport.connect import Dialer
from ccs._async.transport.connection import Plain
from ccs._async.transport.pool import Pool
from ccs._async.transport.subscription_connection import PubSub
from ccs._compat import AsyncSignal, Lock, call
from ccs._core.changes.feed import Feed
from ccs._core.changes.watch_mailbox import Mailbox
from ccs._core.commits.commit import Applied, Batch, Commit
from ccs._core.commits.journal import MALFORMED, JournalPage, Record, parse_record
from ccs._core.commits.operations import renew_op, revision_guard, sweep_op
from ccs._core.commits.script_calls import commit_call, journal_call
from ccs._core.names.keys import address_of_key, channel_glob, keys_of
from ccs._core.names.target import Target
from ccs._core.recipes.held_entries import Holding, Holdings, giving_back, grouped
from ccs._core.recipes.lease import Lease, Leases
from ccs._core.times import millis
from ccs._log import logger
from ccs._protocol.faults import copy_of
from ccs._stats import Counters
from ccs.errors import CCSError, Forbidden, StoreClosed

__all__ = ["Listener", "Observer"]

# Seconds: until a silent context is checked, until all are, and between a deadline and its sweep.
SILENCE = 5.0
RESYNC = 30.0
GRACE = 0.005
# Seconds between two checks for objects that were forgotten while they held something.
_TIDY = 0.5
_RENEWED_AT_ONCE = 128


class Observer(Protocol):
    """A watch of the whole store: it gets the commits of every context of the namespace."""

    def offer(self, address: str, record: Record) -> None:
        """Takes the next commit of any context."""

    def resync(self, *, routine: bool = False) -> None:
        """Reads what may have been missed; or, if `routine`, it is only time to check."""

    def fail(self, error: CCSError) -> None:
        """Takes the reason why nothing can be delivered at present."""


class Listener:
    """Receives the commits of all contexts that are watched in this store, and runs their appointments."""

    def __init__(
        self,
        target: Target,
        timeout: float,
        namespace: str,
        retry_for: float,
        stats: Counters,
        call_soon: Callable[..., object] = call,
        plain: Plain | None = None,
        holdings: Holdings | None = None,
    ) -> None:
        # A connection of its own, for sweeps and checks: they do not wait for the commands of callers.
        self._dialer = Dialer(target, timeout, retry_for)
        self._commands = Commands(Pool(self._dialer, stats), self._dialer.address, target.user, retry_for, stats)
        self._namespace = namespace
        self._retry_for = retry_for
        self._stats = stats
        self._feeds: dict[str, Feed] = {}
        # Replaced, never changed: another thread may be iterating over them.
        self._observers: tuple[Observer, ...] = ()
        self._call_soon = call_soon
        callbacks = self._on_message, self._on_live, self._on_down, self._on_refused
        self._pubsub = PubSub(self._dialer, *callbacks, retry_for, stats, call_soon, plain)
        self._leases = Leases(Lock())
        self.holdings = holdings or Holdings()
        kinds = {
            "sweep": self._sweep,
            "renew": self._renew,
            "check": self._check,
            "resync": self._resync,
            "tidy": self._tidy,
        }
        self._appointments = Schedule(self._commands, kinds, call_soon, self._on_unknown_format)
        self._plan = self._appointments.plan

    def __repr__(self) -> str:
        return f"<Listener to {len(self._feeds)} contexts over {self._pubsub!r}>"

    async def open(self) -> None:
        """Does nothing: the first watch opens the connection, the first appointment starts the task."""

    async def aclose(self) -> None:
        """Ends the appointments and the connections. Watches get `StoreClosed`."""
        closed = StoreClosed(f"the store at {self._dialer.address} was closed; connect anew")
        self._on_down(closed)
        await self._appointments.aclose()
        await self._pubsub.aclose(closed)
        await self._commands.aclose()

    def signal(self) -> AsyncSignal:
        """Returns a signal for a consumer that this listener wakes."""
        return AsyncSignal()

    async def join(self, address: str, mailbox: Mailbox) -> None:
        """Adds a watch of a context. When this returns, the mailbox gets every commit from then on."""
        feed = self._feeds.setdefault(address, Feed(address, Lock()))
        feed.mailboxes += (mailbox,)
        try:
            await self._pubsub.subscribe("SUBSCRIBE", self._channel(address), self._retry_for)
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
            self._appointments.cancel("check", address)
            self._pubsub.unsubscribe("UNSUBSCRIBE", self._channel(address))

    async def add_observer(self, watch: Observer) -> None:
        """Adds a watch of the whole store, which is live when this returns."""
        self._observers += (watch,)
        try:
            await self._pubsub.subscribe("PSUBSCRIBE", channel_glob(self._namespace), self._retry_for)
        except BaseException:
            await self.remove_observer(watch)
            raise
        self._plan("resync", "", RESYNC)

    async def remove_observer(self, watch: Observer) -> None:
        """Removes a watch of the whole store."""
        self._observers = tuple(each for each in self._observers if each is not watch)
        if not self._observers:
            self._pubsub.unsubscribe("PUNSUBSCRIBE", channel_glob(self._namespace))

    def anchor(self, address: str, page: JournalPage) -> None:
        """Takes a page of the journal, read after `join`: the revision of the context, and its deadlines."""
        if feed := self._feeds.get(address):
            feed.anchor(page.last)
            self._plan_from(address, page)

    def expect(self, address: str, seconds: float) -> None:
        """Sweeps in so many seconds, when an entry will be due, so that its end becomes a commit."""
        self._plan("sweep", address, seconds + GRACE)

    def check_soon(self, address: str, seconds: float) -> None:
        """Checks in so many seconds whether a context still exists."""
        self._plan("check", address, seconds + GRACE)

    def hold(self, address: str, lease: Lease) -> None:
        """Renews a lease from now on, together with all others of its context, until it is lost or released."""
        # First of all: an appointment that is due meanwhile must not miss it.
        self.register(address, lease)
        self.attend(address, lease)

    def register(self, address: str, lease: Lease) -> None:
        """Adds a lease to those that are renewed. Called from any thread."""
        self._leases.add(address, lease)

    def attend(self, address: str, lease: Lease) -> None:
        """Makes the appointments for a lease."""
        self._plan("renew", address, lease.renewal_in)
        self.expect(address, lease.ttl)

    def keeps(self, address: str, lease: Lease) -> bool:
        """Returns whether the present appointments renew and sweep the lease in time."""
        kept = self._appointments
        return kept.covers("renew", address, lease.renewal_in) and kept.covers("sweep", address, lease.ttl + GRACE)

    def tidy(self) -> None:
        """Gives back from now on, as long as something is held, what forgotten objects hold. Called from any thread."""
        self._plan("tidy", "", _TIDY)

    def end_leases(self) -> None:
        """Ends all leases: their holders no longer rely on them. Called from any thread."""
        self._leases.end()

    def let_go(self, address: str, lease: Lease) -> None:
        """Stops renewing a lease. Called from any thread."""
        # Its appointment stays: the next lease is likely to use it.
        self._leases.remove(address, lease)

    def _channel(self, address: str) -> str:
        return keys_of(self._namespace, address).channel

    def _on_message(self, kind: bytes, channel: str, raw: bytes) -> None:
        address = address_of_key(self._namespace, channel)
        try:
            record = parse_record(raw)
        except MALFORMED as error:
            logger.warning("a message on %s is no commit, and ignored: %r", channel, error)
            return self._doubt(address)
        if address is None:
            return None
        self._stats.add("bytes", record.size)
        self._note_deadlines(address, record)
        if kind == b"message" and (feed := self._feeds.get(address)):
            self._count_gap(not feed.deliver(record))
        elif kind == b"pmessage":
            for watch in self._observers:
                watch.offer(address, record)
        return None

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
        if address is not None and (feed := self._feeds.get(address)):
            feed.doubt()
            self._plan("check", address, 0.0)
        else:
            self._each_observer(lambda watch: watch.resync())

    def _on_down(self, error: CCSError) -> None:
        for feed in self._feeds.values():
            for mailbox in feed.mailboxes:
                mailbox.fail(copy_of(error))
        self._each_observer(lambda watch: watch.fail(copy_of(error)))

    def _on_refused(self, channel: str, error: CCSError) -> None:
        address = address_of_key(self._namespace, channel)
        if address is not None and (feed := self._feeds.get(address)):
            for mailbox in feed.mailboxes:
                mailbox.fail(copy_of(error))
        else:
            self._each_observer(lambda watch: watch.fail(copy_of(error)))

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

    def _sweep(self, address: str) -> Sequence[ScheduledCall]:
        batch = Batch([Commit("", [sweep_op()])], "", 0)
        return [self._errand(address, batch, self._swept)]

    def _swept(self, address: str, answers: Sequence[Applied | CCSError]) -> None:
        applied = answers[0]
        if isinstance(applied, Forbidden):
            raise applied
        if isinstance(applied, Applied) and applied.result[0]:
            self.expect(address, applied.result[0] / 1000 - applied.at / 1_000_000)

    def _renew(self, address: str) -> Sequence[ScheduledCall]:
        now = time.monotonic()
        leases = self._leases.of(address)
        if not leases:
            self._leases.prune(address)
        due = [lease for lease in leases if lease.is_due(now)]
        self._plan_renewal(address, [lease for lease in leases if not lease.is_due(now)])
        for lease in due:
            if lease.term(now) <= 0:
                self.let_go(address, lease)
        renewed = [lease for lease in due if lease.term(now) > 0]
        starts = range(0, len(renewed), _RENEWED_AT_ONCE)
        return [self._renewal(address, renewed[start : start + _RENEWED_AT_ONCE], now) for start in starts]

    def _renewal(self, address: str, leases: Sequence[Lease], now: float) -> ScheduledCall:
        terms = [lease.term(now) for lease in leases]
        batch = Batch([_renewing(lease, term) for lease, term in zip(leases, terms, strict=True)], "", 0)

        def renewed(address: str, answers: Sequence[Applied | CCSError]) -> None:
            for lease, term, answer in zip(leases, terms, answers, strict=True):
                if isinstance(answer, Applied):
                    lease.renewed(now, term)
                else:
                    self.let_go(address, lease)
                    lease.lose()
            self._plan_renewal(address, [lease for lease in leases if not lease.lost])

        return self._errand(address, batch, renewed)

    def _plan_renewal(self, address: str, leases: Sequence[Lease]) -> None:
        if leases:
            self._plan("renew", address, min(lease.due for lease in leases) - time.monotonic())

    def _tidy(self, _: str) -> Sequence[ScheduledCall]:
        """Gives back what forgotten objects hold."""
        if self.holdings.prune(time.monotonic()):
            self.tidy()
        return [self._giving_back(address, some) for address, some in grouped(self.holdings.forgotten())]

    def _giving_back(self, address: str, some: list[Holding]) -> ScheduledCall:
        # First: what is given back must not be renewed.
        given = {(holding.path, holding.revision) for holding in some}
        for lease in self._leases.of(address):
            if (lease.path, lease.revision) in given:
                self.let_go(address, lease)

        def given_back(address: str, answers: Sequence[Applied | CCSError]) -> None:
            self.holdings.done_with(some)
            for holding, answer in zip(some, answers, strict=True):
                if isinstance(answer, Applied) and holding.owner is None:  # else it was lost before
                    _warn_forgotten(holding)

        return self._errand(address, giving_back(some), given_back)

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

    def _errand(
        self, address: str, batch: Batch, take: Callable[[str, Sequence[Applied | CCSError]], None]
    ) -> ScheduledCall:
        call = commit_call(batch, keys_of(self._namespace, address), address, self._commands.forbidden)
        return ScheduledCall(call, partial(take, address), len(batch.commits))


def _warn_forgotten(holding: Holding) -> None:
    said = (
        f"{holding.path} in {holding.address} was held and then forgotten, and is given back: leave it, or release() it"
    )
    try:
        warnings.warn(said, ResourceWarning, stacklevel=1)
    except ResourceWarning as warning:  # turned into an error, which no caller could catch
        logger.warning("%s", warning)


def _renewing(lease: Lease, term: float) -> Commit:
    return Commit("", [renew_op(lease.path, millis(term))], [revision_guard(lease.path, lease.revision)])
