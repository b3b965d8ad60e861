"""How agents talk to each other in a context: events for all that listen, messages for one receiver."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, TypeVar

from ccs._async.changes.subscription import Subscription
from ccs._async.changes.watch_kinds import EventWatch
from ccs._async.entries import Entries
from ccs._async.recipes import events
from ccs._async.recipes.events import EventBus, EventErrorCallback
from ccs._async.recipes.inbox import Inbox
from ccs._async.recipes.message import Message, send
from ccs._core.recipes.outbox import INBOX_LIMIT, Draft, waiting
from ccs._core.times import Duration
from ccs.types import Event

__all__ = ["Messaging"]

F = TypeVar("F", bound=Callable[[Event], object])


class Messaging(Entries):
    """The part of a context for events and messages."""

    async def publish(self, topic: str, data: Any = None) -> int:
        """Publishes an event: a commit that is journaled and delivered, but writes no entry. Returns its revision.

        A topic has the form of a path. An event goes to every subscriber; to give work to one receiver, send a message.
        Policies do not apply to events. Raises `ReservedPath` for a topic that begins with `@`, else as `set` does.

            >>> since = await task.publish("data/ready", {"rows": 3})
            >>> async with task.events("data/*", since=0) as events:
            ...     event = await events.receive(timeout=10)
            >>> event.topic, event.data, event.agent, event.revision == since
            ('data/ready', {'rows': 3}, 'example', True)
        """
        return await events.publish(self, topic, data)

    def events(self, *patterns: str, since: int | datetime | None = None) -> EventWatch:
        """Returns a watch of the events whose topics match: each of them, in order and once, from the moment it is entered.

        With `since`, it resumes after that revision or time, or from the beginning (0); entering raises `HistoryCompacted` if the
        journal no longer holds it. It is used like a watch of changes, and ends as that does.
        """
        return events.event_watch(self, patterns, since)

    def subscribe_events(
        self,
        topics: str | Sequence[str],
        callback: Callable[[Event], object],
        *,
        since: int | datetime | None = None,
        on_error: EventErrorCallback | None = None,
    ) -> Subscription:
        """Calls `callback(event)` with every event whose topic matches, in order. Returns the subscription.

        As `on_event`, for a callback that is to be cancelled again.

            >>> seen = []
            >>> subscription = task.subscribe_events("data/*", seen.append)
            >>> await subscription.ready(timeout=10)
            >>> subscription.cancel()
            >>> subscription.state
            'cancelled'
        """
        return events.subscribe_events(self, topics, callback, since, on_error)

    def on_event(
        self,
        *patterns: str | Sequence[str],
        since: int | datetime | None = None,
        on_error: EventErrorCallback | None = None,
    ) -> Callable[[F], F]:
        """Subscribes the decorated function: `callback(event)` is called with every event whose topic matches, in order.

        If the callback raises, `on_error(error, event)` is called and the next event is delivered. As `on_change`, it can
        be used before the store is entered, and again in a cell of a notebook that is run again.

            >>> @task.on_event("data/*")
            ... async def react(event):
            ...     await task.set("seen", event.data)
            >>> revision = await task.publish("data/ready", 3)
            >>> (await task.wait_for("seen", timeout=10)).value
            3
        """
        return events.on_event(self, patterns, since, on_error)

    @property
    def bus(self) -> EventBus:
        """The events of this context as a message bus: `await bus.publish(topic, data)`, `@bus.subscribe(topic)`.

        >>> @task.bus.subscribe("data/ready")
        ... async def react(data):
        ...     await task.set("rows", data)
        >>> revision = await task.bus.publish("data/ready", 3)
        >>> (await task.wait_for("rows", timeout=10)).value
        3
        """
        return EventBus(self)

    async def send(
        self,
        to: str,
        content: Any,
        *,
        type: str = "note",
        reply_to: str | None = None,
        ttl: Duration | None = None,
        limit: int = INBOX_LIMIT,
        id: str | None = None,
        delay: Duration | None = None,
        at: datetime | None = None,
        priority: int = 0,
    ) -> Message:
        """Sends a message to the inbox of a role, in one commit. Returns the message.

        A role may be any text. The message stays unread until a receiver acknowledges it; with `ttl`, it expires after
        that many seconds. `reply_to` is the id of the message that this one answers. Raises `InboxFull`, and sends
        nothing, if the inbox holds `limit` unread messages.

        It can be received after `delay` seconds, or from the time `at` on, by the clock of this machine. Of those that can
        be received, the one with the highest `priority` comes first. An `id`, any text of up to 200 bytes, is sent once: for a
        day, sending it again to this role sends nothing and returns the first message, which has the content given now
        if it was acknowledged since.

            >>> message = await task.send("analyst", {"read": "sources/a"}, type="task")
            >>> [each.content for each in await task.inbox("analyst").unread()]
            [{'read': 'sources/a'}]
        """
        wait = waiting(delay, at, datetime.now(UTC))
        return await send(self._handle, Draft(to, content, type, reply_to, ttl, limit, id, wait, priority))

    def inbox(self, role: str, *, lease: Duration = 60.0, attempts: int = 5, renew: bool = False) -> Inbox:
        """Returns the inbox of a role: iterate over it, or `receive` one by one, and `ack` each message when it is done.

        Messages are delivered in the order of sending, each to one receiver of the role at a time. A message that is not
        acknowledged within `lease` seconds is delivered again, before newer ones, so handling it must be repeatable. After
        `attempts` deliveries it moves to the dead letters. All receivers of a role should give the same numbers. With
        `renew`, a lease is renewed while the process lives and has the message, so `lease` may be short and the work long.

            >>> message = await task.send("analyst", "hello")
            >>> async with task.inbox("analyst") as inbox:
            ...     async with await inbox.receive(timeout=5) as message:
            ...         pass
            >>> message.content, message.sender, message.attempts
            ('hello', 'example', 1)
        """
        return Inbox(self, role, lease, attempts, renew)
