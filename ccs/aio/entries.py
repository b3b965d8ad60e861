"""Reads, writes, transactions and watches of one context: what recipes are given."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from ccs._compat import async_maybe, async_sleep
from ccs._core.numbers import whole
from ccs._core.retry import jitter
from ccs.aio.place import Place
from ccs.aio.transaction import Transaction
from ccs.aio.watches import Watches
from ccs.aio.writes import Writes
from ccs.errors import Conflict

__all__ = ["Entries"]

T = TypeVar("T")


class Entries(Writes, Watches):
    """The entries of one context, for one agent."""

    def __init__(self, place: Place) -> None:
        self._place = place

    def transaction(self) -> Transaction:
        """Several reads and writes as one commit; `Conflict` when it is left if anything read has changed.

        >>> entry = await task.set("status", "open")
        >>> async with task.transaction() as tx:
        ...     if await tx.get("status") == "open":
        ...         tx.set("status", "closed")
        >>> await task.get("status")
        'closed'
        """
        return Transaction(self)

    async def transact(self, fn: Callable[[Transaction], T], *, attempts: int = 10) -> T:
        """`fn(tx)` in a transaction, again on `Conflict`, `attempts` times in all; what `fn` returns.

        `fn` may be called several times: it should do nothing but read and write in `tx`.
        """
        for lost in range(whole("attempts", attempts, "at least one", 1)):
            try:
                async with self.transaction() as tx:
                    return await async_maybe(fn(tx))
            except Conflict as conflict:
                if conflict.policy or lost + 1 == attempts:
                    raise
                await async_sleep(jitter(lost, random.random()))
        raise AssertionError("unreachable")
