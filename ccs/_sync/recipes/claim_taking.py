# Generated from ccs/_async/recipes/claim_taking.py by scripts/twin. Do not edit.
"""Taking claims: at once or in line, one, one of several, or all of several, always in one commit.

A caller without tickets takes what it wants in one commit, provided no ticket exists. A caller with tickets takes it once
it is free and no older ticket exists, in one commit that removes its tickets. The tickets for several resources are
written in one commit too. So all lines have them in the same order, and no two callers wait for each other.

All that an acquisition writes carries its own random id. So if it is cancelled, or a reply is lost, its entries can be
found and removed.
"""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple

from ccs._compat import Worker
from ccs._core.codec import encode
from ccs._core.commits.entry import to_entry
from ccs._core.commits.operations import (
    Guard,
    Operation,
    delete_op,
    nothing_below,
    renew_op,
    revision_guard,
    set_op,
)
from ccs._core.commits.script_calls import entries_call
from ccs._core.recipes.claim import Chance, Lines, Wish
from ccs._core.recipes.lease import Lease
from ccs._core.times import millis
from ccs._log import logger
from ccs._sync.entries import Entries
from ccs._sync.recipes.claim_queue import Turns
from ccs.errors import AlreadyClaimed, CCSError, ClaimLost, Conflict, InvalidValue, Misuse, Unavailable

__all__ = ["Taking", "Terms"]

# Seconds of the longest ttl of a ticket.
_TICKET = 10.0
# Seconds for withdrawing an acquisition, and for that after the server has not answered in the caller's time.
_PATIENCE = 1.0
_AT_LAST = 0.2

Take = Callable[[], list[Lease]]
"""Takes what is wanted. Returns a lease for each claim."""


class Terms(NamedTuple):
    """The terms of a hold: the seconds of a lease, those after which it ends in any case, and a note for others."""

    ttl: float
    most: float = float("inf")
    note: Any = None


