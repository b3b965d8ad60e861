"""Scoped memory: one key looked up from the most specific scope to the widest, each scope a context of its own."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from functools import partial
from itertools import chain
from typing import Any, TypeVar

from ccs._async.changes.subscription import ErrorCallback, unheeded
from ccs._async.entries import Entries
from ccs._async.observing import pattern_list
from ccs._compat import AsyncCaller
from ccs._core.checks import integer
from ccs._core.codec import decode, validate
from ccs._core.commits.entry import parse_entry
from ccs._core.commits.queries import last_of
from ccs._core.memory.scopes import MEMORY_SCOPES, changes_after, memory_event
from ccs._core.names.address import check_path, id_of
from ccs._core.shown import shown
from ccs._core.times import Duration
from ccs._local import Local
from ccs.errors import InvalidValue
from ccs.types import Change, Entry, MemoryEvent

__all__ = ["Memory"]

F = TypeVar("F", bound=Callable[..., Any])


class Memory(Local):
    """What agents remember: in a workflow, a session, for an actor, or for everybody.

    Each scope is the context that `store.task`, `.session`, `.actor` and `.global_context` give, and goes with it. A
    read looks from the most specific scope to the widest and takes the first that has the key, all in one round trip;
    a write goes to the most specific scope that was given, unless one is named. Where no id was given, a write names
    `scope="global"`, else `InvalidValue`: nothing becomes everybody's by accident. An error in reading a scope is
    raised, never taken for "not there".
    """

    def __init__(self, scopes: Mapping[str, Entries]) -> None:
        self._scopes = scopes

    def __repr__(self) -> str:
        return f"<Memory of {', '.join(scope.place.address for scope in self._scopes.values())}>"

    async def set(self, key: str, value: Any, *, scope: str | None = None, ttl: Duration | None = None) -> Entry:
        """Remembers a value under a key; a path such as `customer/42/name` is a key too.

        >>> memory = store.memory(workflow="w1", actor="ann")
        >>> entry = await memory.set("language", "English", scope="global")
        >>> entry = await memory.set("language", "Dutch", scope="actor")
        >>> await memory.get("language"), await memory.get("language", scope="global")
        ('Dutch', 'English')
        """
        return await self._written(scope).set(key, value, ttl=ttl)

    async def get(self, key: str, default: Any = None, *, scope: str | None = None, type: Any = None) -> Any:
        """The value of the first scope that has the key, or of the one that is named; `default` where there is none."""
        raw = await self._first(check_path(key), scope)
        if raw is None:
            return default
        value = decode(raw)
        return value if type is None else validate(value, type)

    async def exists(self, key: str, *, scope: str | None = None) -> bool:
        """Whether a scope, or the one that is named, has the key."""
        return await self._first(check_path(key), scope) is not None

    async def delete(self, key: str, *, scope: str | None = None) -> bool:
        """Forgets a key in the most specific scope, or in the one that is named; whether it was there."""
        return await self._written(scope).delete(key)

    async def keys(self, pattern: str = "**", *, scope: str | None = None) -> list[str]:
        """The keys that match, sorted, each once."""
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
        """What happened to the keys that match, the oldest first: who did what, when, at which revision.

        As far back as the journals go; with `since`, after that revision or moment. The same events as `on_change` gets.
        """
        if limit is not None:
            integer("limit", limit, "how many at most, or None")
        events: list[MemoryEvent] = []
        for name, entries in self._named(scope).items():
            changes = changes_after(await entries.history(*patterns), since)
            events += [memory_event(change, name, id_of(change.context)) for change in changes]
        return sorted(events, key=lambda event: event.revision)[:limit]

    def on_change(
        self, *patterns: str | Sequence[str], scope: str | None = None, on_error: ErrorCallback | None = None
    ) -> Callable[[F], F]:
        """Calls back with a `MemoryEvent` for every change of a key that matches, in any scope or the one named.

        In order within a scope. It can be used before the store is entered.

            >>> memory = store.memory(workflow="w1")
            >>> @memory.on_change("customer_*_sentiment")
            ... async def react(event):
            ...     await store.task("w1").append("seen", [event.key, event.data, event.previous_data])
            >>> entry = await memory.set("customer_7_sentiment", "angry")
            >>> (await store.task("w1").wait_for("seen", timeout=10)).value
            [['customer_7_sentiment', 'angry', None]]
        """
        wanted = [pattern for one in patterns for pattern in pattern_list(one)] or ["**"]

        def register(callback: F) -> F:
            call = AsyncCaller(callback)
            for name, entries in self._named(scope).items():
                entries.subscribe(wanted, partial(_tell, call, name), on_error=on_error, on_gone=unheeded)
            return callback

        return register

    def _named(self, scope: str | None) -> Mapping[str, Entries]:
        return self._scopes if scope is None else {scope: self._scope(scope)}

    def _written(self, scope: str | None) -> Entries:
        """Where a write goes."""
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
            raise InvalidValue(f"{shown(name)} is no scope: there are {', '.join(MEMORY_SCOPES)}")
        if name not in self._scopes:
            raise InvalidValue(f"this memory has no {name}: give its id to store.memory({name}=…)")
        return self._scopes[name]

    async def _first(self, key: str, scope: str | None) -> bytes | None:
        places = [entries.place for entries in self._named(scope).values()]
        connection = places[0].connection
        looks = [(("HGET", place.keys.entries, key), ("HGET", place.keys.meta, "state")) for place in places]
        clock, *replies = await connection.run_all([("TIME",), *chain.from_iterable(looks)])
        now = int(clock[0]) * 1000 + int(clock[1]) // 1000
        for raw, state in zip(replies[::2], replies[1::2], strict=True):
            # The time of a context never goes back, not behind its last revision.
            if raw is not None and not (entry := parse_entry(raw)).due(max(now, last_of(state or b"0") // 1000)):
                return entry.value
        return None


async def _tell(call: AsyncCaller, scope: str, change: Change) -> None:
    await call(memory_event(change, scope, id_of(change.context)))
