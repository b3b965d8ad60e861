# Generated from ccs/_async/recipes/forks.py by scripts/twin. Do not edit.
"""Forks: a copy of a context for a hypothesis, and adopting what was found there, in one commit."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from ccs._compat import maybe
from ccs._core.codec import decode, encode
from ccs._core.commits.entry import RawEntry
from ccs._core.commits.operations import nothing_below, version_guard
from ccs._core.commits.queries import Found
from ccs._core.commits.script_calls import entries_call, info_call, paths_call
from ccs._core.names.pattern import Exact, Matcher, compile_patterns, escape
from ccs._core.quoted_values import shown
from ccs._core.recipes.forks import (
    BASE,
    RECORDS,
    Base,
    Difference,
    base_in,
    copies_of,
    differences,
    forgetting,
    fork_of,
    plan,
    record_of,
    some_of,
)
from ccs._sync.changes.time_travel import snapshot_at
from ccs._sync.context_handle import Handle
from ccs._sync.entries import Entries
from ccs._sync.optimistic import Race
from ccs._sync.reads import matcher_of
from ccs.errors import AdoptConflict, Conflict, ContextGone, Forbidden, InvalidValue
from ccs.types import Adopted

__all__ = ["OnConflict", "adopt", "fill"]

OnConflict = str | Callable[[str, Any, Any, Any], Any]
"""What to do about a path that changed on both sides: a word, or a function that returns the value."""

_RECORDS = compile_patterns((f"{RECORDS}/**",))
_WORDS = ("raise", "ours", "theirs")


def fill(origin: Handle, fork: Handle, patterns: tuple[str, ...]) -> None:
    """Makes a fork: copies what matches, as it was at one moment, into a context that does not exist yet."""
    if origin.reach is not None:
        raise origin.beyond("fork the context")
    matcher = matcher_of(patterns)
    there = fork.opening.call(info_call(fork.keys, fork.address))
    if there.revision:
        raise Conflict(fork.address, 0, 0, there.revision, None)
    found = origin.opening.call(entries_call(origin.keys, matcher.selectors, _ordinary(matcher)))
    copies = copies_of(origin.address, found.revision, found.entries, found.now)
    try:
        fork.commit(copies.operations, [version_guard(BASE, 0), nothing_below("")])
    except Conflict as conflict:
        raise Conflict(fork.address, 0, conflict.version, conflict.revision, conflict.agent) from None
    fork.expect(copies.ttl)


def adopt(ours: Entries, fork: Handle, patterns: tuple[str, ...], on_conflict: OnConflict) -> Adopted:
    """Adopts what a fork has changed, in one commit; tries again if somebody writes the same paths meanwhile."""
    if on_conflict not in _WORDS and not callable(on_conflict):
        raise InvalidValue(f'on_conflict is {shown(on_conflict)}: give "raise", "ours", "theirs" or a function')
    adoption = Adoption(ours.handle, fork, matcher_of(patterns), on_conflict)
    race = Race(f"adoption of {fork.address}", patience=ours.handle.engine.retry_for)
    while True:
        try:
            return adoption.attempt()
        except Conflict as conflict:
            race.lose(conflict)


class Seen(NamedTuple):
    """What was read on both sides: the fork at one moment, then our side at one moment."""

    theirs: Found
    revision: int
    base: Base
    record: RawEntry | None
    found: list[Difference]


class Adoption:
    """One call of `adopt`: which fork, which paths, and what to do about those that changed on both sides."""

    def __init__(self, ours: Handle, fork: Handle, matcher: Matcher, on_conflict: OnConflict) -> None:
        self._ours = ours
        self._fork = fork
        self._on_conflict = on_conflict
        self._record = ours.check_shown(record_of(fork.address))
        self._narrowed = fork.shown(ours.shown(matcher))
        self._matches = _ordinary(self._narrowed)

    def __repr__(self) -> str:
        return f"<Adoption of {self._fork.address} by {self._ours.address}>"

    def attempt(self) -> Adopted:
        """Reads both sides, decides, and commits; raises `Conflict` if our side has changed meanwhile."""
        seen = self._look()
        collisions = [each for each in seen.found if each.collides(seen.base)]
        resolved = self._resolve(seen.base, collisions)
        at = (self._fork.address, seen.theirs.revision, seen.theirs.now)
        made = plan(seen.base, seen.found, resolved, seen.record, at)
        revision = seen.revision
        if made.operations:
            self._forget_gone(seen.revision)
            revision = self._ours.write(made.operations, made.guards).revision
        self._ours.expect(made.ttl)
        return Adopted(revision, made.applied, tuple(each.path for each in collisions))

    def _look(self) -> Seen:
        fork = self._fork
        fork.check_shown(BASE)
        wanted = (Exact(BASE), *self._narrowed.selectors)
        theirs = fork.opening.call(entries_call(fork.keys, wanted, lambda path: path == BASE or self._matches(path)))
        if not theirs.revision:
            raise ContextGone(fork.address)
        note = theirs.entries.pop(BASE, None)
        if note is None:
            raise self._stranger()
        record = self._read([self._record]).entries.get(self._record)
        base = base_in(note, record)
        if base.address != self._ours.address:
            raise self._stranger()
        known = filter(self._matches, base.marks)
        found = differences(base, theirs.entries, known, theirs.now)
        here = self._read([self._record, *(each.path for each in found)])
        for each in found:
            each.ours = here.entries.get(each.path)
        return Seen(theirs, here.revision, base, record, found)

    def _forget_gone(self, seed: int) -> None:
        """Removes records of forks that are gone, of a few from `seed` on: an adoption adds one at most."""
        ours = self._ours
        if ours.reach is not None:
            return
        listed = ours.opening.call(paths_call(ours.keys, _RECORDS.selectors, _RECORDS.matches))
        # Read before their forks are looked at: what is written in between, for a fork that was made again, stays.
        records = self._read(some_of(listed.paths, seed)).entries
        gone = {path: raw for path, raw in records.items() if self._is_gone(fork_of(path))}
        if gone:
            with suppress(Conflict):  # another adoption has written or removed some of them
                ours.commit(*forgetting(gone))

    def _is_gone(self, address: str) -> bool:
        try:
            info = self._ours.opening.call(info_call(self._ours.engine.keys(address), address))
        except Forbidden:  # a limited user may not look at every fork
            return False
        return not info.revision

    def _stranger(self) -> InvalidValue:
        return InvalidValue(f"{self._fork.address} is not a fork of {self._ours.address}: adopt what fork() returned")

    def _read(self, paths: Sequence[str]) -> Found:
        return self._ours.opening.call(entries_call(self._ours.keys, map(Exact, paths)))

    def _resolve(self, base: Base, collisions: list[Difference]) -> dict[str, bytes | None]:
        if not collisions:
            return {}
        if self._on_conflict == "raise":
            raise AdoptConflict(self._fork.address, [each.path for each in collisions])
        if self._on_conflict == "ours":
            return {each.path: each.ours.value if each.ours else None for each in collisions}
        if not callable(self._on_conflict):
            return {}
        bases = self._base_values(base, collisions)
        return {each.path: self._ask(self._on_conflict, each, bases.get(each.path)) for each in collisions}

    def _ask(self, decide: Callable[[str, Any, Any, Any], Any], each: Difference, base: Any) -> bytes | None:
        ours = decode(each.ours.value) if each.ours else None
        theirs = decode(each.theirs.value) if each.theirs else None
        value = maybe(decide(each.path, base, ours, theirs))
        if value is None and not (each.ours and each.theirs):
            return None
        return encode(value, self._ours.engine.max_value_bytes)

    def _base_values(self, base: Base, collisions: list[Difference]) -> dict[str, Any]:
        """Returns the values at the base, from the history of the fork: no copies of them are kept."""
        paths: dict[int, list[str]] = {}
        for each in collisions:
            if base.mark(each.path).digest:
                paths.setdefault(base.revision(each.path), []).append(each.path)
        values = {}
        for revision, some in paths.items():
            matcher = compile_patterns(tuple(map(escape, some)))
            snapshot = snapshot_at(self._fork, revision, matcher)
            values.update({path: entry.value for path, entry in snapshot.items()})
        return values


def _ordinary(matcher: Matcher) -> Callable[[str], bool]:
    """Matches what the matcher does, without the entries of the system."""
    return lambda path: not path.startswith("@") and matcher.matches(path)
