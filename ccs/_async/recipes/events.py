"""Events: published in the order of the commits and journaled with them, but not stored as entries; and a bus of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import partial
from typing import Any, TypeVar

from ccs._async.changes.subscription import Subscription, cell_of, unchanged
from ccs._async.changes.watch_kinds import EventWatch
from ccs._async.entries import Entries
from ccs._async.reads import matcher_of
from ccs._async.watching import call_back, wanted_patterns
from ccs._core.codec import encode
from ccs._core.commits.operations import event_op
from ccs._core.names.address import check_writable
from ccs._not_copyable import Local
from ccs.types import Event

__all__ = ["EventBus", "EventErrorCallback", "event_watch", "on_event", "publish", "subscribe_events"]

EventErrorCallback = Callable[[Exception, Event | None], object]
F = TypeVar("F", bound=Callable[[Any], object])


async def publish(entries: Entries, topic: str, data: Any) -> int:
    """Publishes an event, as a commit of its own. Returns its revision."""
    handle = entries.handle
    raw = encode(data, handle.engine.max_value_bytes)
    applied = await handle.commit([event_op(check_writable(topic), raw)])
    return applied.revision


def event_watch(entries: Entries, patterns: tuple[str, ...], since: int | datetime | None) -> EventWatch:
    """Returns a watch of the events whose topics match, from the moment it is entered or after a revision."""
    matcher_of(patterns)  # raises InvalidPattern
    handle = entries.handle
    return EventWatch(handle.engine, handle.address, patterns or ("**",), since=since, reach=handle.reach)


def subscribe_events(
    entries: Entries,
    topics: str | Sequence[str],
    callback: Callable[[Event], object],
    since: int | datetime | None,
    on_error: EventErrorCallback | None,
) -> Subscription:
    """Calls `callback(event)` for each event whose topic matches. Returns the subscription."""
    watch = partial(event_watch, entries, tuple(wanted_patterns(topics)), since)
    return call_back(entries.handle.engine, watch, callback, on_error)


def on_event(
    entries: Entries,
    patterns: Sequence[str | Sequence[str]],
    since: int | datetime | None,
    on_error: EventErrorCallback | None,
    argument_of: Callable[[Any], object] = unchanged,
) -> Callable[[F], F]:
    """Returns a decorator: the function is called with `argument_of(event)` for each event whose topic matches."""
    wanted = tuple(pattern for one in patterns for pattern in wanted_patterns(one))

    def register(callback: F) -> F:
        handle = entries.handle
        watch = partial(event_watch, entries, wanted, since)
        cell = cell_of(callback, argument_of, handle.address, *wanted)
        call_back(handle.engine, watch, callback, on_error, argument_of, cell=cell)
        return callback

    return register


class EventBus(Local):
    """A message bus between programs: topics and callbacks, in order, and no event lost."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries

    def __repr__(self) -> str:
        return f"<EventBus of {self._entries.handle.address}>"

    async def publish(self, topic: str, data: Any = None) -> int:
        """Publishes an event to all subscribers of the topic. Returns its revision."""
        return await publish(self._entries, topic, data)

    def subscribe(
        self,
        *topics: str | Sequence[str],
        since: int | datetime | None = None,
        on_error: EventErrorCallback | None = None,
    ) -> Callable[[F], F]:
        """Subscribes the decorated function: `callback(data)` is called with the data of each event whose topic matches.

        Otherwise as `Context.on_event`.
        """
        return on_event(self._entries, topics, since, on_error, _data_of)


def _data_of(event: Event) -> object:
    return event.data
