"""The scopes of memory, and what is told of their changes."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime

from ccs._core.past import Moment
from ccs.types import Change, MemoryEvent

__all__ = ["MEMORY_SCOPES", "memory_event", "said_since"]

MEMORY_SCOPES = {"workflow": "tasks", "session": "sessions", "actor": "actors", "global": ""}
"""The kind of context that each is, from the most specific to the widest."""


def memory_event(change: Change, scope: str, scope_id: str) -> MemoryEvent:
    """A change of a context, as memory tells it."""
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


def said_since(changes: Iterable[Change], since: int | datetime | None) -> list[Change]:
    """Those of the changes that came after a revision or a moment; `InvalidValue` where it is neither."""
    if since is None:
        return list(changes)
    Moment.of(since)
    if isinstance(since, datetime):
        return [change for change in changes if change.at > since]
    return [change for change in changes if change.revision > since]
