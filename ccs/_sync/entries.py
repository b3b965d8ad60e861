# Generated from ccs/_async/entries.py by scripts/twin. Do not edit.
"""Reads, writes, transactions and watches of one context, on which the recipes are built."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from ccs._compat import callable_of, maybe
from ccs._core.times import Duration
from ccs._sync.context_handle import Handle
from ccs._sync.optimistic import Race
from ccs._sync.transaction import Transaction
from ccs._sync.watching import Watches
from ccs._sync.writes import Writes
from ccs.errors import Conflict

__all__ = ["Entries"]

T = TypeVar("T")


class Entries(Writes, Watches):
    """The entries of one context, as one agent reads and writes them."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle

    def transaction(self) -> Transaction:
        """Returns a transaction: several reads and writes as one commit.

        Leaving it raises `Conflict` if anything that it read has changed.

        >>> entry = task.set("status", "open")
        >>> with task.transaction() as tx:
        ...     if tx.get("status") == "open":
        ...         tx.set("status", "closed")
        >>> task.get("status")
        'closed'
        """
        return Transaction(self)

    def transact(
        self, fn: Callable[[Transaction], T], *, attempts: int | None = 10, timeout: Duration | None = None
    ) -> T:
        """Runs `fn(tx)` in a transaction and retries it on `Conflict`. Returns what `fn` returns.

        `fn` may be called several times, so it should only read and write in `tx`. Raises the last `Conflict` after
        `attempts` calls (None: no bound), or `TimeoutError` after `timeout` seconds, those of `fn` included; then nothing
        was written.
        """
        callable_of(fn)
        race = Race("transaction", attempts=attempts, timeout=timeout)
        while True:
            try:
                with self.transaction() as tx:
                    result = maybe(fn(tx))
                    race.check()
                return result
            except Conflict as conflict:
                race.lose(conflict)
