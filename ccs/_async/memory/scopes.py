"""Scoped memory: one key looked up from the most specific scope to the widest, each scope a context of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any, TypeVar, overload

from ccs._async.changes.subscription import ErrorCallback, cell_of, ignored
from ccs._async.entries import Entries
from ccs._async.memory.embeddings import Embeddings
from ccs._async.memory.semantic import found_in
from ccs._async.memory.stored_memories import stored_at
from ccs._async.watching import call_back, wanted_patterns
from ccs._compat import AsyncCaller
from ccs._core.codec import decode, validate
from ccs._core.commits.entry import parse_entry
from ccs._core.commits.field_layout import check_format
from ccs._core.memory.scopes import MEMORY_SCOPES, changes_after, memory_event
from ccs._core.memory.search import Search
from ccs._core.names.address import check_path, id_of
from ccs._core.number_checks import integer
from ccs._core.quoted_values import shown
from ccs._core.times import Duration
from ccs._not_copyable import Local
from ccs.errors import InvalidValue
from ccs.types import Change, Entry, Match, MemoryEvent

__all__ = ["Memory"]

F = TypeVar("F", bound=Callable[[MemoryEvent], object])
T = TypeVar("T")
D = TypeVar("D")


class Memory(Local):
    """Values under keys, in the scopes of a workflow, a session, an actor, and all of them ("global").

    Each scope is the context that `store.task`, `.session`, `.actor` or `.global_context` returns, and ends with it. A
    read looks from the most specific scope to the widest and takes the first that has the key, in one round trip; an error
    in reading a scope is raised. A write goes to the scope that is named, or else to the most specific one. If no id was
    given, a write must name `scope="global"`, or it raises `InvalidValue`, so that no value becomes global by accident.
    """

    def __init__(self, scopes: Mapping[str, Entries]) -> None:
        self._scopes = scopes

    def __repr__(self) -> str:
        return f"<Memory of {', '.join(scope.handle.address for scope in self._scopes.values())}>"

    async def set(self, key: str, value: Any, *, scope: str | None = None, ttl: Duration | None = None) -> Entry:
        """Stores a value under a key, which may be a path such as `customer/42/name`. Returns its entry.

        >>> memory = store.memory(workflow="w1", actor="ann")
        >>> entry = await memory.set("language", "English", scope="global")
        >>> entry = await memory.set("language", "Dutch", scope="actor")
        >>> await memory.get("language"), await memory.get("language", scope="global")
        ('Dutch', 'English')
        """
        return await self._written(scope).set(key, value, ttl=ttl)

    @overload
    async def get(self, key: str, default: D, *, scope: str | None = None, type: type[T]) -> T | D: ...
    @overload
    async def get(self, key: str, default: None = None, *, scope: str | None = None, type: type[T]) -> T | None: ...
    @overload
    async def get(self, key: str, default: Any = None, *, scope: str | None = None, type: Any = None) -> Any: ...
    async def get(self, key: str, default: Any = None, *, scope: str | None = None, type: Any = None) -> Any:
        """Returns the value in the first scope that has the key, or in the one named; `default` if there is none."""
        raw = await self._first(check_path(key), scope)
        if raw is None:
            return default
        value = decode(raw)
        return value if type is None else validate(value, type)

    async def exists(self, key: str, *, scope: str | None = None) -> bool:
        """Returns whether any scope, or the one named, has the key."""
        return await self._first(check_path(key), scope) is not None

    async def delete(self, key: str, *, scope: str | None = None) -> bool:
        """Removes a key from the most specific scope, or from the one named. Returns whether it existed."""
        return await self._written(scope).delete(key)

    async def keys(self, pattern: str = "**", *, scope: str | None = None) -> list[str]:
        """Returns the keys that match in all scopes, or in the one named: sorted, each once."""
        found = set[str]()
        for entries in self._named(scope).values():
            found.update(await entries.paths(pattern))
        return sorted(found)

    async def history(
        self,
        *patterns: str,
        scope: str | None = None,
        since: int | datetime | None = None,
        limit: int | None = None,
    ) -> list[MemoryEvent]:
        """Returns the changes of the keys that match, each as a `MemoryEvent`, the oldest first, at most `limit`.

        `on_change` gets the same. They reach as far back as the journals, or, with `since`, begin after that revision or moment.
        """
        if limit is not None:
            integer("limit", limit, "how many at most, or None")
        events: list[MemoryEvent] = []
        for name, entries in self._named(scope).items():
            changes = changes_after(await entries.history(*patterns), since)
            events += [memory_event(change, name, id_of(change.context)) for change in changes]
        return sorted(events, key=lambda event: event.revision)[:limit]

    async def query(
        self,
        text_or_embedding: Any,
        top_k: int = 10,
        *,
        where: Mapping[str, Any] | None = None,
        min_score: float | None = None,
        recency: Duration | None = None,
        weight: float = 0.5,
        keywords: str | Iterable[str] | None = None,
    ) -> list[Match]:
        """Returns the `top_k` facts of all scopes most similar to a text or an embedding, the best first.

        They are those that `semantic.query` finds in the context of each scope, and all else is as there; `context` tells
        where each comes from. Equal ones come from the most specific scope first. The text is embedded once.

            >>> id = await store.task("w1").semantic.store("Ann wants a refund", embedding=[1, 0])
            >>> id = await store.global_context().semantic.store("Refunds take a week", embedding=[0.9, 0.1])
            >>> memory = store.memory(workflow="w1")
            >>> [(match.content, match.context) for match in await memory.query([1, 0])]
            [('Ann wants a refund', '/tasks/w1'), ('Refunds take a week', '/global')]
        """
        search = Search.of(
            text_or_embedding,
            top_k,
            where=where,
            min_score=min_score,
            recency=recency,
            weight=weight,
            keywords=keywords,
        )
        handles = [entries.handle for entries in self._scopes.values()]
        query = await Embeddings(handles[0]).query(text_or_embedding)
        found = [match for handle in handles for match in await found_in(handle, query, search)]
        # The sort is stable: equal ones stay in the order of scopes, and of ids.
        return sorted(found, key=lambda match: -match.score)[: search.most]

    def on_change(
        self, *patterns: str | Sequence[str], scope: str | None = None, on_error: ErrorCallback | None = None
    ) -> Callable[[F], F]:
        """Subscribes the decorated function: it is called with a `MemoryEvent` for every change of a key that matches.

        It gets the changes in all scopes, or of the one named, in order within each. It can be used before the store is
        entered.

            >>> memory = store.memory(workflow="w1")
            >>> @memory.on_change("customer_*_sentiment")
            ... async def react(event):
            ...     await store.task("w1").append("seen", [event.key, event.data, event.previous_data])
            >>> entry = await memory.set("customer_7_sentiment", "angry")
            >>> (await store.task("w1").wait_for("seen", timeout=10)).value
            [['customer_7_sentiment', 'angry', None]]
        """
        wanted = [pattern for one in patterns for pattern in wanted_patterns(one)] or ["**"]

        def register(callback: F) -> F:
            call = AsyncCaller(callback)
            for name, entries in self._named(scope).items():
                handle = entries.handle
                watch = partial(entries.watch, *wanted)
                cell = cell_of(callback, "memory", handle.address, *wanted)
                deliver = partial(_deliver, call, name)
                call_back(handle.engine, watch, deliver, on_error, on_gone=ignored, cell=cell)
            return callback

        return register

    def _named(self, scope: str | None) -> Mapping[str, Entries]:
        return self._scopes if scope is None else {scope: self._scope(scope)}

    def _written(self, scope: str | None) -> Entries:
        """Returns the entries that a write goes to."""
        if scope is not None:
            return self._scope(scope)
        if len(self._scopes) == 1:
            raise InvalidValue(
                'store.memory() was given no id: name scope="global" to write for everybody, '
                "or give the id of a workflow, a session or an actor"
            )
        return next(iter(self._scopes.values()))

    def _scope(self, name: str) -> Entries:
        if not isinstance(name, str) or name not in MEMORY_SCOPES:
            raise InvalidValue(f"{shown(name)} is not a scope: there are {', '.join(MEMORY_SCOPES)}")
        if name not in self._scopes:
            raise InvalidValue(f"this memory has no {name}: give its id to store.memory({name}=…)")
        return self._scopes[name]

    async def _first(self, key: str, scope: str | None) -> bytes | None:
        handles = [entries.handle for entries in self._named(scope).values()]
        looks = [(("HGET", handle.keys.entries, key), ("HGET", handle.keys.meta, "state")) for handle in handles]
        replies = await handles[0].opening.run_all([*chain.from_iterable(looks)])
        for handle, raw, state in zip(handles, replies[::2], replies[1::2], strict=True):
            check_format(state or b"0", handle.address)
            if raw is None:
                continue
            entry = parse_entry(raw)
            # Whether a deadline has passed, only the clock of its server decides.
            living = await stored_at(handle, key) if entry.expiry else entry
            if living is not None:
                return living.value
        return None


async def _deliver(call: AsyncCaller, scope: str, change: Change) -> None:
    await call(memory_event(change, scope, id_of(change.context)))
