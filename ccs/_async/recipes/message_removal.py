"""Removing messages from an inbox without receiving them there: by id and token, or all of them."""

from __future__ import annotations

from ccs._async.context_handle import Handle
from ccs._async.optimistic import Race
from ccs._async.recipes.message import taken_since
from ccs._core.commits.commit import removals
from ccs._core.commits.entry import RawEntry
from ccs._core.commits.operations import revision_guard
from ccs._core.commits.script_calls import entries_call
from ccs._core.names.pattern import compile_patterns
from ccs._core.number_checks import integer
from ccs._core.recipes.inbox import REMOVAL_BYTES, InboxPaths, acknowledging, purging
from ccs.errors import Conflict

__all__ = ["acknowledge", "purge"]


async def acknowledge(handle: Handle, paths: InboxPaths, id: str, token: int) -> None:
    """Acknowledges a message that the delivery of the revision `token` gave to any process; see `Inbox.ack`."""
    number = integer("token", token, "the token of a message that was received", 1)
    move = acknowledging(paths, id, revision_guard(paths.at("deliveries", id), number))
    try:
        await handle.commit(move.operations, move.guards)
    except Conflict as conflict:
        raise taken_since(paths.role, id) from conflict
    handle.holdings.remove(handle.address, paths.at("leases", id), number)


async def purge(handle: Handle, paths: InboxPaths) -> int:
    """Removes all messages, but no dead letters. Returns how many it removed; see `Inbox.purge`."""
    race = Race("purge", patience=handle.engine.retry_for)
    removed = 0
    while True:
        try:
            for part in removals(await _messages(handle, paths), REMOVAL_BYTES):
                move = purging(paths, part)
                await handle.commit(move.operations, move.guards)
                removed += len(part)
        except Conflict as conflict:
            await race.lose(conflict)
        else:
            return removed


async def _messages(handle: Handle, paths: InboxPaths) -> dict[str, RawEntry]:
    matcher = compile_patterns(paths.patterns("messages"))
    found = await handle.opening.call(entries_call(handle.keys, matcher.selectors, matcher.matches))
    return found.entries
