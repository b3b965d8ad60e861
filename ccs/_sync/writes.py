# Generated from ccs/_async/writes.py by scripts/twin. Do not edit.
"""Writing one context: every method is one atomic commit."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from ccs._compat import callable_of
from ccs._core.checks import integer
from ccs._core.codec import decode, encode
from ccs._core.commits.commit import (
    Applied,
    Guard,
    NotComputable,
    append_op,
    delete_op,
    increment_op,
    removals,
    renew_op,
    revision_guard,
    set_op,
    version_guard,
)
from ccs._core.commits.entry import RawEntry, new_entry, parse_entry
from ccs._core.commits.journal import parse_record, raw_record_at
from ccs._core.names.address import check_writable
from ccs._core.shown import shown
from ccs._core.times import Duration, from_micros, from_millis, millis
from ccs._core.values.merge import merge_patch
from ccs._core.values.scalars import from_numpy
from ccs._sync.optimistic import Race
from ccs._sync.reads import Reads, matcher_of
from ccs.errors import Conflict, InvalidPattern, InvalidValue
from ccs.types import Entry

__all__ = ["Writes"]

_SMALL = 2**53
# All commits of a batch have one time, and it is that of each entry that they create.
_moment = lru_cache(maxsize=64)(from_micros)


class Writes(Reads):
    """The writing half of a context.

    A lost race is a `Conflict`. What reads before it writes is tried again for `retry_for` seconds first. A finished context refuses with `ContextFinished`; a path that begins with `@` is a
    `ReservedPath`. What cannot be stored is an `EncodingError`, what is too large a `ValueTooLarge`. A server that is
    full gives `StoreFull`, one that does not answer `Unavailable`. In all these cases nothing was written, unless
    `Unavailable` says `maybe_applied`.
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
        """Writes a value; without `ttl` an earlier deadline is cleared. With a guard it is compare-and-set.

        `if_version=0` and `if_revision=0` mean that there must be no entry. Versions restart when a path is created
        again: who has read before guards on the revision.

            >>> entry = task.set("status", "data_ready")
            >>> entry = task.set("status", "analysed", if_revision=entry.revision)
            >>> entry.version
            2
        """
        place = self._place
        raw = encode(value, place.engine.max_value_bytes)
        deadline = None if ttl is None else millis(ttl)
        guards = _guards(check_writable(path), if_version, if_revision)
        applied = place.write([set_op(path, raw, deadline, lasting=True)], guards, len(raw))
        return self._entry(path, applied.merged or raw, applied, deadline)

    def create(self, path: str, value: Any, *, ttl: Duration | None = None) -> Entry:
        """Writes a value where there is none; `Conflict` otherwise."""
        return self.set(path, value, ttl=ttl, if_version=0)

    def delete(self, path: str, *, if_version: int | None = None, if_revision: int | None = None) -> bool:
        """Removes an entry; whether it was there. With a guard it is compare-and-delete.

        >>> entry = task.set("a", 1)
        >>> task.delete("a", if_revision=entry.revision), task.delete("a")
        (True, False)
        """
        guards = _guards(check_writable(path), if_version, if_revision)
        applied = self._place.commit([delete_op(path)], guards, len(path))
        return applied.result == (1,)

    def delete_matching(self, *patterns: str) -> int:
        """Removes what matched when it looked, in one commit. Returns how many entries that were.

        It wants at least one pattern, else `InvalidPattern`: an empty list of them removes nothing. `**` is everything.

        What is too large for one commit (16 MiB with the values that go, or 125,000 entries) is removed in steps, each of
        them one commit. Where somebody else changes an entry meanwhile, it looks again at what is left.
        """
        if not patterns:
            raise InvalidPattern("delete_matching got no pattern: give at least one; ** matches everything")
        matcher = matcher_of(patterns)
        race = self._race("delete_matching")
        removed = 0
        while True:
            found = self._find(matcher.selectors, matcher.matches)
            try:
                for step in removals({check_writable(path): raw for path, raw in found.entries.items()}):
                    self._remove(step)
                    removed += len(step)
            except Conflict as conflict:
                race.lose(conflict)
            else:
                return removed

    def _remove(self, entries: Mapping[str, RawEntry]) -> None:
        operations = [delete_op(path) for path in entries]
        guards = [revision_guard(path, raw.revision) for path, raw in entries.items()]
        self._place.commit(operations, guards, sum(map(len, entries)))

    def set_many(self, values: Mapping[str, Any], *, ttl: Duration | None = None) -> int:
        """Writes several values in one commit; its revision."""
        if not isinstance(values, Mapping):
            raise InvalidValue(f"set_many takes a map of paths to values, not {type(values).__name__}")
        deadline = None if ttl is None else millis(ttl)
        encoded = {check_writable(path): self._encode(value) for path, value in values.items()}
        if not encoded:
            return self.revision()
        operations = [set_op(path, raw, deadline, lasting=True) for path, raw in encoded.items()]
        applied = self._place.write(operations, [], sum(map(len, encoded.values())))
        self._place.expect(deadline)
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
        """Replaces the value by `fn(value)`, again until nobody else wrote meanwhile; `fn(default)` where there is none.

        Without `ttl` an earlier deadline stays. `fn` may be called several times: it should do nothing else.

        `attempts` and `timeout` bound the tries. After so many that somebody else outran, the last `Conflict` is raised.
        After so many seconds, those of `fn` included, `TimeoutError` is. Either way nothing was written. While the
        server does not answer, `retry_for` counts.

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
        """Changes a map by RFC 7396: keys are merged at every depth, None removes one. A deadline stays.

        >>> entry = task.set("settings", {"model": {"name": "m1", "seed": 7}})
        >>> task.merge("settings", {"model": {"seed": None}, "lang": "en"}).value
        {'model': {'name': 'm1'}, 'lang': 'en'}
        """
        plain = decode(self._encode(patch))
        if not isinstance(plain, dict):
            raise InvalidValue(f"a patch is a map, not {type(patch).__name__}")

        def merged(value: Any) -> Any:
            if not isinstance(value, dict):
                raise InvalidValue(f"{shown(path)} holds {type(value).__name__}, not a map; set it instead")
            return merge_patch(value, plain)

        return self._replace(check_writable(path), merged, {}, self._race(f"merge into {path!r}"))

    def increment(self, path: str, by: float = 1) -> int | float:
        """Adds to a number, 0 where there is none; the new value. A deadline stays.

        >>> task.increment("count"), task.increment("count", 41)
        (1, 42)
        """
        check_writable(path)
        by = from_numpy(by)
        if isinstance(by, bool) or not isinstance(by, (int, float)):
            raise InvalidValue(f"{shown(path)} cannot be incremented by {shown(by)}: give a number")
        if isinstance(by, int) and abs(by) < _SMALL:
            try:
                applied = self._place.commit([increment_op(path, int(by))], [], len(path))
                return applied.result[3]
            except NotComputable:
                pass
        entry = self._replace(path, lambda value: _sum(path, value, by), 0, self._race(f"increment of {path!r}"))
        return _number(path, entry.value)

    def append(self, path: str, *items: Any, max_items: int | None = None) -> Entry:
        """Adds items to the end of a list, a new one where there is none; of more than `max_items` the oldest go.

        >>> task.append("log", "a", "b", "c", max_items=2).value
        ['b', 'c']
        """
        check_writable(path)
        encoded = [self._encode(item) for item in items]
        if max_items is not None:
            return self._append_bounded(path, encoded, max_items)
        limit = self._place.engine.max_value_bytes
        operation = append_op(path, len(encoded), b"".join(encoded), limit)
        try:
            applied = self._place.commit([operation], [], sum(map(len, encoded)))
        except NotComputable:
            raise InvalidValue(f"{shown(path)} does not hold a list; set it instead") from None
        return self._entry(path, self._value_at(path, applied.revision), applied)

    def renew(self, path: str, ttl: Duration | None) -> bool:
        """Gives an entry a new deadline, None to keep it; whether it was there. Neither a revision nor an event."""
        deadline = None if ttl is None else millis(ttl)
        applied = self._place.commit([renew_op(check_writable(path), deadline, lasting=True)], [], len(path))
        self._place.expect(deadline)
        return applied.result == (1,)

    def _encode(self, value: Any) -> bytes:
        return encode(value, self._place.engine.max_value_bytes)

    def _entry(self, path: str, raw: bytes, applied: Applied, deadline: int | None = None) -> Entry:
        if deadline is not None:
            self._place.expect(deadline)
        version, created, expiry = applied.result[:3]
        expires = from_millis(expiry) if expiry else None
        made, updated = _moment(created), _moment(applied.at)
        return new_entry(path, decode(raw), version, applied.revision, self._place.agent, made, updated, expires)

    def _race(self, what: str) -> Race:
        """For what takes no bounds of its caller's: the patience that the store has with its server."""
        return Race(what, patience=self._place.engine.retry_for)

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
                applied = self._place.commit([operation], [guard], len(raw))
                return self._entry(path, raw, applied, deadline)
            except Conflict as conflict:
                race.lose(conflict)

    def _append_bounded(self, path: str, encoded: list[bytes], most: int) -> Entry:
        if isinstance(most, bool) or not isinstance(most, int) or most < 1:
            raise InvalidValue(f"max_items is {shown(most)}: give how many to keep, at least one")

        def appended(value: Any) -> Any:
            if not isinstance(value, list):
                raise InvalidValue(f"{shown(path)} holds {type(value).__name__}, not a list; set it instead")
            return [*value, *map(decode, encoded)][-most:]

        return self._replace(path, appended, [], self._race(f"append to {path!r}"))

    def _value_at(self, path: str, revision: int) -> bytes:
        """The value that a commit of ours gave to a path: others may have written since."""
        journal, place = self._place.keys.journal, self._place
        items = place.connection.run(("XRANGE", journal, f"{revision}-0", "+", "COUNT", "1"))
        if raw := raw_record_at(items, revision):
            return parse_entry(parse_record(raw).operations[0].after).value
        current = self._raw(path)
        return current.value if current else encode([])


def _guards(path: str, if_version: int | None, if_revision: int | None) -> list[Guard]:
    if if_version is None and if_revision is None:
        return []
    asked = (version_guard, "if_version", if_version), (revision_guard, "if_revision", if_revision)
    return [guard(path, _count(name, value)) for guard, name, value in asked if value is not None]


def _count(name: str, value: object) -> int:
    return integer(name, value, "the number that an entry carries, or 0 for no entry")


def _sum(path: str, value: Any, by: float) -> int | float:
    try:
        return _number(path, value) + by
    except OverflowError:
        raise InvalidValue(
            f"{shown(path)} holds an integer that is too large to add a fraction to; set it instead"
        ) from None


def _number(path: str, value: Any) -> int | float:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidValue(f"{shown(path)} holds {type(value).__name__}, not a number; set it instead")
    return value
