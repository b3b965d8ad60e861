"""Events: told in the order of the commits, journaled with them, and gone from the state; and a bus made of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, TypeVar

from ccs._async.changes.subscription import whole_of
from ccs._async.changes.watch_kinds import EventWatch
from ccs._async.entries import Entries
from ccs._async.observing import call_back, pattern_list
from ccs._async.reads import matcher_of
from ccs._core.codec import encode
from ccs._core.commits.commit import event_op
from ccs._core.names.address import check_writable
from ccs._local import Local
from ccs.types import Event

__all__ = ["EventBus", "EventErrorCallback", "event_watch", "on_event", "publish"]

EventErrorCallback = Callable[[Exception, Event | None], object]
F = TypeVar("F", bound=Callable[..., Any])


async def publish(entries: Entries, topic: str, data: Any) -> int:
    """Tells an event, as a commit of its own; its revision."""
    place = entries.place
    raw = encode(data, place.engine.max_value_bytes)
    applied = await place.commit([event_op(check_writable(topic), raw)], [], len(raw), heeding=False)
    return applied.revision


def event_watch(entries: Entries, patterns: tuple[str, ...], since: int | None) -> EventWatch:
    """The events whose topics match, from the moment of entering or after a revision."""
    place, _ = entries.place, matcher_of(patterns)
    return EventWatch(place.engine, place.address, patterns or ("**",), since=since)


def on_event(
    entries: Entries,
    patterns: Sequence[str | Sequence[str]],
    since: int | None,
    on_error: EventErrorCallback | None,
    given: Callable[[Any], object] = whole_of,
) -> Callable[[F], F]:
    """Registers a function to be called back with what is `given` of each event whose topic matches."""
    wanted = tuple(pattern for one in patterns for pattern in pattern_list(one))

    def register(callback: F) -> F:
        call_back(entries.place.engine, partial(event_watch, entries, wanted, since), callback, on_error, given)
        return callback

    return register


class EventBus(Local):
    """Topics and callbacks, as of a bus inside one program, between all programs: ordered, and none lost."""

    def __init__(self, entries: Entries) -> None:
        self._entries = entries

    def __repr__(self) -> str:
        return f"<EventBus of {self._entries.place.address}>"

    async def publish(self, topic: str, data: Any = None) -> int:
        """Tells everybody who has subscribed to the topic; the event's revision."""
        return await publish(self._entries, topic, data)

    def subscribe(
        self, *topics: str | Sequence[str], since: int | None = None, on_error: EventErrorCallback | None = None
    ) -> Callable[[F], F]:
        """Calls back with the data of each event of a topic, or of all that match: `callback(data)`, `on_error(error, event)`.

        As `Context.on_event` otherwise.
        """
        return on_event(self._entries, topics, since, on_error, _data_of)


def _data_of(event: Event) -> object:
    return event.data
