# Generated from ccs/_async/memory/stored.py by scripts/twin. Do not edit.
"""Memories as they stand in the server: one by its path, or page after page in the order of their paths."""

from __future__ import annotations

import random
from collections.abc import Mapping
from itertools import accumulate
from typing import NamedTuple

from ccs._compat import sleep
from ccs._core.checks import integer
from ccs._core.commits.commit import delete_op, revision_guard
from ccs._core.commits.entry import RawEntry
from ccs._core.commits.queries import page_arguments, parse_found, read_arguments
from ccs._core.memory.filters import Accept
from ccs._core.memory.records import Kept, kept_in
from ccs._core.names.pattern import Below, Exact
from ccs._core.names.system_paths import system_path
from ccs._core.retry import jitter
from ccs._protocol.scripts import READ
from ccs._sync.handle import Place
from ccs.errors import Conflict

__all__ = ["Stretch", "forget", "forget_matching", "listed", "page", "stored_at", "stretch"]

# How many memories are read at a time, and how many bytes a commit may well change: the journal keeps what was there too.
_PAGE, _COMMIT_BYTES = 256, 4 * 1024 * 1024


class Stretch(NamedTuple):
    """Memories of one kind, by path. The next ones come after the path `last`; it is None at the end."""

    entries: dict[str, RawEntry]
    last: str | None


def stored_at(place: Place, path: str) -> RawEntry | None:
    """What stands at a path; None where there is nothing, or what has expired."""
    reply = place.connection.script(READ, place.keys.all, read_arguments("entries", [Exact(path)]))
    return parse_found(reply, _any).entries.get(path)


def forget(place: Place, path: str) -> bool:
    """Removes the memory at a path. Returns whether it existed."""
    applied = place.commit([delete_op(path)], [], len(path), heeding=False)
    return applied.result == (1,)


def forget_matching(place: Place, root: str, accept: Accept) -> int:
    """Removes the memories of a kind that are accepted, step by step, each step one commit. Returns how many these were."""
    gone = 0
    lost = 0
    last: str | None = ""
    while last is not None:
        entries, end = stretch(place, root, last)
        leaving = {path: raw for path, raw in entries.items() if accept(kept_in(path, raw)[0])}
        try:
            _remove(place, leaving)
        except Conflict as conflict:
            if conflict.path not in leaving:
                raise
            sleep(jitter(lost, random.random()))
            lost += 1
            continue
        gone += len(leaving)
        last = end
    return gone


def _remove(place: Place, memories: Mapping[str, RawEntry]) -> None:
    """Removes memories in one commit, if none of them has changed meanwhile."""
    if memories:
        operations = [delete_op(path) for path in memories]
        guards = [revision_guard(path, raw.revision) for path, raw in memories.items()]
        place.commit(operations, guards, sum(map(len, memories)), heeding=False)


def listed(place: Place, root: str, limit: int, after: str | None, accept: Accept | None = None) -> list[Kept]:
    """At most `limit` of the memories of a kind that are accepted, in the order of their paths, after an id."""
    wanted = integer("limit", limit, "how many, at least 1", 1)
    last: str | None = "" if after is None else system_path(root, after)
    found: list[Kept] = []
    while last is not None and len(found) < wanted:
        at_a_time = _PAGE if accept else min(_PAGE, wanted - len(found))
        entries, last = page(place, root, last, at_a_time)
        memories = (kept_in(path, raw)[0] for path, raw in entries.items())
        found += [memory for memory in memories if accept is None or accept(memory)]
    return found[:wanted]


def stretch(place: Place, root: str, after: str, most: int = _PAGE) -> Stretch:
    """The next memories of a kind, as many as fit into one commit, at most `most`: at least one, if there are any."""
    entries, last = page(place, root, after, most)
    sizes = accumulate(len(raw.value) for raw in entries.values())
    fitting = sum(size <= _COMMIT_BYTES for size in sizes) or 1
    if fitting >= len(entries):
        return Stretch(entries, last)
    paths = list(entries)[:fitting]
    return Stretch({path: entries[path] for path in paths}, paths[-1])


def page(place: Place, root: str, after: str, limit: int) -> Stretch:
    """The next memories of a kind: at most `limit` whose paths come after that one."""
    arguments = page_arguments(Below(f"{root}/"), after, limit)
    found = parse_found(place.connection.script(READ, place.keys.all, arguments), _any)
    return Stretch(found.entries, found.last_path)


def _any(_: str) -> bool:
    return True
