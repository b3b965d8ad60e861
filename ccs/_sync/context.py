# Generated from ccs/_async/context.py by scripts/twin. Do not edit.
"""A context as users hold it: its entries, its mirrors and memories, its end."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from types import EllipsisType
from typing import TYPE_CHECKING, Any, Self

from ccs._core.codec import encode
from ccs._core.commits.operations import drop_op, finish_op
from ccs._core.names.address import address_of
from ccs._core.names.reach import narrowed
from ccs._core.quoted_values import shown
from ccs._core.times import Duration, millis, seconds
from ccs._late import loading
from ccs._sync.context_handle import Fence, Handle
from ccs._sync.coordination import Coordination
from ccs._sync.mirror import Mirror
from ccs._sync.reads import matcher_of
from ccs._sync.watching import pattern_list
from ccs.errors import InvalidValue
from ccs.types import Adopted, Change, Durability

if TYPE_CHECKING:
    from ccs._core.briefing.briefing import Briefing
    from ccs._sync.memory.episodic import Episodic
    from ccs._sync.memory.procedural import Procedural
    from ccs._sync.memory.semantic import Semantic
    from ccs._sync.recipes.briefing import Reader
    from ccs._sync.recipes.forks import OnConflict
    from ccs._sync.store import Store
    from ccs._sync.toolset import Toolset

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
        view = "" if self._handle.reach is None else "a view of "
        return f"<Context {view}{self.address} as {self.agent!r}, acknowledged up to {self.last_revision}>"

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
        """The store that this context belongs to. A view raises `Forbidden`: the store reaches everything."""
        if self._handle.reach is not None:
            raise self._handle.beyond("use the store, which reaches everything")
        return self._store

    def view(self, *, read: str | Sequence[str] = ("**",), write: str | Sequence[str] = ()) -> Self:
        """Returns the same context, narrowed in this process to what matches: for code that is trusted less than you.

        What the patterns do not show is not listed, watched or found, and it is `Forbidden` to name it, as is a write of
        what does not match `write`. What matches `write` alone can be set and deleted, without a guard, but not read. Roots of
        the system are named: `@claims/**` for claims, and so on. The same goes for all that comes from a view; a view of a
        view never shows more. It cannot finish or drop its context, nor reach its store.

            >>> revision = task.set_many({"sources/a": 1, "plans/secret": 2})
            >>> view = task.view(read="sources/**", write="notes/*")
            >>> view.paths(), view.set("notes/a", "read").path
            (['sources/a'], 'notes/a')
            >>> try:
            ...     view.get("plans/secret")
            ... except ccs.Forbidden as error:
            ...     error.action
            "read 'plans/secret'"
        """
        reach = narrowed(self._handle.reach, pattern_list(read), pattern_list(write))
        return type(self)(replace(self._handle, reach=reach), self._store)

    @property
    def last_revision(self) -> int:
        """The newest revision that the server has acknowledged to this store for this context; 0 before the first."""
        return self._handle.route.group_commit.last_revision

    def durable(self, *, disk: bool = True, replicas: int = 0, timeout: Duration = 5.0) -> Self:
        """Returns the same context, whose commits return once they are safe: on the primary's disk, on so many replicas.

        It waits at most `timeout` seconds after a commit was applied. Then, and where a failure leaves it unknown, it raises
        `NotDurable`: the commit stands, and the error says what was reached. `UnsafeServer` if the server can do neither of
        what `disk` needs: `appendfsync always`, or Redis 8 or newer with an append-only file. The embedded server is switched
        to the former while a store is open that has made such a commit. With `disk=False` and no replicas, commits return as
        soon as they are applied.

            >>> safe = task.durable(replicas=1)
            >>> safe.address == task.address
            True
        """
        asked = Durability(disk, replicas, seconds(timeout, "timeout"))
        return type(self)(self._handle.durable(asked), self._store)

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
        with loading:
            from ccs._sync.memory.semantic import Semantic  # noqa: PLC0415 - loaded when asked for

        return Semantic(self)

    @property
    def episodic(self) -> Episodic:
        """The episodic memory: what happened, in the order in which it happened."""
        with loading:
            from ccs._sync.memory.episodic import Episodic  # noqa: PLC0415 - loaded when asked for

        return Episodic(self)

    @property
    def procedural(self) -> Procedural:
        """The procedural memory: how things are done, and how well that has worked."""
        with loading:
            from ccs._sync.memory.procedural import Procedural  # noqa: PLC0415 - loaded when asked for

        return Procedural(self)

    def briefing(
        self,
        *patterns: str,
        since: str | None = None,
        max_tokens: int = 2000,
        role: str | None = None,
        own: bool = False,
        pinned: Sequence[str] = (),
        count: Callable[[str], int] | None = None,
    ) -> Briefing:
        """Returns what a model should read of the context, as Markdown of at most `max_tokens` tokens: `str(briefing)`.

        Without `since` it tells the present state; with the `cursor` of an earlier briefing, what others have changed since
        then, net for each path (`own=True`: this agent too). It also tells the unread messages of `role`, without
        receiving them, the claims of others and those that this agent lost, the `pinned` paths, events, and who came and
        went. Headlines come before values; what does not fit is counted, and left for the next page: while the
        briefing is not `complete`, `since=briefing.cursor` goes on at the same moment. It costs what changed, not what there is.

        Values stand in fences that they cannot leave. The same question about the same moment gives the same text. History
        that is gone or was rewritten is told in the first line, followed by the present state. `count` counts the tokens of a
        text; the default, a third of its bytes, is more than models count. Raises `InvalidValue` for a budget below 40,
        and for a cursor of another context; `Forbidden` for a role or a pinned path that a view does not show.

            >>> entry = task.set("status", "data_ready")
            >>> first = task.briefing()
            >>> entry = store.context(task.address, agent="ann").set("sources/a", "a text")
            >>> news = task.briefing(since=first.cursor)
            >>> [(item.path, item.agents) for item in news.items], news.complete
            ([('sources/a', ('ann',))], True)
        """
        with loading:
            from ccs._sync.recipes.briefing import brief, question_of  # noqa: PLC0415 - loaded when asked for

        asked = question_of(self._handle, patterns, role, own, pinned, max_tokens, count)
        return brief(self._handle, asked, since)

    def reader(self, name: str, role: str | None = None) -> Reader:
        """Returns the reader of a name: its `briefing`s tell what came after the last one that it was given to `ack`.

        Where it stands is kept in the context, so another process goes on there.

            >>> entry = store.context(task.address, agent="ann").set("status", "open")
            >>> reader = task.reader("analyst")
            >>> briefing = reader.briefing()
            >>> reader.ack(briefing)
            >>> bool(briefing), bool(reader.briefing())
            (True, False)
        """
        with loading:
            from ccs._sync.recipes.briefing import Reader  # noqa: PLC0415 - loaded when asked for

        return Reader(self, name, role)

    def tools(
        self,
        *,
        role: str | None = None,
        read: str | Sequence[str] = ("**",),
        write: str | Sequence[str] = (),
        allow_delete: bool = False,
        max_tokens: int = 4000,
        count: Callable[[str], int] | None = None,
        only: Iterable[str] | None = None,
    ) -> Toolset:
        """Returns tools with which a model uses the context: definitions for function calling, and `call` for what it asks.

        The model reads what matches `read`, writes what matches `write`, gets the messages of `role`, and claims what it may
        read; it deletes only with `allow_delete`. It never chooses agent, context, patterns or budget. Tools that are
        useless with these arguments, or are not among `only`, are not offered. An answer takes at most `max_tokens` tokens
        by `count`, or by a third of its bytes, and says how to go on. Of a view, the tools reach no more than the view.

            >>> tools = task.tools(role="analyst", write=["findings/**"])
            >>> tools.names
            ('briefing', 'list', 'read', 'history', 'wait', 'write', 'merge', 'claim', 'release', 'send', 'inbox')
            >>> with tools:
            ...     result = tools.call("write", {"path": "findings/a", "value": 1, "if_revision": 0})
            >>> result.is_error, result.data["done"]
            (False, True)
        """
        with loading:
            from ccs._sync.toolset import toolset_of  # noqa: PLC0415 - loaded when asked for

        reads = pattern_list(read)
        writes = pattern_list(write)
        view = self.view(read=reads, write=writes)
        return toolset_of(self, view, reads, writes, role, allow_delete, max_tokens, count, only)

    def fork(self, id: str, *patterns: str, ttl: Duration | EllipsisType | None = ...) -> Context:
        """Makes the task `/tasks/<id>` with a copy of the entries that match, all of one moment. Returns it.

        For a hypothesis: work in the fork, then `adopt` what it found, or drop it. Deadlines are copied, entries of the system
        (`@…`) are not. `ttl` is as for `store.task`. Raises `Conflict` if that task exists, `ValueTooLarge` for more than 16
        MiB, `Forbidden` for a view; then there is no fork.

            >>> entry = task.set("price", 100)
            >>> fork = task.fork("q2-market-cheaper", "price", "sources/**")
            >>> entry = fork.set("price", 80)
            >>> task.get("price"), task.adopt(fork).applied, task.get("price")
            (100, ('price',), 80)
        """
        with loading:
            from ccs._sync.recipes.forks import fill  # noqa: PLC0415 - loaded when asked for

        fork = self._store.context(address_of("tasks", id), agent=self._handle.named, ttl=ttl)
        fill(self._handle, fork.handle, patterns)
        return fork

    def adopt(self, fork: Context, *patterns: str, on_conflict: OnConflict = "raise") -> Adopted:
        """Writes what a fork of this context has changed, in one commit. Returns what was applied.

        Each path that matches is compared, by its value, with its state at the fork, or when it was last adopted. So adopting
        again brings only what is new. A path that changed on both sides, to different values, is decided by `on_conflict`:
        "raise" raises `AdoptConflict` and writes nothing, "ours" keeps what is here, "theirs" takes what is there. A function
        `fn(path, base, ours, theirs)` returns the value; it may be called several times. A side that has no entry is None
        to it; if one has none, returning None removes the path. It needs the history of the fork: `HistoryCompacted` if
        that is too short.

        If somebody writes one of the paths meanwhile, it reads again. Raises `InvalidValue` for what is not a fork of this
        context, `ContextGone` for one that does not exist any more, else as `set` does.
        """
        with loading:
            from ccs._sync.recipes.forks import adopt  # noqa: PLC0415 - loaded when asked for

        if not isinstance(fork, Context):
            raise InvalidValue(
                f"the fork is {shown(fork)}: give the context that fork() returned, or one of its address"
            )
        return adopt(self, fork.handle, patterns, on_conflict)

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
