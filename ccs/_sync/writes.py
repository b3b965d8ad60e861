# Generated from ccs/_async/writes.py by scripts/twin. Do not edit.
"""Writing one context: every method is one atomic commit."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from ccs._compat import callable_of
from ccs._core.codec import decode, encode
from ccs._core.commits.commit import Applied, NotComputable, removals
from ccs._core.commits.entry import RawEntry, new_entry, parse_entry
from ccs._core.commits.journal import parse_record, raw_record_at
from ccs._core.commits.operations import (
    Guard,
    append_op,
    delete_op,
    increment_op,
    revision_guard,
    set_op,
    version_guard,
)
from ccs._core.names.address import check_writable
from ccs._core.number_checks import integer
from ccs._core.quoted_values import shown
from ccs._core.times import Duration, from_micros, from_millis, millis
from ccs._core.values.edits import SMALL, added, appended, checked_bound, checked_patch, checked_step, merged, number
from ccs._sync.optimistic import Race
from ccs._sync.reads import Reads
from ccs.errors import Conflict, Forbidden, InvalidPattern, InvalidValue, Unavailable
from ccs.types import Entry

__all__ = ["Writes"]

# All commits of a batch have one time, which is also the creation time of the entries that they create.
_moment = lru_cache(maxsize=64)(from_micros)


class Writes(Reads):
    """The writing half of a context.

    All methods raise: `Conflict` if a guard does not hold (a method that reads before it writes retries first, for
    `retry_for` seconds); `ContextFinished`; `ReservedPath` for a path that begins with `@`; `EncodingError` for a value
    that cannot be stored, `ValueTooLarge` for one that is too large; `StoreFull` if the server is full, `Unavailable` if
    it does not answer. Then nothing was written, unless `Unavailable` has `maybe_applied`.
    """

    def set(
        self,
        path: str,
        value: Any,
        *,
        ttl: Duration | None = None,
        if_version: int | None = None,
        if_revision: int | None = None,
    ) -> Entry:
        """Writes a value. Returns its entry. With a guard it is compare-and-set.

        `ttl` is in seconds; without it, a deadline that the entry had is cleared. `if_version=0` and `if_revision=0` mean
        that no entry may exist. Versions restart when a path is created again, so a caller that has read the entry should
        guard on its revision.

            >>> entry = task.set("status", "data_ready")
            >>> entry = task.set("status", "analysed", if_revision=entry.revision)
            >>> entry.version
            2
        """
        handle = self._handle
        raw = encode(value, handle.engine.max_value_bytes)
        deadline = None if ttl is None else millis(ttl)
        guards = _guards(check_writable(path), if_version, if_revision)
        applied = handle.write([set_op(path, raw, deadline, lasting=True)], guards, merging=True)
        return self._entry(path, applied.merged or raw, applied, deadline)

    def create(self, path: str, value: Any, *, ttl: Duration | None = None) -> Entry:
        """Writes a value at a path that has no entry. Returns the entry; raises `Conflict` if there is one."""
        return self.set(path, value, ttl=ttl, if_version=0)

    def delete(self, path: str, *, if_version: int | None = None, if_revision: int | None = None) -> bool:
        """Removes an entry. Returns whether it existed. With a guard it is compare-and-delete.

        >>> entry = task.set("a", 1)
        >>> task.delete("a", if_revision=entry.revision), task.delete("a")
        (True, False)
        """
        guards = _guards(check_writable(path), if_version, if_revision)
        applied = self._handle.write([delete_op(path)], guards)
        return applied.result == (1,)

    def delete_matching(self, *patterns: str) -> int:
        """Removes the entries that match, in one commit. Returns how many it removed.

        Raises `InvalidPattern` without a pattern; `**` matches everything. If another client changes one of the entries
        meanwhile, it reads again and goes on with the entries that are left. More than one commit can hold (16 MiB with
        the removed values, or 125,000 entries) is removed in several, each atomic.
        """
        if not patterns:
            raise InvalidPattern("delete_matching got no pattern: give at least one; ** matches everything")
        matcher = self._matcher(patterns)
        race = self._race("delete_matching")
        removed = 0
        while True:
            found = self._find(matcher.selectors, matcher.matches)
            try:
                for part in removals({check_writable(path): raw for path, raw in found.entries.items()}):
                    self._remove(part)
                    removed += len(part)
            except Conflict as conflict:
                race.lose(conflict)
            else:
                return removed

    def _remove(self, entries: Mapping[str, RawEntry]) -> None:
        operations = [delete_op(path) for path in entries]
        guards = [revision_guard(path, raw.revision) for path, raw in entries.items()]
        self._handle.write(operations, guards)

    def set_many(self, values: Mapping[str, Any], *, ttl: Duration | None = None) -> int:
        """Writes several values, a map of paths to values, in one commit. Returns its revision."""
        if not isinstance(values, Mapping):
            raise InvalidValue(f"set_many takes a map of paths to values, not {type(values).__name__}")
        deadline = None if ttl is None else millis(ttl)
        encoded = {check_writable(path): self._encode(value) for path, value in values.items()}
        if not encoded:
            return self.revision()
        operations = [set_op(path, raw, deadline, lasting=True) for path, raw in encoded.items()]
        applied = self._handle.write(operations, merging=True)
        self._handle.expect(deadline)
        return applied.revision

    def update(
        self,
        path: str,
        fn: Callable[[Any], Any],
        *,
        default: Any = None,
        ttl: Duration | None = None,
        attempts: int | None = None,
        timeout: Duration | None = None,
    ) -> Entry:
        """Replaces the value by `fn(value)`, or by `fn(default)` if there is no entry. Returns the entry.

        It retries whenever somebody else has written meanwhile, so `fn` may be called several times and should have no
        side effects. Without `ttl` a deadline that the entry had stays.

        Raises the last `Conflict` after `attempts` lost tries, or `TimeoutError` after `timeout` seconds, those of `fn`
        included; then nothing was written. While the server does not answer, `retry_for` is the bound.

            >>> entry = task.update("tags", lambda tags: [*tags, "new"], default=[])
            >>> entry.value
            ['new']
        """
        check_writable(path)
        deadline = None if ttl is None else millis(ttl)
        callable_of(fn)
        race = Race(f"update of {path!r}", attempts=attempts, timeout=timeout)
        return self._replace(path, fn, default, race, deadline)

    def merge(self, path: str, patch: Mapping[Any, Any]) -> Entry:
        """Merges a patch into a map by RFC 7396: key by key at every depth, None removes a key. Returns the entry.

        A deadline stays. Raises `InvalidValue` if the value or the patch is not a map.

        >>> entry = task.set("settings", {"model": {"name": "m1", "seed": 7}})
        >>> task.merge("settings", {"model": {"seed": None}, "lang": "en"}).value
        {'model': {'name': 'm1'}, 'lang': 'en'}
        """
        plain = checked_patch(decode(self._encode(patch)), patch)
        race = self._race(f"merge into {path!r}")
        return self._replace(check_writable(path), lambda value: merged(path, value, plain), {}, race)

    def increment(self, path: str, by: float = 1) -> int | float:
        """Adds to a number, or to 0 if there is no entry. Returns the new value. A deadline stays.

        Raises `InvalidValue` if the value is not a number.

        >>> task.increment("count"), task.increment("count", 41)
        (1, 42)
        """
        check_writable(path)
        by = checked_step(path, by)
        if isinstance(by, int) and abs(by) < SMALL:
            try:
                applied = self._handle.write([increment_op(path, int(by))])
                return applied.result[3]
            except NotComputable:
                pass
        race = self._race(f"increment of {path!r}")
        entry = self._replace(path, lambda value: added(path, value, by), 0, race)
        return number(path, entry.value)

    def append(self, path: str, *items: Any, max_items: int | None = None) -> Entry:
        """Appends items to a list, or to a new one if there is no entry. Returns the entry. A deadline stays.

        With `max_items`, the oldest items beyond that many are removed. Raises `InvalidValue` if the value is not a list.

        >>> task.append("log", "a", "b", "c", max_items=2).value
        ['b', 'c']
        """
        check_writable(path)
        encoded = [self._encode(item) for item in items]
        if max_items is not None:
            return self._append_bounded(path, encoded, max_items)
        limit = self._handle.engine.max_value_bytes
        operation = append_op(path, len(encoded), b"".join(encoded), limit)
        try:
            applied = self._handle.write([operation])
        except NotComputable:
            raise InvalidValue(f"{shown(path)} does not hold a list; set it instead") from None
        try:
            raw = self._value_at(path, applied.revision)
        except (Unavailable, Forbidden) as error:  # while it was read back; the commit stands
            reason = error.reason if isinstance(error, Unavailable) else str(error)
            raise Unavailable(error.address, maybe_applied=True, reason=reason) from error
        return self._entry(path, raw, applied)

    def _encode(self, value: Any) -> bytes:
        return encode(value, self._handle.engine.max_value_bytes)

    def _entry(self, path: str, raw: bytes, applied: Applied, deadline: int | None = None) -> Entry:
        if deadline is not None:
            self._handle.expect(deadline)
        version, made, expiry = applied.result[:3]
        created = _moment(made)
        updated = _moment(applied.at)
        expires = from_millis(expiry) if expiry else None
        return new_entry(path, decode(raw), version, applied.revision, self._handle.agent, created, updated, expires)

    def _race(self, name: str) -> Race:
        """Bounds the tries of a method without `attempts` and `timeout` by the store's `retry_for`."""
        return Race(name, patience=self._handle.engine.retry_for)

    def _replace(
        self, path: str, fn: Callable[[Any], Any], default: Any, race: Race, deadline: int | None = None
    ) -> Entry:
        while True:
            current = self._raw(path)
            raw = self._encode(fn(decode(current.value) if current else copy.deepcopy(default)))
            guard = revision_guard(path, current.revision if current else 0)
            race.check()
            try:
                operation = set_op(path, raw, deadline, keep_ttl=True, lasting=True)
                applied = self._handle.write([operation], [guard])
                return self._entry(path, raw, applied, deadline)
            except Conflict as conflict:
                race.lose(conflict)

    def _append_bounded(self, path: str, encoded: list[bytes], most: int) -> Entry:
        kept = checked_bound(most)
        items = [*map(decode, encoded)]
        race = self._race(f"append to {path!r}")
        return self._replace(path, lambda value: appended(path, value, items, kept), [], race)

    def _value_at(self, path: str, revision: int) -> bytes:
        """Returns the value that our commit gave to a path; others may have written it since.

        To a user who may not read the journal, and where it no longer has the commit, this is the value that is there now.
        """
        handle = self._handle
        raw = None
        with suppress(Forbidden):
            items = handle.read(("XRANGE", handle.keys.journal, f"{revision}-0", "+", "COUNT", "1"))
            raw = raw_record_at(items, revision)
        if raw:
            return parse_entry(parse_record(raw).operations[0].after).value
        current = self._raw(path)
        return current.value if current else encode([])


def _guards(path: str, if_version: int | None, if_revision: int | None) -> list[Guard]:
    if if_version is None and if_revision is None:
        return []
    guards = []
    if if_version is not None:
        guards.append(version_guard(path, _count("if_version", if_version)))
    if if_revision is not None:
        guards.append(revision_guard(path, _count("if_revision", if_revision)))
    return guards


def _count(name: str, value: object) -> int:
    return integer(name, value, "the number that an entry carries, or 0 for no entry")
