# Generated from ccs/aio/entries.py by scripts/twin. Do not edit.
"""Reads, writes, transactions and watches of one context: what recipes are given."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from ccs._compat import maybe, sleep
from ccs._core.numbers import whole
from ccs._core.retry import jitter
from ccs._sync.place import Place
from ccs._sync.transaction import Transaction
from ccs._sync.watches import Watches
from ccs._sync.writes import Writes
from ccs.errors import Conflict

__all__ = ["Entries"]

T = TypeVar("T")


class Entries(Writes, Watches):
    """The entries of one context, for one agent."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def transaction(self) -> Transaction:
        """Several reads and writes as one commit; `Conflict` when it is left if anything read has changed.

        >>> entry = task.set("status", "open")
        >>> with task.transaction() as tx:
        ...     if tx.get("status") == "open":
        ...         tx.set("status", "closed")
        >>> task.get("status")
        'closed'
        """
        return Transaction(self)

    def transact(self, fn: Callable[[Transaction], T], *, attempts: int = 10) -> T:
        """`fn(tx)` in a transaction, again on `Conflict`, `attempts` times in all; what `fn` returns.

        `fn` may be called several times: it should do nothing but read and write in `tx`.
        """
        for lost in range(whole("attempts", attempts, "at least one", 1)):
            try:
                with self.transaction() as tx:
                    return maybe(fn(tx))
            except Conflict as conflict:
                if conflict.policy or lost + 1 == attempts:
                    raise
                sleep(jitter(lost, random.random()))
        raise AssertionError("unreachable")
