"""Reading one context: the newest acknowledged state, never an entry past its deadline."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import replace
from typing import Any, TypeVar, overload

from ccs._async.handle import Place
from ccs._core.checks import listed
from ccs._core.codec import decode, validate
from ccs._core.commits.entry import RawEntry, parse_entry, to_entry, value_in
from ccs._core.commits.queries import (
    Found,
    PathTest,
    info_keys,
    page_arguments,
    parse_found,
    parse_info,
    parse_listed,
    read_arguments,
)
from ccs._core.names.address import check_path
from ccs._core.names.pattern import Below, Exact, Matcher, compile_patterns, escape
from ccs._core.shown import shown
from ccs._core.values.tree import nest
from ccs._local import Local
from ccs._protocol.scripts import INFO, READ
from ccs.errors import InvalidPattern, InvalidValue
from ccs.types import ContextInfo, Entry, Snapshot

__all__ = ["Reads", "matcher_of", "typed"]

T = TypeVar("T")
D = TypeVar("D")


class Reads(Local):
    """The reading half of a context."""

    _place: Place

    @property
    def place(self) -> Place:
        """Where this is. For the inside: transactions and what is built on top; not for users."""
        return self._place

    @overload
    async def get(self, path: str, default: D, *, type: type[T]) -> T | D: ...
    @overload
    async def get(self, path: str, default: None = None, *, type: type[T]) -> T | None: ...
    @overload
    async def get(self, path: str, default: Any = None, *, type: Any = None) -> Any: ...
    async def get(self, path: str, default: Any = None, *, type: Any = None) -> Any:
        """The value at a path, or `default` where there is none; None is a value like any other.

        With `type` (a pydantic model, `list[Model]`, …) it is validated, else `InvalidValue`.

            >>> entry = await task.set("status", "data_ready")
            >>> await task.get("status"), await task.get("nothing", "there")
            ('data_ready', 'there')
        """
        stored = await self._stored(path)
        value = None if stored is None else value_in(stored)
        if value is None and stored is not None:
            entry = await self._living(path)
            value = entry and entry.value
        return default if value is None else _typed(value, type)

    async def get_many(self, paths: Iterable[str], *, type: Any = None) -> dict[str, Any]:
        """The values of those of the paths that exist, all of one moment.

        >>> revision = await task.set_many({"a": 1, "b": None})
        >>> await task.get_many(["a", "b", "c"])
        {'a': 1, 'b': None}
        """
        wanted = [check_path(path) for path in listed("paths", paths, "a list of paths, or use get for one")]
        found = await self._find([Exact(path) for path in wanted], _any)
        return {path: _typed(found.entries[path].value, type) for path in wanted if path in found.entries}

    async def entry(self, path: str, *, type: Any = None) -> Entry | None:
        """The entry at a path, with its version, revision, agent, times and expiry; None where there is none."""
        raw = await self._raw(path)
        return None if raw is None else typed(to_entry(path, raw), type)

    async def exists(self, path: str) -> bool:
        """Whether there is an entry at a path."""
        return bool(await self._list([Exact(check_path(path))], _any))

    async def paths(self, *patterns: str) -> list[str]:
        """The paths that match, sorted; all of them where no pattern is given.

        >>> revision = await task.set_many({"sources/a": 1, "sources/b/status": 2, "status": 3})
        >>> await task.paths("sources/**"), await task.paths("*/*/status", "status")
        (['sources/a', 'sources/b/status'], ['sources/b/status', 'status'])
        """
        matcher = matcher_of(patterns)
        return await self._list(matcher.selectors, matcher.matches)

    async def snapshot(self, *patterns: str) -> Snapshot:
        """The entries that match, by path, all of one moment: the one after its `revision`.

        The whole context travels in one reply: for very large ones there is `scan`.

            >>> revision = await task.set_many({"a": 1, "b": 2})
            >>> snapshot = await task.snapshot()
            >>> {path: entry.value for path, entry in snapshot.items()}, snapshot.revision == revision
            ({'a': 1, 'b': 2}, True)
        """
        matcher = matcher_of(patterns)
        found = await self._find(matcher.selectors, matcher.matches)
        return Snapshot({path: to_entry(path, raw) for path, raw in sorted(found.entries.items())}, found.revision)

    async def tree(self, prefix: str = "") -> dict[str, Any]:
        """The values at and below a path as nested maps; where a path has both, its value stands under `""`.

        >>> revision = await task.set_many({"sources/a": 1, "sources/a/status": "read", "status": 3})
        >>> await task.tree()
        {'sources': {'a': {'': 1, 'status': 'read'}}, 'status': 3}
        """
        base = "" if prefix == "" else escape(check_path(prefix))
        snapshot = await self.snapshot(*((base, f"{base}/**") if prefix else ()))
        return nest((path[len(prefix) :].removeprefix("/"), entry.value) for path, entry in snapshot.items())

    async def scan(self, *patterns: str, page: int = 1000) -> AsyncIterator[Entry]:
        """The entries that match, page by page in the order of their paths, each page of one moment.

        For what is too large for a snapshot: what changes meanwhile may be seen or not, but what stays is seen once.
        """
        if isinstance(page, bool) or not isinstance(page, int) or page < 1:
            raise InvalidValue(f"page is {shown(page)}: give how many entries to read at a time")
        matcher = matcher_of(patterns)
        for selector in sorted(matcher.selectors, key=_start):
            after: str | None = ""
            while after is not None:
                found = await self._page(page_arguments(selector, after, page), matcher.matches)
                for path, raw in found.entries.items():
                    yield to_entry(path, raw)
                after = found.last_path if not isinstance(selector, Exact) else None

    async def revision(self) -> int:
        """The revision of the newest commit; 0 where the context does not exist."""
        return (await self.info()).revision

    async def info(self) -> ContextInfo:
        """What is known of the context as a whole; revision 0 where it does not exist."""
        place = self._place
        reply = await place.connection.script(INFO, info_keys(place.keys), ())
        return parse_info(place.address, reply)

    async def _raw(self, path: str) -> RawEntry | None:
        stored = await self._stored(path)
        if stored is None:
            return None
        entry = parse_entry(stored)
        return await self._living(path) if entry.expiry else entry

    async def _stored(self, path: str) -> bytes | None:
        stored: bytes | None = await self._place.connection.run(("HGET", self._place.keys.entries, check_path(path)))
        return stored

    async def _living(self, path: str) -> RawEntry | None:
        """An entry with a deadline: only the server's clock knows whether that has passed."""
        return (await self._find([Exact(path)], _any)).entries.get(path)

    async def _find(self, selectors: Iterable[Any], matches: PathTest) -> Found:
        return await self._page(read_arguments("entries", selectors), matches)

    async def _page(self, arguments: Sequence[Any], matches: PathTest) -> Found:
        found = parse_found(await self._place.connection.script(READ, self._place.keys.all, arguments), matches)
        if found.hidden:
            self._place.sweep()
        return found

    async def _list(self, selectors: Iterable[Any], matches: PathTest) -> list[str]:
        arguments = read_arguments("paths", selectors)
        reply = await self._place.connection.script(READ, self._place.keys.all, arguments)
        listed = parse_listed(reply, matches)
        if listed.hidden:
            self._place.sweep()
        return listed.paths


def matcher_of(patterns: tuple[str, ...]) -> Matcher:
    """What matches any of the patterns; no pattern means everything."""
    if not all(isinstance(pattern, str) for pattern in patterns):
        raise InvalidPattern(f"{shown(patterns)}: give each pattern as an argument of its own")
    return compile_patterns(patterns or ("**",))


def _start(selector: Exact | Below) -> str:
    return selector.path if isinstance(selector, Exact) else selector.prefix


def _any(_: str) -> bool:
    return True


def _typed(raw: bytes, type: Any) -> Any:
    value = decode(raw)
    return value if type is None else validate(value, type)


def typed(entry: Entry, type: Any) -> Entry:
    """The entry with its value validated as `type`, where one is given."""
    return entry if type is None else replace(entry, value=validate(entry.value, type))
