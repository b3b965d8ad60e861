"""The background listener, asyncio: one subscription connection a store, and the appointments of its contexts.

It parses each commit once and hands it to the feeds. The channel is only a hint: after a reconnect, a gap or a
silence the watches read the journal. The blocking twin, written by hand, runs this very class in a thread, and lets
others read the messages: what those touch is made for it, or goes through `tell`.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Protocol

from ccs._compat import AsyncSignal, Lock, call
from ccs._core.agenda import Agenda
from ccs._core.commit import (
    Applied,
    Argument,
    Batch,
    Commit,
    Settings,
    commit_arguments,
    parse_answers,
    refused_action,
    renew_op,
    revision_guard,
    sweep_op,
)
from ccs._core.feed import Feed
from ccs._core.journal import MALFORMED, JournalPage, Record, parse_page, parse_record
from ccs._core.keys import Keys, address_of_key, channel_glob, keys_of
from ccs._core.lease import Lease, renewal_in
from ccs._core.mailbox import Mailbox
from ccs._core.read import journal_arguments, journal_keys
from ccs._core.retry import Patience
from ccs._core.target import Target
from ccs._core.times import millis
from ccs._faults import copy_of
from ccs._log import logger
from ccs._scripts import COMMIT, JOURNAL, Script
from ccs._stats import Counters
from ccs.aio.connection import Connection
from ccs.aio.dial import Dialer
from ccs.aio.line import Line
from ccs.aio.link import Link
from ccs.aio.wire import Plain
from ccs.errors import CCSError, Forbidden, StoreClosed

__all__ = ["Listener", "Overhearing"]

# Seconds: a look at a context that has been silent, at all of them, and how long after a deadline we come.
SILENCE, RESYNC, GRACE = 5.0, 30.0, 0.005
_RENEWED_AT_ONCE = 256

Appointment = tuple[str, str]


class Overhearing(Protocol):
    """Who hears every context of the namespace: a watch of the whole store."""

    def overhear(self, address: str, record: Record) -> None:
        """The next message of any context."""

    def resync(self, *, routine: bool = False) -> None:
        """Messages may have been missed; or it is only time to look again."""

    def fail(self, error: CCSError) -> None:
        """Nothing can be delivered at present."""


class Listener:
    """Hears the commits of all contexts that somebody of this store watches, and keeps their appointments."""

    def __init__(
        self,
        target: Target,
        timeout: float,
        namespace: str,
        retry_for: float,
        stats: Counters,
        tell: Callable[..., object] = call,
        plain: Plain | None = None,
    ) -> None:
        # A connection of its own, for the sweeps and the looks at the journal: it depends on nobody's commands.
        self._dialer = Dialer(target, timeout, retry_for)
        self._connection = Connection(Link(self._dialer, stats), self._dialer.address, target.user, retry_for, stats)
        self._namespace, self._retry_for, self._stats = namespace, retry_for, stats
        self._feeds: dict[str, Feed] = {}
        # Replaced, never changed: another thread may be on its way through them.
        self._overhearing: tuple[Overhearing, ...] = ()
        self._tell = tell
        told = self._on_message, self._on_live, self._on_down, self._on_refused
        self._line = Line(self._dialer, *told, retry_for, stats, tell, plain)
        self._agenda: Agenda[Appointment] = Agenda()
        self._forbidden: set[Appointment] = set()
        self._leases: dict[Lease, str] = {}
        self._kept: dict[str, Callable[[str], Awaitable[None]]] = {
            "sweep": self._sweep,
            "renew": self._renew,
            "check": self._check,
            "resync": self._resync,
        }
        self._planned = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def __repr__(self) -> str:
        return f"<Listener to {len(self._feeds)} contexts over {self._line!r}>"

    async def open(self) -> None:
        """Nothing to do yet: the line is opened for the first watch, the clock started for the first appointment."""

    async def aclose(self) -> None:
        """Ends the line, the appointments and the connection; who waits for changes is told."""
        self._on_down(StoreClosed(f"the store at {self._dialer.address} was closed; connect anew"))
        if self._task:
            self._task.cancel()
            await asyncio.wait([self._task])
        await self._line.aclose()
        await self._connection.aclose()
        await self._dialer.aclose()

    def signal(self) -> AsyncSignal:
        """What one who is woken by this listener waits for."""
        return AsyncSignal()

    async def join(self, address: str, mailbox: Mailbox) -> None:
        """Adds a watch to a context: when this returns, whatever is committed from then on reaches the mailbox."""
        feed = self._feeds.setdefault(address, Feed(address, Lock()))
        feed.mailboxes += (mailbox,)
        try:
            await self._line.subscribe("SUBSCRIBE", self._channel(address), self._retry_for)
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
            self._agenda.cancel(("check", address))
            self._line.unsubscribe("UNSUBSCRIBE", self._channel(address))

    async def overhear(self, watch: Overhearing) -> None:
        """Adds a watch of the whole store: live when this returns."""
        self._overhearing += (watch,)
        try:
            await self._line.subscribe("PSUBSCRIBE", channel_glob(self._namespace), self._retry_for)
        except BaseException:
            await self.ignore(watch)
            raise
        self._plan(("resync", ""), RESYNC)

    async def ignore(self, watch: Overhearing) -> None:
        """Removes a watch of the whole store."""
        self._overhearing = tuple(each for each in self._overhearing if each is not watch)
        if not self._overhearing:
            self._line.unsubscribe("PUNSUBSCRIBE", channel_glob(self._namespace))

    def anchor(self, address: str, page: JournalPage) -> None:
        """A look at the journal after joining: where the context stands, and its deadlines."""
        if feed := self._feeds.get(address):
            feed.anchor(page.last)
            self._plan_from(address, page)

    def expect(self, address: str, seconds: float) -> None:
        """An entry will be due in so many seconds: sweeps then, so that its end becomes a commit."""
        if ("sweep", address) not in self._forbidden:
            self._plan(("sweep", address), seconds + GRACE)

    def check_soon(self, address: str, seconds: float) -> None:
        """Looks at a context then, whether it still exists."""
        self._plan(("check", address), seconds + GRACE)

    def hold(self, address: str, lease: Lease) -> None:
        """Renews a lease from now on, in one command with all others of its context, until it is lost or let go."""
        # First of all it is there: an appointment that is due meanwhile must not overlook it.
        self.register(address, lease)
        self.attend(address, lease)

    def register(self, address: str, lease: Lease) -> None:
        """Adds a lease to those that are renewed when it is time. From any thread."""
        self._leases[lease] = address

    def attend(self, address: str, lease: Lease) -> None:
        """Makes the appointments for a lease."""
        self._plan(("renew", address), renewal_in([lease]))
        self.expect(address, lease.ttl)

    def keeps(self, address: str, lease: Lease) -> bool:
        """Whether it will be renewed, and swept, by the appointments that there are: nobody need be woken for it."""
        now = time.monotonic()
        return self._agenda.covers(("renew", address), now + renewal_in([lease])) and self._agenda.covers(
            ("sweep", address), now + lease.ttl + GRACE
        )

    def let_go(self, address: str, lease: Lease) -> None:
        """Renews a lease no more. From any thread."""
        # Its appointment stays: the next lease is likely to need it.
        self._leases.pop(lease, None)

    def _leases_in(self, address: str) -> list[Lease]:
        return [lease for lease, where in list(self._leases.items()) if where == address]

    def _channel(self, address: str) -> str:
        return keys_of(self._namespace, address).channel

    def _on_message(self, kind: bytes, channel: str, raw: bytes) -> None:
        address = address_of_key(self._namespace, channel)
        try:
            record = parse_record(raw)
        except MALFORMED as error:
            logger.warning("what was said on %s is no commit, and ignored: %r", channel, error)
            return self._doubt(address)
        if address is None:
            return None
        self._stats.add("bytes", record.size)
        self._note_deadlines(address, record)
        if kind == b"message" and (feed := self._feeds.get(address)):
            self._count_gap(not feed.deliver(record))
        elif kind == b"pmessage":
            for watch in self._overhearing:
                watch.overhear(address, record)
        return None

    def _doubt(self, address: str | None) -> None:
        if address is not None and (feed := self._feeds.get(address)):
            feed.doubt()
            self._plan(("check", address), 0.0)

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
        # Live again after a loss: what was said meanwhile is in the journal.
        address = address_of_key(self._namespace, channel)
        if address is not None and (feed := self._feeds.get(address)):
            feed.doubt()
            self._plan(("check", address), 0.0)
        else:
            self._each_overhearing(lambda watch: watch.resync())

    def _on_down(self, error: CCSError) -> None:
        for feed in self._feeds.values():
            for mailbox in feed.mailboxes:
                mailbox.fail(copy_of(error))
        self._each_overhearing(lambda watch: watch.fail(copy_of(error)))

    def _on_refused(self, channel: str, error: CCSError) -> None:
        address = address_of_key(self._namespace, channel)
        if address is not None and (feed := self._feeds.get(address)):
            for mailbox in feed.mailboxes:
                mailbox.fail(copy_of(error))
        else:
            self._each_overhearing(lambda watch: watch.fail(copy_of(error)))

    def _each_overhearing(self, tell: Callable[[Overhearing], None]) -> None:
        for watch in self._overhearing:
            tell(watch)

    def _plan(self, what: Appointment, seconds: float) -> None:
        when = time.monotonic() + seconds
        if not self._agenda.covers(what, when):
            self._tell(self._appoint, what, when)

    def _appoint(self, what: Appointment, when: float) -> None:
        if self._agenda.plan(what, when):
            self._planned.set()
        if self._task is None:
            self._task = asyncio.create_task(self._keep_appointments(), name="ccs appointments")

    def _plan_from(self, address: str, page: JournalPage) -> None:
        if page.next_expiry:
            self.expect(address, (page.next_expiry - page.now) / 1000)
        if page.deadline:
            self.check_soon(address, (page.deadline - page.now) / 1000)
        self._plan(("check", address), SILENCE)

    async def _keep_appointments(self) -> None:
        while True:
            when = self._agenda.next()
            self._planned.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(None if when is None else max(0.0, when - time.monotonic())):
                    await self._planned.wait()
            for what in self._agenda.due(time.monotonic()):
                await self._keep(what)

    async def _keep(self, what: Appointment) -> None:
        kind, address = what
        try:
            await self._kept[kind](address)
        except Forbidden as error:
            # Those who may do it for all; nor is every read a reason to try again.
            self._forbidden.add(what)
            logger.warning("%s of %s is left to others: %s", kind, address, error)
        except CCSError as error:
            logger.warning("%s of %s failed, again in a second: %s", kind, address, error)
            self._plan(what, 1.0)
        except Exception:  # noqa: BLE001  # whatever it is, the other appointments are kept
            logger.exception("%s of %s failed, again in a second", kind, address)
            self._plan(what, 1.0)

    async def _sweep(self, address: str) -> None:
        keys = keys_of(self._namespace, address)
        batch = Batch([Commit("", [sweep_op()])], "", 0)
        arguments = commit_arguments(batch, keys, Settings(0, 1, 1))
        reply = await self._ask(COMMIT, keys.all, arguments)
        applied = parse_answers(batch, address, reply, partial(self._forbid, keys))[0]
        if isinstance(applied, Forbidden):
            raise applied
        if isinstance(applied, Applied) and applied.result[0]:
            self.expect(address, applied.result[0] / 1000 - applied.at / 1_000_000)

    async def _renew(self, address: str) -> None:
        leases, sent = self._leases_in(address), time.monotonic()
        ended = [lease for lease in leases if lease.term(sent) <= 0]
        for lease in ended:
            self.let_go(address, lease)
        for start in range(0, len(leases), _RENEWED_AT_ONCE):
            await self._renew_some(
                address, [each for each in leases[start : start + _RENEWED_AT_ONCE] if each not in ended]
            )
        if leases := self._leases_in(address):
            self._plan(("renew", address), renewal_in(leases))

    async def _renew_some(self, address: str, leases: list[Lease]) -> None:
        keys, sent = keys_of(self._namespace, address), time.monotonic()
        terms = [lease.term(sent) for lease in leases]
        batch = Batch([_renewal(lease, term) for lease, term in zip(leases, terms, strict=True)], "", 0)
        arguments = commit_arguments(batch, keys, Settings(0, 1, 1))
        answers = parse_answers(
            batch, address, await self._ask(COMMIT, keys.all, arguments), partial(self._forbid, keys)
        )
        for lease, term, answer in zip(leases, terms, answers, strict=True):
            if isinstance(answer, Applied):
                lease.renewed(sent, term)
            else:
                self.let_go(address, lease)
                lease.lose()

    async def _check(self, address: str) -> None:
        feed = self._feeds.get(address)
        if feed is None:
            return
        page = await self._look(address, feed.last or 0)
        self._count_gap(feed.check(page))
        self._plan(("check", address), SILENCE)

    async def _look(self, address: str, cursor: int) -> JournalPage:
        keys = journal_keys(keys_of(self._namespace, address))
        page = parse_page(await self._ask(JOURNAL, keys, journal_arguments(cursor, 0)))
        self._plan_from(address, page)
        return page

    async def _resync(self, _: str) -> None:
        self._each_overhearing(lambda watch: watch.resync(routine=True))
        if self._overhearing:
            self._plan(("resync", ""), RESYNC)

    def _forbid(self, keys: Keys, refused: str) -> Forbidden:
        return self._connection.forbidden(refused_action(refused, keys))

    async def _ask(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument]) -> Any:
        # One appointment after the other: none may hold up the rest for long.
        return await self._connection.script(script, keys, arguments, patience=Patience(time.monotonic() + 1.0))


def _renewal(lease: Lease, term: float) -> Commit:
    return Commit("", [renew_op(lease.path, millis(term))], [revision_guard(lease.path, lease.revision)])
