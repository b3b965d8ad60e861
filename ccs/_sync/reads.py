# Generated from ccs/_async/reads.py by scripts/twin. Do not edit.
"""Reading one context: the newest acknowledged state, and no entry past its deadline."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, TypeVar, overload

from ccs._core.codec import decode, validate
from ccs._core.commits.entry import RawEntry, parse_entry, to_entry, typed, value_in
from ccs._core.commits.journal import MALFORMED
from ccs._core.commits.operations import renew_op
from ccs._core.commits.queries import Found, PathTest
from ccs._core.commits.script_calls import Call, anything, entries_call, info_call, page_call, paths_call
from ccs._core.names.address import check_path, check_writable
from ccs._core.names.pattern import Below, Exact, Matcher, compile_patterns, escape
from ccs._core.number_checks import listed
from ccs._core.quoted_values import shown
from ccs._core.times import Duration, millis
from ccs._core.values.tree import nest
from ccs._not_copyable import Local
from ccs._sync.context_handle import Handle
from ccs.errors import InvalidPattern, InvalidValue
from ccs.types import ContextInfo, Entry, Snapshot

__all__ = ["Reads", "matcher_of"]

T = TypeVar("T")
D = TypeVar("D")


class Reads(Local):
    """The reading half of a context, and `renew`, which keeps what is read."""

    _handle: Handle

    @property
    def handle(self) -> Handle:
        """The handle of the context. Internal: transactions and recipes use it."""
        return self._handle

    @overload
    def get(self, path: str, default: D, *, type: type[T], renew: Duration | None = None) -> T | D: ...
    @overload
    def get(self, path: str, default: None = None, *, type: type[T], renew: Duration | None = None) -> T | None: ...
    @overload
    def get(self, path: str, default: Any = None, *, type: Any = None, renew: Duration | None = None) -> Any: ...
    def get(self, path: str, default: Any = None, *, type: Any = None, renew: Duration | None = None) -> Any:
        """Returns the value at a path, or `default` if there is no entry; None is a value like any other.

        With `type` (a pydantic model, `list[Model]`, …) the value is validated; raises `InvalidValue` if it does not fit.
        With `renew`, the entry lives for that many seconds from now, as after `renew`: what is read stays. That is no commit,
        but needs the right to write.

            >>> entry = task.set("status", "data_ready", ttl=60)
            >>> task.get("status", renew=3600), task.get("nothing", "there")
            ('data_ready', 'there')
        """
        if renew is not None and not self.renew(path, renew):
            return default
        stored = self._stored(path)
        value = None if stored is None else value_in(stored)
        if value is None and stored is not None:
            entry = self._living(path)
            value = None if entry is None else entry.value
        return default if value is None else _typed(value, type)

    @overload
    def get_many(self, paths: Iterable[str], *, type: type[T]) -> dict[str, T]: ...
    @overload
    def get_many(self, paths: Iterable[str], *, type: Any = None) -> dict[str, Any]: ...
    def get_many(self, paths: Iterable[str], *, type: Any = None) -> dict[str, Any]:
        """Returns the values of the paths that exist, by path, all read at one moment.

        >>> revision = task.set_many({"a": 1, "b": None})
        >>> task.get_many(["a", "b", "c"])
        {'a': 1, 'b': None}
        """
        shown = self._handle.check_shown
        wanted = [shown(check_path(path)) for path in listed("paths", paths, "a list of paths, or use get for one")]
        found = self._find([Exact(path) for path in wanted], anything)
        return {path: _typed(found.entries[path].value, type) for path in wanted if path in found.entries}

    def entry(self, path: str, *, type: Any = None) -> Entry | None:
        """Returns the entry at a path, with its version, revision, agent, times and expiry; None if there is none."""
        raw = self._raw(path)
        return None if raw is None else typed(to_entry(path, raw), type)

    def renew(self, path: str, ttl: Duration | None) -> bool:
        """Moves the deadline of an entry to `ttl` seconds from now, or removes it (None). Returns whether the entry exists.

        It is no commit: no revision changes, and no watch sees it.
        """
        deadline = None if ttl is None else millis(ttl)
        applied = self._handle.write([renew_op(check_writable(path), deadline, lasting=True)])
        self._handle.expect(deadline)
        return applied.result == (1,)

    def exists(self, path: str) -> bool:
        """Returns whether there is an entry at a path."""
        return bool(self._list([Exact(self._handle.check_shown(check_path(path)))], anything))

    def paths(self, *patterns: str) -> list[str]:
        """Returns the paths that match any of the patterns, sorted; without a pattern, all paths.

        >>> revision = task.set_many({"sources/a": 1, "sources/b/status": 2, "status": 3})
        >>> task.paths("sources/**"), task.paths("*/*/status", "status")
        (['sources/a', 'sources/b/status'], ['sources/b/status', 'status'])
        """
        matcher = self._matcher(patterns)
        return self._list(matcher.selectors, matcher.matches)

    def snapshot(self, *patterns: str) -> Snapshot:
        """Returns the entries that match, by path, all read at one moment: right after its `revision`.

        One reply carries all of them; for very large contexts use `scan`.

            >>> revision = task.set_many({"a": 1, "b": 2})
            >>> snapshot = task.snapshot()
            >>> {path: entry.value for path, entry in snapshot.items()}, snapshot.revision == revision
            ({'a': 1, 'b': 2}, True)
        """
        matcher = self._matcher(patterns)
        found = self._find(matcher.selectors, matcher.matches)
        return Snapshot({path: to_entry(path, raw) for path, raw in sorted(found.entries.items())}, found.revision)

    def tree(self, prefix: str = "") -> dict[str, Any]:
        """Returns the values at and below a path as nested maps; the value of a path that has others below it is under `""`.

        >>> revision = task.set_many({"sources/a": 1, "sources/a/status": "read", "status": 3})
        >>> task.tree()
        {'sources': {'a': {'': 1, 'status': 'read'}}, 'status': 3}
        """
        patterns: tuple[str, ...] = ()
        if prefix != "":
            base = escape(check_path(prefix))
            patterns = (base, f"{base}/**")
        snapshot = self.snapshot(*patterns)
        return nest((path[len(prefix) :].removeprefix("/"), entry.value) for path, entry in snapshot.items())

    def scan(self, *patterns: str, page: int = 1000) -> Iterator[Entry]:
        """Yields the entries that match, in the order of their paths, read in pages of `page` entries.

        Use it if a snapshot would be too large. Each page is read at one moment. An entry that changes during the scan may
        be yielded or not; an entry that stays is yielded once.
        """
        if isinstance(page, bool) or not isinstance(page, int) or page < 1:
            raise InvalidValue(f"page is {shown(page)}: give how many entries to read at a time")
        matcher = self._matcher(patterns)
        for selector in sorted(matcher.selectors, key=_start):
            after: str | None = ""
            while after is not None:
                found = self._read(page_call(self._handle.keys, selector, after, page, matcher.matches))
                for path, raw in found.entries.items():
                    yield to_entry(path, raw)
                after = found.last_path if not isinstance(selector, Exact) else None

    def revision(self) -> int:
        """Returns the revision of the newest commit; 0 if the context does not exist."""
        return self.info().revision

    def info(self) -> ContextInfo:
        """Returns the revision, size, times and outcome of the context; revision 0 if it does not exist."""
        return self._handle.opening.call(info_call(self._handle.keys, self._handle.address))

    def _raw(self, path: str) -> RawEntry | None:
        stored = self._stored(path)
        if stored is None:
            return None
        try:
            entry = parse_entry(stored)
        except MALFORMED:
            self._handle.check_format()
            raise
        return self._living(path) if entry.expiry else entry

    def _stored(self, path: str) -> bytes | None:
        handle = self._handle
        named = handle.check_shown(check_path(path))
        stored: bytes | None = handle.read(("HGET", handle.keys.entries, named))
        return stored

    def _matcher(self, patterns: tuple[str, ...]) -> Matcher:
        return self._handle.shown(matcher_of(patterns))

    def _living(self, path: str) -> RawEntry | None:
        """Reads an entry that has a deadline by a script: only the server's clock decides whether that has passed."""
        return self._find([Exact(path)], anything).entries.get(path)

    def _find(self, selectors: Iterable[Any], matches: PathTest) -> Found:
        return self._read(entries_call(self._handle.keys, selectors, matches))

    def _read(self, call: Call[Found]) -> Found:
        found = self._handle.opening.call(call)
        if found.hidden:
            self._handle.sweep()
        return found

    def _list(self, selectors: Iterable[Any], matches: PathTest) -> list[str]:
        listed = self._handle.opening.call(paths_call(self._handle.keys, selectors, matches))
        if listed.hidden:
            self._handle.sweep()
        return listed.paths


def matcher_of(patterns: tuple[str, ...]) -> Matcher:
    """Returns a matcher for any of the patterns, or for every path if there are none; raises `InvalidPattern`."""
    if not all(isinstance(pattern, str) for pattern in patterns):
        raise InvalidPattern(f"{shown(patterns)}: give each pattern as an argument of its own")
    return compile_patterns(patterns or ("**",))


def _start(selector: Exact | Below) -> str:
    return selector.path if isinstance(selector, Exact) else selector.prefix


def _typed(raw: bytes, type: Any) -> Any:
    value = decode(raw)
    return value if type is None else validate(value, type)
