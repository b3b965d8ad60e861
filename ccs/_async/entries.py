"""Reads, writes, transactions and watches of one context, on which the recipes are built."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar, overload

from ccs._async.context_handle import Handle
from ccs._async.optimistic import Race
from ccs._async.transaction import Transaction
from ccs._async.watching import Watches
from ccs._async.writes import Writes
from ccs._compat import async_maybe, callable_of
from ccs._core.times import Duration
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

        >>> entry = await task.set("status", "open")
        >>> async with task.transaction() as tx:
        ...     if await tx.get("status") == "open":
        ...         tx.set("status", "closed")
        >>> await task.get("status")
        'closed'
        """
        return Transaction(self)

    # [async-only]
    @overload
    async def transact(
        self, fn: Callable[[Transaction], Awaitable[T]], *, attempts: int | None = 10, timeout: Duration | None = None
    ) -> T: ...
    @overload
    async def transact(
        self, fn: Callable[[Transaction], T], *, attempts: int | None = 10, timeout: Duration | None = None
    ) -> T: ...
    # [/async-only]
    async def transact(
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
                async with self.transaction() as tx:
                    result = await async_maybe(fn(tx))
                    race.check()
                return result
            except Conflict as conflict:
                await race.lose(conflict)
