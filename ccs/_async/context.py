"""The face of a context: its entries, its life, and who acts in it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ccs._async.coordination import Coordination
from ccs._async.handle import Fence, Place
from ccs._async.memory.episodic import Episodic
from ccs._async.memory.procedural import Procedural
from ccs._async.memory.semantic import Semantic
from ccs._async.mirror import Mirror
from ccs._async.reads import matcher_of
from ccs._core.codec import encode
from ccs._core.commits.commit import drop_op, finish_op
from ccs._core.times import Duration, millis
from ccs.types import Change

if TYPE_CHECKING:
    from ccs._async.store import Store

__all__ = ["Context"]


class Context(Coordination):
    """One task, session, actor, or the global context: the unit of atomicity, order and expiry.

    It comes into being with its first commit, and disappears whole when it has been idle for its ttl, is dropped, or
    some time after it was finished.
    """

    def __init__(self, place: Place, store: Store) -> None:
        super().__init__(place)
        self._store = store

    def __repr__(self) -> str:
        return f"<Context {self.address} as {self.agent!r}, acknowledged up to {self.last_revision}>"

    @property
    def address(self) -> str:
        """Its address in the store: `/tasks/42`."""
        return self._place.address

    @property
    def agent(self) -> str:
        """Who is named in everything that is written here."""
        return self._place.agent

    @property
    def store(self) -> Store:
        """The store that it belongs to."""
        return self._store

    @property
    def last_revision(self) -> int:
        """The newest revision that this store has had acknowledged here; 0 before."""
        return self._place.route.group_commit.last_revision

    def mirror(
        self,
        *patterns: str,
        max_entries: int = 100_000,
        on_change: Callable[[Change], object] | None = None,
    ) -> Mirror:
        """A live local copy of what matches, read like a dict; enter it. `MirrorFull` past `max_entries`.

        `on_change(change)` is called with every change that comes in, one after the other; after a reload with the net
        ones. What was there from the start is not told.

            >>> entry = await task.set("findings/a", 1)
            >>> async with task.mirror("findings/**") as findings:
            ...     dict(findings), findings.entry("findings/a") == entry
            ({'findings/a': 1}, True)
        """
        return Mirror(self._place, matcher_of(patterns), patterns or ("**",), max_entries, on_change)

    @property
    def semantic(self) -> Semantic:
        """Facts, found by what they mean."""
        return Semantic(self)

    @property
    def episodic(self) -> Episodic:
        """What happened, in the order of its own time."""
        return Episodic(self)

    @property
    def procedural(self) -> Procedural:
        """How things are done, and how well that has worked."""
        return Procedural(self)

    async def finish(self, outcome: Any = None, *, keep: Duration = 3600) -> None:
        """The task is over: later writes are `ContextFinished`; readable for `keep` seconds, then gone.

        Watches yield what is left and then end.
        """
        raw = encode(outcome, self._place.engine.max_value_bytes)
        await self._place.commit([finish_op(raw, millis(keep, "keep"))], [], len(raw), heeding=False)

    async def drop(self) -> None:
        """Removes the context with everything in it, at once; its watches end with `ContextGone`."""
        await self._place.commit([drop_op()], [], 0, heeding=False)

    def _behind(self, fence: Fence) -> Context:
        return Context(replace(self._place, fences=(*self._place.fences, fence)), self._store)
