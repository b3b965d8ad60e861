"""Reading and removing memories on the server: one by its path, or page by page in the order of their paths."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import accumulate
from typing import NamedTuple

from ccs._async.context_handle import Handle
from ccs._async.optimistic import Race
from ccs._core.commits.entry import RawEntry
from ccs._core.commits.operations import delete_op, revision_guard
from ccs._core.commits.script_calls import entries_call, page_call
from ccs._core.memory.filters import Accept
from ccs._core.memory.records import Kept, kept_in
from ccs._core.names.pattern import Below, Exact
from ccs._core.names.system_paths import system_path
from ccs._core.number_checks import integer
from ccs.errors import Conflict

__all__ = ["Page", "batch", "forget", "forget_matching", "listed", "page", "stored_at"]

# Memories in a page.
_PAGE = 256
# Bytes of the memories that one commit changes: far from its limit, as the journal keeps the old and the new values.
_COMMIT_BYTES = 4 * 1024 * 1024


class Page(NamedTuple):
    """Memories of one kind, by path. The next page begins after the path `last`; None at the end."""

    entries: dict[str, RawEntry]
    last: str | None


async def stored_at(handle: Handle, path: str) -> RawEntry | None:
    """Returns the entry at a path; None if there is none, or it has expired."""
    found = await handle.opening.call(entries_call(handle.keys, [Exact(path)]))
    return found.entries.get(path)


async def forget(handle: Handle, path: str) -> bool:
    """Removes the memory at a path. Returns whether it existed."""
    applied = await handle.commit([delete_op(path)])
    return applied.result == (1,)


async def forget_matching(handle: Handle, root: str, accept: Accept) -> int:
    """Removes the memories of a kind that are accepted, in batches of one commit each. Returns how many it removed."""
    gone = 0
    race = Race("removal of memories")
    last: str | None = ""
    while last is not None:
        entries, end = await batch(handle, root, last)
        leaving = {path: raw for path, raw in entries.items() if accept(kept_in(path, raw)[0])}
        try:
            await _remove(handle, leaving)
        except Conflict as conflict:
            if conflict.path not in leaving:
                raise
            await race.lose(conflict)
            continue
        gone += len(leaving)
        last = end
    return gone


async def _remove(handle: Handle, memories: Mapping[str, RawEntry]) -> None:
    """Removes memories in one commit; raises `Conflict` if one of them has changed."""
    if memories:
        operations = [delete_op(path) for path in memories]
        guards = [revision_guard(path, raw.revision) for path, raw in memories.items()]
        await handle.commit(operations, guards)


async def listed(handle: Handle, root: str, limit: int, after: str | None, accept: Accept | None = None) -> list[Kept]:
    """Returns at most `limit` memories of a kind that are accepted, in the order of their paths, after an id."""
    wanted = integer("limit", limit, "how many, at least 1", 1)
    last: str | None = "" if after is None else system_path(root, after)
    found: list[Kept] = []
    while last is not None and len(found) < wanted:
        at_a_time = _PAGE if accept else min(_PAGE, wanted - len(found))
        entries, last = await page(handle, root, last, at_a_time)
        memories = (kept_in(path, raw)[0] for path, raw in entries.items())
        found += [memory for memory in memories if accept is None or accept(memory)]
    return found[:wanted]


async def batch(handle: Handle, root: str, after: str, most: int = _PAGE) -> Page:
    """Returns the next memories of a kind that fit into one commit, at most `most`, but at least one if there is one."""
    entries, last = await page(handle, root, after, most)
    sizes = accumulate(len(raw.value) for raw in entries.values())
    fitting = sum(size <= _COMMIT_BYTES for size in sizes) or 1
    if fitting >= len(entries):
        return Page(entries, last)
    paths = list(entries)[:fitting]
    return Page({path: entries[path] for path in paths}, paths[-1])


async def page(handle: Handle, root: str, after: str, limit: int) -> Page:
    """Returns the next memories of a kind: at most `limit`, after a path."""
    found = await handle.opening.call(page_call(handle.keys, Below(f"{root}/"), after, limit))
    return Page(found.entries, found.last_path)