class Taking:
    """One acquisition, known by the id of its `attempt`."""

    def __init__(self, entries: Entries, wish: Wish, terms: Terms) -> None:
        self._entries = entries
        self._handle = entries.handle
        self._wish = wish
        self._terms = terms
        self.attempt = secrets.token_hex(8)
        # Whether it failed, perhaps after what it took was noted: then nothing is held.
        self.has_failed = False

    def __repr__(self) -> str:
        names = ", ".join(repr(site.resource) for site in self._wish.sites)
        return f"<Taking of {names} in {self._handle.address}>"

    def run(self, take: Take, keep: Callable[[list[Lease]], object]) -> None:
        """Takes what is wanted, and calls `keep` with it. If that fails or is cancelled, nothing is held."""
        try:
            leases = take()
            keep(leases)
        except (AlreadyClaimed, Conflict, InvalidValue, Misuse):
            raise
        except Unavailable:
            self.withdraw(_AT_LAST)
            raise
        except BaseException:
            self.has_failed = True
            self.withdraw()
            raise

    def within(self, wait: float) -> Take:
        """Returns how it is taken: in turn, within so many seconds from now; at once if there are none."""
        return partial(self.in_time, time.monotonic() + wait) if wait else self.at_once

    def at_once(self) -> list[Lease]:
        """Takes it now. Raises `AlreadyClaimed` if it is not free, or others wait for it."""
        lines = self._first_look()
        while True:
            chances = self._wish.choose(lines, dice=random.random())
            if not chances:
                raise self._wish.refusal(lines)
            try:
                return self.take(chances, self._alone(chances))
            except Conflict:
                lines = self._look()

    def in_time(self, deadline: float) -> list[Lease]:
        """Takes it in turn. Raises `AlreadyClaimed` at the deadline (monotonic seconds)."""
        chances = self._wish.choose(self._first_look(), dice=random.random())
        try:
            if chances:
                return self.take(chances, self._alone(chances))
        except Conflict:
            pass
        try:
            return self._in_turn(deadline)
        except TimeoutError:
            self.withdraw()
            raise self._wish.refusal(self._look()) from None
        except (InvalidValue, Misuse):
            self.withdraw()  # from the line
            raise

    def _in_turn(self, deadline: float) -> list[Lease]:
        turns = Turns.of(self._handle.engine, self._handle.address, self._wish.sites)
        while True:
            tickets = self.line_up()
            after = max(ticket.revision for ticket in tickets.values())
            try:
                while chances := turns.comes_up(self.attempt, self._wish, after, deadline):
                    try:
                        return self.in_turn(chances, tickets)
                    except Conflict as conflict:
                        if conflict.path in tickets:
                            break  # it has expired
                        after = conflict.revision  # the picture was out of date: look again
            finally:
                for ticket in tickets.values():
                    self._handle.let_go(ticket)

    def line_up(self) -> dict[str, Lease]:
        """Writes a ticket for each resource, in one commit. Returns their leases, by path."""
        paths = [site.ticket(self.attempt) for site in self._wish.sites]
        for path in paths:
            # Noted before it exists, so that a store that is closed meanwhile gives it back too.
            self._handle.holding(path, None)
        term = self._handle.term(min(self._terms.ttl, _TICKET))
        leases = self._lend(paths, {"holder": self._handle.agent}, term, float("inf"))
        return dict(zip(paths, leases, strict=True))

    def in_turn(self, chances: Sequence[Chance], tickets: Mapping[str, Lease]) -> list[Lease]:
        """Takes it for its tickets, which are removed. Raises `Conflict` if it is not their turn."""
        mine = [tickets[chance.site.ticket(self.attempt)] for chance in chances]
        guards = [revision_guard(ticket.path, ticket.revision) for ticket in mine]
        return self.take(chances, guards, [delete_op(path) for path in tickets])

    def _alone(self, chances: Sequence[Chance]) -> list[Guard]:
        return [nothing_below(chance.site.queue) for chance in chances]

    def take(self, chances: Sequence[Chance], guards: Sequence[Guard], also: Sequence[Operation] = ()) -> list[Lease]:
        """Takes the claims in one commit with other operations. Raises `Conflict` if that is not possible."""
        value = {"holder": self._handle.agent, "note": self._terms.note, "id": self.attempt}
        if self._wish.slots > 1:
            value["slots"] = self._wish.slots
        term = self._handle.term(self._terms.ttl)
        free = [guard for chance in chances for guard in chance.guards]
        paths = [chance.path for chance in chances]
        leases = self._lend(paths, value, term, self._terms.most, [*free, *guards], also)
        try:
            for lease, chance in zip(leases, chances, strict=True):
                if not lease.held(time.monotonic()):
                    self._confirm(lease, chance.site.resource)
        except BaseException:
            for lease in leases:
                self._handle.let_go(lease)
            raise
        return leases

    def _confirm(self, lease: Lease, resource: str) -> None:
        """Renews a claim whose reply came so late that it may have expired; raises `ClaimLost` if it has."""
        sent = time.monotonic()
        term = lease.term(sent)
        try:
            if term <= 0:
                raise ClaimLost(resource)
            renewal = renew_op(lease.path, millis(term))
            self._handle.commit([renewal], [revision_guard(lease.path, lease.revision)])
        except (ClaimLost, Conflict) as error:
            raise ClaimLost(resource) from error
        lease.renewed(sent, term)

    def _lend(
        self,
        paths: Sequence[str],
        value: Any,
        ttl: float,
        most: float,
        guards: Sequence[Guard] = (),
        also: Sequence[Operation] = (),
    ) -> list[Lease]:
        """Writes entries that are held for `ttl` seconds at a time, and for at most `most`. Returns their leases."""
        raw = encode(value, self._handle.engine.max_value_bytes)
        sent = time.monotonic()
        first = min(ttl, most)
        written = [set_op(path, raw, millis(first)) for path in paths]
        applied = self._handle.commit([*written, *also], guards)
        leases = [Lease(path, applied.revision, ttl, sent + first, sent + most) for path in paths]
        for lease in leases:
            self._handle.hold(lease)
        return leases

    def _first_look(self) -> Lines:
        # What one resource or all of them need is tried as if nothing were there: mostly that is so, and saves a read.
        return Lines(self._wish.sites) if self._wish.all else self._look()

    def _look(self) -> Lines:
        selectors = [selector for site in self._wish.sites for selector in site.selectors]
        found = self._handle.opening.call(entries_call(self._handle.keys, selectors))
        if found.hidden:
            self._handle.sweep()
        return Lines(self._wish.sites, (to_entry(path, raw) for path, raw in found.entries.items()))

    def withdraw(self, patience: float = _PATIENCE) -> None:
        """Removes whatever this acquisition has written, and what is still on its way."""
        # A worker, since a caller that was cancelled should not wait long, and may be cancelled again.
        Worker("ccs claim", partial(self._take_back)).finish(patience)

    def _take_back(self) -> None:
        try:
            # Once this commit is applied, an earlier one that was still on its way is refused.
            tickets = [site.ticket(self.attempt) for site in self._wish.sites]
            self._handle.commit([delete_op(ticket) for ticket in tickets])
            for ticket in tickets:
                self._handle.holdings.remove(self._handle.address, ticket, 0)
            lines = self._look()
            held = [entry for site in self._wish.sites for entry in lines.held(site).values()]
            mine = [entry for entry in held if entry.value["id"] == self.attempt]
            for entry in mine:
                self._handle.commit([delete_op(entry.path)], [revision_guard(entry.path, entry.revision)])
        except CCSError as error:
            logger.info("what is left of %r expires by itself: %s", self, error)
