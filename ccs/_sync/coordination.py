# Generated from ccs/_async/coordination.py by scripts/twin. Do not edit.
"""How agents work together in a context: one short method for each recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any, Self, TypeVar

from ccs._core.recipes.agreement import ballot_of
from ccs._core.recipes.once import terms_of
from ccs._core.recipes.outbox import INBOX_LIMIT, Draft
from ccs._core.times import Duration
from ccs._sync.changes.watch_kinds import EventWatch
from ccs._sync.context_handle import Fence
from ccs._sync.entries import Entries
from ccs._sync.recipes import agreement, events, policies, presence
from ccs._sync.recipes.barrier import Barrier
from ccs._sync.recipes.claim import Claim, break_claim, claim_any, claims_of
from ccs._sync.recipes.events import EventBus, EventErrorCallback
from ccs._sync.recipes.inbox import Inbox
from ccs._sync.recipes.message import Message, send
from ccs._sync.recipes.once import Function, Once, idempotent
from ccs._sync.recipes.presence import Presence
from ccs.types import ClaimInfo, Decision, Member

__all__ = ["Coordination"]

F = TypeVar("F", bound=Callable[..., Any])


class Coordination(Entries):
    """The coordinating half of a context.

    Recipes keep their state in entries below `@claims/`, `@once/`, `@inbox/` and so on. Snapshots, watches and histories
    show these entries to a caller that asks for them by name.
    """

    def claim(self, resource: str, *, ttl: Duration = 30.0, wait: Duration = 0.0, note: Any = None) -> Claim:
        """Returns a claim on a resource, which may be any text: an exclusive hold, renewed until it is released.

        Entering or acquiring it takes it, or raises `AlreadyClaimed` after waiting in line for `wait` seconds: first come,
        first served, across processes. A claim expires within `ttl` seconds once its process dies or cannot reach the
        server; then `claim.lost` is true, and writes through `claim.context` raise `ClaimLost`. `note` is for others to
        read.

            >>> with task.claim("sources/a", note="reading") as claim:
            ...     entry = claim.context.set("sources/a", "read")
            ...     claim.held, claim.token < entry.revision, [info.resource for info in task.claims()]
            (True, True, ['sources/a'])
        """
        return Claim(self, self._behind, resource, ttl=ttl, wait=wait, note=note)

    def claim_any(self, resources: Iterable[str], *, ttl: Duration = 30.0) -> Claim | None:
        """Takes a claim on the first resource that nobody holds or waits for. Returns it; None if no resource is free.

        One commit takes it; the other resources are never held. A with block releases it at its end.

            >>> if job := task.claim_any(["jobs/1", "jobs/2"]):
            ...     with job:
            ...         print(job.resource, task.claim_any(["jobs/1"]))
            jobs/1 None
        """
        return claim_any(self._handle, resources, partial(self.claim, ttl=ttl))

    def claims(self, *patterns: str) -> list[ClaimInfo]:
        """Returns the claims held on resources whose names match, sorted by name; without a pattern, all claims."""
        return claims_of(self, patterns)

    def break_claim(self, resource: str) -> bool:
        """Ends the claim on a resource. Returns whether there was one. For operators: the holder may still be working.

        A waiting claim gets the resource at once. From then on, writes of the former holder through `claim.context` raise
        `ClaimLost`; its `claim.lost` becomes true at the next renewal, within a third of the ttl. Its work in other systems
        goes on, unless they check the fencing token.

            >>> claim = task.claim("sources/a").acquire()
            >>> task.break_claim("sources/a"), task.break_claim("sources/a")
            (True, False)
        """
        return break_claim(self._handle, resource)

    def once(
        self,
        key: str,
        fn: Callable[..., object],
        *args: Any,
        input: Any = None,
        lease: Duration = 60.0,
        keep: Duration = 86400.0,
        attempts: int = 3,
        timeout: Duration | None = None,
        type: Any = None,
    ) -> Any:
        """Runs `fn(*args)` once for the key. Returns its result, to this caller and to all others that use the key.

        Callers that come while it runs wait for the result; later ones get it for `keep` seconds. Every caller, also the
        one that ran `fn`, gets the result as it was stored: a model comes back as a map, and with `type` it is validated.
        If `fn` has a keyword-only parameter `token`, it gets the fencing token of its run. With asyncio a plain function
        runs in a worker thread.

        Only one run is active at a time. It holds a lease that is renewed while its process lives; if that dies, a waiting
        caller takes over after `lease` seconds. If `fn` raises, its caller gets the error and the next caller runs at
        once; after `attempts` failed runs all callers get `RetriesExhausted`. A run has also failed if it is cancelled, or
        if its result cannot be stored (`EncodingError`, `ValueTooLarge`). So side effects of `fn` happen at least once:
        give the token, or the key, to the systems that it calls.

        Raises `IdempotencyMismatch` if the key was used with another `input`; `TimeoutError` after waiting `timeout`
        seconds for other callers; `Unavailable` if the server does not answer then (without `timeout`: for `retry_for`);
        `ClaimLost` if the process stood still until another caller took over, and that has no result yet.

            >>> task.once("invoice/7", lambda: "sent")
            'sent'
            >>> task.once("invoice/7", lambda: "sent again")
            'sent'
        """
        terms = terms_of(lease, keep, attempts, timeout, type)
        return Once(self, Function(fn), key, input, terms).result(*args)

    def idempotent(
        self,
        key: str,
        *,
        lease: Duration = 60.0,
        keep: Duration = 86400.0,
        attempts: int = 3,
        timeout: Duration | None = None,
        type: Any = None,
    ) -> Callable[[Callable[..., object]], Callable[..., Any]]:
        """Returns a decorator: each call of the function runs `once`, under a key that is formatted with its arguments.

        The key may name attributes and items, as with `str.format`: `"charge/{order.id}"`. All arguments together are the
        `input`, so they must be storable, and a call with the same key and other arguments raises `IdempotencyMismatch`.

            >>> @task.idempotent("charge/{order}")
            ... def charge(order, amount):
            ...     return f"{amount} for {order}"
            >>> charge("o-1", 20), charge("o-1", amount=20)
            ('20 for o-1', '20 for o-1')
            >>> charge("o-1", 30)
            Traceback (most recent call last):
                ...
            ccs.errors.IdempotencyMismatch: the key 'charge/o-1' was used with another input; give this request a key of its own
        """
        return idempotent(self, key, terms_of(lease, keep, attempts, timeout, type))

    def publish(self, topic: str, data: Any) -> int:
        """Publishes an event: a commit that is journaled and delivered, but writes no entry. Returns its revision.

        A topic has the form of a path. An event goes to every subscriber; to give work to one receiver, send a message.
        Policies do not apply to events. Raises `ReservedPath` for a topic that begins with `@`, else as `set` does.

            >>> since = task.publish("data/ready", {"rows": 3})
            >>> with task.events("data/*", since=0) as events:
            ...     event = events.receive(timeout=10)
            >>> event.topic, event.data, event.agent, event.revision == since
            ('data/ready', {'rows': 3}, 'example', True)
        """
        return events.publish(self, topic, data)

    def events(self, *patterns: str, since: int | None = None) -> EventWatch:
        """Returns a watch of the events whose topics match: each of them, in order and once, from the moment it is entered.

        With `since`, it resumes after that revision, or from the beginning (0); entering raises `HistoryCompacted` if the
        journal no longer holds it. It is used like a watch of changes, and ends as that does.
        """
        return events.event_watch(self, patterns, since)

    def on_event(
        self,
        *patterns: str | Sequence[str],
        since: int | None = None,
        on_error: EventErrorCallback | None = None,
    ) -> Callable[[F], F]:
        """Subscribes the decorated function: `callback(event)` is called with every event whose topic matches, in order.

        If the callback raises, `on_error(error, event)` is called and the next event is delivered. As `on_change`, it can
        be used before the store is entered.

            >>> @task.on_event("data/*")
            ... def react(event):
            ...     task.set("seen", event.data)
            >>> revision = task.publish("data/ready", 3)
            >>> task.wait_for("seen", timeout=10).value
            3
        """
        return events.on_event(self, patterns, since, on_error)

    @property
    def bus(self) -> EventBus:
        """The events of this context as a message bus: `bus.publish(topic, data)`, `@bus.subscribe(topic)`.

        >>> @task.bus.subscribe("data/ready")
        ... def react(data):
        ...     task.set("rows", data)
        >>> revision = task.bus.publish("data/ready", 3)
        >>> task.wait_for("rows", timeout=10).value
        3
        """
        return EventBus(self)

    def send(
        self,
        to: str,
        content: Any,
        *,
        type: str = "note",
        reply_to: str | None = None,
        ttl: Duration | None = None,
        limit: int = INBOX_LIMIT,
    ) -> Message:
        """Sends a message to the inbox of a role, in one commit. Returns the message.

        A role may be any text. The message stays unread until a receiver acknowledges it; with `ttl`, it expires after
        that many seconds. `reply_to` is the id of the message that this one answers. Raises `InboxFull`, and sends
        nothing, if the inbox holds `limit` unread messages.

            >>> message = task.send("analyst", {"read": "sources/a"}, type="task")
            >>> [each.content for each in task.inbox("analyst").unread()]
            [{'read': 'sources/a'}]
        """
        return send(self._handle, Draft(to, content, type, reply_to, ttl, limit))

    def inbox(self, role: str, *, lease: Duration = 60.0, attempts: int = 5) -> Inbox:
        """Returns the inbox of a role: iterate over it, or `receive` one by one, and `ack` each message when it is done.

        Messages are delivered in the order of sending, each to one receiver of the role at a time. A message that is not
        acknowledged within `lease` seconds is delivered again, before newer ones, so handling it must be repeatable. After
        `attempts` deliveries it moves to the dead letters. All receivers of a role should give the same numbers.

            >>> message = task.send("analyst", "hello")
            >>> with task.inbox("analyst") as inbox:
            ...     message = inbox.receive(timeout=5)
            ...     message.ack()
            >>> message.content, message.sender, message.attempts
            ('hello', 'example', 1)
        """
        return Inbox(self, role, lease, attempts)

    def join(self, role: str | None = None, *, ttl: Duration = 15.0, meta: Any = None) -> Presence:
        """Returns a presence: while it is entered, this agent is one of the `members`. `meta` is any value.

        Leaving the block ends it at once; if its process dies, it expires within `ttl` seconds. So does every claim,
        message and run that the agent takes in this context after joining, however long its own lease: so join first.
        Joining and leaving are commits, which a watch of `@members/*` delivers. An agent that joins twice, for instance
        in two processes, is two members.

            >>> with task.join("reviewer", meta={"model": "m1"}):
            ...     [(member.agent, member.role, member.meta) for member in task.members()]
            [('example', 'reviewer', {'model': 'm1'})]
            >>> task.members()
            []
        """
        return Presence(self, role, ttl, meta)

    def members(self) -> list[Member]:
        """Returns the members in the order in which they joined; one whose process has died stays for at most its ttl."""
        return presence.members(self)

    def agree(self, name: str, *, parties: Iterable[str], vote: bool = True, timeout: Duration = 30.0) -> Decision:
        """Votes as this agent, one of the `parties` (names of agents). Returns the decision, the same for all parties.

        The decision is to commit if every party votes yes in time. It is to abort as soon as one party votes no, or was a
        member (`join`) and left without a vote, or when the first caller's `timeout` has passed by the server's clock. The
        first vote of a party counts, even if its process dies or calls again. A party that comes late, or comes back, gets
        the decision; if no party was left to decide, the next one to come does. A name is decided once, for ever.

        Raises `InvalidValue` if the parties differ from the first caller's. After `Unavailable` this agent does not know
        the decision, though others may: call again.

            >>> decision = task.agree("deploy/v2", parties=["example"])
            >>> decision.committed, decision.votes
            (True, {'example': True})
        """
        return agreement.agree(self, ballot_of(name, parties, self._handle.agent, vote, timeout))

    def barrier(self, name: str, *, parties: int, timeout: Duration = 30.0, ttl: Duration = 15.0) -> None:
        """Waits at a barrier until as many `parties` have arrived, this one included.

        Either this arrival counts, or it is taken back and `TimeoutError` is raised after `timeout` seconds; never both.
        The arrival of a process that has died counts for at most `ttl` seconds. An open barrier stays open, and later
        callers pass at once, so give each round a name of its own. Raises `InvalidValue` if `parties` differs from the
        first caller's.

            >>> task.barrier("warmed up", parties=1)
        """
        Barrier(self, name, parties, timeout, ttl).wait()

    def set_policy(self, pattern: str, policy: str) -> int:
        """Sets a policy for writes to existing entries, by any agent. Returns the revision from which it applies.

        "last-write-wins", the default, overwrites. "reject" requires a guard: `if_version`, `if_revision`, or a write that
        guards what it has read, such as `update`, `increment` or a transaction. "write-once" refuses to overwrite or
        delete, whatever the guard. Both raise a `Conflict` that names the policy. "merge" makes `set` of a map onto a map
        merge them, key by key at every depth; None is a value. If several policies match a path, the one set last
        applies. Policies do not apply to creating and expiring entries.

            >>> revision = task.set_policy("ledger/**", "write-once")
            >>> entry = task.set("ledger/1", 100)
            >>> try:
            ...     task.set("ledger/1", 200)
            ... except ccs.Conflict as conflict:
            ...     conflict.policy
            'write-once'
        """
        return policies.set_policy(self, pattern, policy)

    def policies(self) -> dict[str, str]:
        """Returns the policies by pattern, the one set last at the end.

        >>> revision = task.set_policy("notes/*", "merge")
        >>> task.policies()
        {'notes/*': 'merge'}
        """
        return policies.policies(self)

    def _behind(self, fence: Fence) -> Self:
        """Returns this context with one more fence, which guards all its commits."""
        raise NotImplementedError
