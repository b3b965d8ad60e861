"""The contexts that watches of the whole store follow, each by a channel of its own.

A watch that names its contexts follows these. In a Cluster every watch follows contexts: each has a channel in its own
shard, and sharded channels have no patterns. So the first commit of a context sends a notice to all nodes, with what it
changed. The channel of that context is then subscribed to at once; a watch reads its journal for what came in between. On
a single server one pattern covers all channels.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Collection, Iterable
from typing import Generic, TypeVar

from ccs.errors import CCSError

__all__ = ["FollowedContexts"]

W = TypeVar("W")

# Seconds for which a context that has ended is followed on: another one may come at its address, and commits in it are
# heard from the first one on.
_LINGER = 2.0


class FollowedContexts(Generic[W]):
    """Which watches follow which contexts. `subscribe` and `unsubscribe` are called with an address."""

    def __init__(self, subscribe: Callable[[str], Awaitable[None]], unsubscribe: Callable[[str], None]) -> None:
        self._subscribe = subscribe
        self._unsubscribe = unsubscribe
        self._followers: dict[str, tuple[W, ...]] = {}
        # The subscriptions that are not live yet: each belongs to all that wait for it.
        self._joining: dict[str, asyncio.Task[None]] = {}
        # Those that a watch is about to unfollow, with the time for it: the earliest first.
        self._parting: dict[tuple[W, str], float] = {}
        self._timer: asyncio.TimerHandle | None = None

    def __repr__(self) -> str:
        return f"<FollowedContexts, {len(self._followers)}>"

    def __contains__(self, address: str) -> bool:
        return address in self._followers

    def followers(self, address: str) -> Collection[W]:
        """Returns the watches that follow a context."""
        return self._followers.get(address, ())

    async def follow(self, watch: W, addresses: Iterable[str], seconds: float | None = None) -> bool:
        """Has a watch follow contexts. When this returns, it gets every commit from then on.

        Returns whether it does so after so many seconds; else they are still being subscribed to. One whose subscription
        fails is no longer followed, and the error raised.
        """
        joining = [task for address in addresses if (task := self.begin(watch, address))]
        done, left = await asyncio.wait(joining, timeout=seconds) if joining else (set(), set())
        for task in done:
            if not task.cancelled():  # else it was unfollowed meanwhile
                task.result()
        return not left

    def begin(self, watch: W, address: str) -> asyncio.Task[None] | None:
        """Has a watch follow a context. Returns the task that ends when it is live; None if it is."""
        followers = self.followers(address)
        self._parting.pop((watch, address), None)
        if not followers:
            task = asyncio.create_task(self._join(address), name="ccs new context")
            # Retrieved here too: nobody may wait for it any more.
            task.add_done_callback(lambda task: task.cancelled() or task.exception())
            self._joining[address] = task
        if watch not in followers:
            self._followers[address] = (*followers, watch)
        return self._joining.get(address)

    async def _join(self, address: str) -> None:
        task = asyncio.current_task()
        try:
            await self._subscribe(address)
        except CCSError:
            if self._joining.get(address) is task:
                self._followers.pop(address, None)
                self._unsubscribe(address)
            raise
        finally:
            if self._joining.get(address) is task:
                del self._joining[address]

    def part(self, watch: W, address: str) -> None:
        """Has a watch soon no longer follow a context that has ended, unless it follows it anew: it may come again."""
        loop = asyncio.get_running_loop()
        self._parting.pop((watch, address), None)
        self._parting[watch, address] = loop.time() + _LINGER
        if self._timer is None:
            self._timer = loop.call_later(_LINGER, self._part_in_time)

    def _part_in_time(self) -> None:
        loop = asyncio.get_running_loop()
        for (watch, address), when in list(self._parting.items()):
            if when > loop.time():
                self._timer = loop.call_at(when, self._part_in_time)
                return
            self.unfollow(watch, address)
        self._timer = None

    def unfollow(self, watch: W, address: str) -> None:
        """Has a watch no longer follow a context."""
        self._parting.pop((watch, address), None)
        left = tuple(each for each in self.followers(address) if each is not watch)
        if left:
            self._followers[address] = left
        elif self._followers.pop(address, None):
            if joining := self._joining.pop(address, None):
                joining.cancel()
            self._unsubscribe(address)

    def leave(self, watch: W) -> None:
        """Has a watch follow nothing any more."""
        for address in [each for each, watches in self._followers.items() if watch in watches]:
            self.unfollow(watch, address)

    async def aclose(self) -> None:
        """Ends what has begun."""
        if self._timer:
            self._timer.cancel()
        joining = list(self._joining.values())
        for task in joining:
            task.cancel()
        if joining:
            await asyncio.wait(joining)
