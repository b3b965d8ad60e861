# Generated from ccs/_async/context.py by scripts/twin. Do not edit.
"""A context as users hold it: its entries, its mirrors and memories, its end."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from ccs._core.codec import encode
from ccs._core.commits.operations import drop_op, finish_op
from ccs._core.times import Duration, millis
from ccs._sync.context_handle import Fence, Handle
from ccs._sync.coordination import Coordination
from ccs._sync.memory.episodic import Episodic
from ccs._sync.memory.procedural import Procedural
from ccs._sync.memory.semantic import Semantic
from ccs._sync.mirror import Mirror
from ccs._sync.reads import matcher_of
from ccs.types import Change

if TYPE_CHECKING:
    from ccs._sync.store import Store

__all__ = ["Context"]


class Context(Coordination):
    """One task, session, actor, or the global context: the unit of atomicity, order and expiry.

    Its first commit creates it. It disappears with all its entries when it has been idle for its ttl, when it is dropped,
    or some time after it was finished.
    """

    def __init__(self, handle: Handle, store: Store) -> None:
        super().__init__(handle)
        self._store = store

    def __repr__(self) -> str:
        return f"<Context {self.address} as {self.agent!r}, acknowledged up to {self.last_revision}>"

    @property
    def address(self) -> str:
        """Its address in the store: `/tasks/42`."""
        return self._handle.address

    @property
    def agent(self) -> str:
        """The agent that everything written here is attributed to."""
        return self._handle.agent

    @property
    def store(self) -> Store:
        """The store that this context belongs to."""
        return self._store

    @property
    def last_revision(self) -> int:
        """The newest revision that the server has acknowledged to this store for this context; 0 before the first."""
        return self._handle.route.group_commit.last_revision

    def mirror(
        self,
        *patterns: str,
        max_entries: int = 100_000,
        on_change: Callable[[Change], object] | None = None,
    ) -> Mirror:
        """Returns a live local copy of the entries that match: enter it, then read it like a dict.

        `on_change(change)` is called for every change, in order, but not for the entries that exist when the mirror is
        entered; after a reload it is called for the net changes. With more than `max_entries` entries it is `MirrorFull`.

            >>> entry = task.set("findings/a", 1)
            >>> with task.mirror("findings/**") as findings:
            ...     dict(findings), findings.entry("findings/a") == entry
            ({'findings/a': 1}, True)
        """
        return Mirror(self._handle, matcher_of(patterns), patterns or ("**",), max_entries, on_change)

    @property
    def semantic(self) -> Semantic:
        """The semantic memory: facts, found by their meaning."""
        return Semantic(self)

    @property
    def episodic(self) -> Episodic:
        """The episodic memory: what happened, in the order in which it happened."""
        return Episodic(self)

    @property
    def procedural(self) -> Procedural:
        """The procedural memory: how things are done, and how well that has worked."""
        return Procedural(self)

    def finish(self, outcome: Any = None, *, keep: Duration = 3600) -> None:
        """Finishes the context: it stays readable for `keep` seconds, then it is gone.

        Later writes raise `ContextFinished`. Watches yield the changes that are left, then end.
        """
        raw = encode(outcome, self._handle.engine.max_value_bytes)
        self._handle.commit([finish_op(raw, millis(keep, "keep"))])

    def drop(self) -> None:
        """Removes the context and everything in it at once; its watches raise `ContextGone`."""
        self._handle.commit([drop_op()])

    def _behind(self, fence: Fence) -> Self:
        return type(self)(replace(self._handle, fences=(*self._handle.fences, fence)), self._store)
