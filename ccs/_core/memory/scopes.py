"""The scopes of memory, and their changes as `MemoryEvent`s."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from ccs._core.changes.time_travel import Moment
from ccs._core.names.address import address_of
from ccs._core.quoted_values import shown
from ccs.errors import InvalidPath
from ccs.types import Change, MemoryEvent

__all__ = ["MEMORY_SCOPES", "changes_after", "memory_event", "scope_address"]

MEMORY_SCOPES = {"workflow": "tasks", "session": "sessions", "actor": "actors", "global": ""}
"""The kind of context of each scope, from the most specific to the widest."""


def scope_address(scope: str, id: object) -> str:
    """Returns the address of the context of a scope and an id. Raises `InvalidPath` unless the id is non-empty text."""
    if not isinstance(id, str) or not id:
        raise InvalidPath(f"{scope}={shown(id)} is not an id: give some text, or leave {scope} out if there is none")
    return address_of(MEMORY_SCOPES[scope], id)


def memory_event(change: Change, scope: str, scope_id: str) -> MemoryEvent:
    """Returns a change of a context as a `MemoryEvent`."""
    return MemoryEvent(
        key=change.path,
        data=change.value,
        previous_data=change.previous,
        scope=scope,
        scope_id=scope_id,
        timestamp=change.at,
        agent=change.agent,
        action=change.op,
        revision=change.revision,
    )


def changes_after(changes: Iterable[Change], since: int | datetime | None) -> list[Change]:
    """Returns the changes after a revision or a datetime. Raises `InvalidValue` if `since` is neither."""
    if since is None:
        return list(changes)
    Moment.of(since)
    if isinstance(since, datetime):
        return [change for change in changes if change.at > since]
    return [change for change in changes if change.revision > since]
