# Generated from ccs/_async/coordination.py by scripts/twin. Do not edit.
"""What agents do together in a context: one short method for each recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from ccs._core.recipes.agreement import ballot_of
from ccs._core.recipes.once import terms_of
from ccs._core.recipes.outbox import INBOX_LIMIT, Draft
from ccs._core.times import Duration
from ccs._sync.changes.watch_kinds import EventWatch
from ccs._sync.entries import Entries
from ccs._sync.handle import Fence
from ccs._sync.recipes import agreement, events, policies, presence
from ccs._sync.recipes.barrier import Barrier
from ccs._sync.recipes.claim import Claim, break_claim, claim_any, claims_of
from ccs._sync.recipes.events import EventBus, EventErrorCallback
from ccs._sync.recipes.inbox import Inbox
from ccs._sync.recipes.message import Message, send
from ccs._sync.recipes.once import Function, Once, idempotent
from ccs._sync.recipes.presence import Presence
from ccs.types import ClaimInfo, Decision, Member

if TYPE_CHECKING:
    from ccs._sync.context import Context

__all__ = ["Coordination"]

F = TypeVar("F", bound=Callable[..., Any])


class Coordination(Entries):
    """The coordinating half of a context.

    All of it lives on entries below `@claims/`, `@once/`, `@inbox/` and so on: whoever asks for these by name sees it in
    snapshots, watches and histories.
    """

    def claim(self, resource: str, *, ttl: Duration = 30.0, wait: Duration = 0.0, note: Any = None) -> Claim:
        """An exclusive hold on a resource, any text: taken when it is entered or acquired, renewed until it is released.

        `AlreadyClaimed` if somebody else has it, still after waiting in line for `wait` seconds: first come, first
        served, across processes. It lapses within `ttl` seconds once its process dies or cannot reach the server; then
        `claim.lost`, and what is written through `claim.context` is `ClaimLost`. `note` is for others to read.

            >>> with task.claim("sources/a", note="reading") as claim:
            ...     entry = claim.context.set("sources/a", "read")
            ...     claim.held, claim.token < entry.revision, [info.resource for info in task.claims()]
            (True, True, ['sources/a'])
        """
        return Claim(self, self._behind, resource, ttl=ttl, wait=wait, note=note)

    def claim_any(self, resources: Iterable[str], *, ttl: Duration = 30.0) -> Claim | None:
        """A claim on the first of the resources that nobody holds or waits for, held already; None if there is none.

        One commit takes it, and nothing is ever held of the others. A with block releases it at its end.

            >>> if job := task.claim_any(["jobs/1", "jobs/2"]):
            ...     with job:
            ...         print(job.resource, task.claim_any(["jobs/1"]))
            jobs/1 None
        """
        return claim_any(self._place, resources, partial(self.claim, ttl=ttl))

    def claims(self, *patterns: str) -> list[ClaimInfo]:
        """The claims that are held on resources whose names match, sorted by them; all where no pattern is given."""
        return claims_of(self, patterns)

    def break_claim(self, resource: str) -> bool:
        """Takes a claim away from whoever has it; whether there was one. For operators: the holder may still be at work.

        Who waits gets the claim at once. What the holder writes through `claim.context` is `ClaimLost` at once; its
        `claim.lost` tells so from the next renewal on, within a third of the ttl. What it does elsewhere goes on, unless
        that is refused by the fencing token.

            >>> claim = task.claim("sources/a").acquire()
            >>> task.break_claim("sources/a"), task.break_claim("sources/a")
            (True, False)
        """
        return break_claim(self._place, resource)

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
        """The result of `fn(*args)`, run once for the key: who calls meanwhile waits for it, who calls later gets it.

        The result is a stored value like any other, for the caller who ran `fn` too (a model comes back as a map; with
        `type` it is validated), and is kept for `keep` seconds. Where a keyword-only parameter `token` is there, `fn`
        is given the fencing token of its run. With asyncio a plain `fn` runs in a worker thread.

        One run at a time: it holds a lease, renewed while its process lives, and if that dies one of those who wait
        takes over after `lease` seconds. An error of `fn` reaches its caller, and the next one runs at once; after
        `attempts` runs in all everybody gets `RetriesExhausted`. A run that is cancelled, or whose result cannot be
        stored (`EncodingError`, `ValueTooLarge`), has failed as well. What `fn` does elsewhere is hence done at least
        once until it succeeds: hand the token, or the key, to whom it calls.

        `IdempotencyMismatch` if the key was used with another `input`; `TimeoutError` after waiting `timeout` seconds
        for others, or `Unavailable` if the server is away by then (without `timeout`, if it is for `retry_for`);
        `ClaimLost` if the process was stopped so long that somebody else took over, and has no result yet.

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
        """A decorator: each call of the function is run `once`, under a key made of its arguments by their names.

        All of the arguments are the `input`, and so must be storable: another call of the same key is an
        `IdempotencyMismatch`. The key may name attributes and items, as `str.format` does: `"charge/{order.id}"`.

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
        """Tells an event: journaled and delivered, in order with all commits, but no state is left; its revision.

        A topic is spelled like a path. An event is for everybody who listens; work for one of them is a message.
        `ReservedPath` for a topic that begins with `@`, else the errors of `set`. No policy binds it.

            >>> since = task.publish("data/ready", {"rows": 3})
            >>> with task.events("data/*", since=0) as events:
            ...     event = events.receive(timeout=10)
            >>> event.topic, event.data, event.agent, event.revision == since
            ('data/ready', {'rows': 3}, 'example', True)
        """
        return events.publish(self, topic, data)

    def events(self, *patterns: str, since: int | None = None) -> EventWatch:
        """The events whose topics match, every one, in order and once, from the moment of entering.

        `since=` a revision resumes after it, 0 from the beginning: `HistoryCompacted` where the journal no longer holds
        it. Otherwise it is used as a watch of changes is, and ends as that does.
        """
        return events.event_watch(self, patterns, since)

    def on_event(
        self,
        *patterns: str | Sequence[str],
        since: int | None = None,
        on_error: EventErrorCallback | None = None,
    ) -> Callable[[F], F]:
        """Calls back with every event whose topic matches, in order; `callback(event)`, `on_error(error, event)`.

        As `on_change`: it can be used before the store is entered, and an error stops and loses nothing.

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
        """The events of this context as a bus: `bus.publish(topic, data)`, `@bus.subscribe(topic)`.

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
        """Sends a message to the inbox of a role, any text; it stays unread until a receiver acknowledges it.

        One commit. With `ttl`, a message that is not acknowledged in so many seconds expires. `reply_to` is the id of
        the message that this one answers. `InboxFull`, and nothing is sent, if the inbox holds `limit` messages that
        nobody has acknowledged.

            >>> message = task.send("analyst", {"read": "sources/a"}, type="task")
            >>> [each.content for each in task.inbox("analyst").unread()]
            [{'read': 'sources/a'}]
        """
        return send(self._place, Draft(to, content, type, reply_to, ttl, limit))

    def inbox(self, role: str, *, lease: Duration = 60.0, attempts: int = 5) -> Inbox:
        """The messages to a role: iterate, or `receive` one by one, and `ack` each when it is done.

        In order of sending, each to one receiver of the role at a time. What is not acknowledged within `lease` seconds
        comes back, the oldest first: a message may be delivered again, so what is done about it should bear that.
        After `attempts` deliveries it moves to the dead letters. All receivers of a role should give the same numbers.

            >>> message = task.send("analyst", "hello")
            >>> with task.inbox("analyst") as inbox:
            ...     message = inbox.receive(timeout=5)
            ...     message.ack()
            >>> message.content, message.sender, message.attempts
            ('hello', 'example', 1)
        """
        return Inbox(self, role, lease, attempts)

    def join(self, role: str | None = None, *, ttl: Duration = 15.0, meta: Any = None) -> Presence:
        """Presence: while it is entered, this agent is one of the `members`. `meta` is any value.

        It leaves at once when it is left, and within `ttl` seconds when its process dies; so do the claims, messages and
        runs that the agent takes in this context meanwhile, whatever their own lease, so join first. Both are commits:
        who watches `@members/*` is told. An agent that joins twice, in two processes say, is two members.

            >>> with task.join("reviewer", meta={"model": "m1"}):
            ...     [(member.agent, member.role, member.meta) for member in task.members()]
            [('example', 'reviewer', {'model': 'm1'})]
            >>> task.members()
            []
        """
        return Presence(self, role, ttl, meta)

    def members(self) -> list[Member]:
        """Who is present, in the order in which they joined; who has died is among them for at most its ttl."""
        return presence.members(self)

    def agree(self, name: str, *, parties: Iterable[str], vote: bool = True, timeout: Duration = 30.0) -> Decision:
        """Votes as this agent, one of the `parties` (names of agents), and waits for the decision, the same for all.

        It commits if every party votes yes in time. It aborts at once when one votes no, or was a member (`join`) and
        has left without a vote; and when the time is up, which the first caller's `timeout` sets, by the server's clock.
        A first vote stands, also if its process dies or calls again. Who comes late gets the decision, as does
        who comes back; if nobody was left to decide, whoever comes next does. A name is decided once, for ever.

        `InvalidValue` for other parties than the first caller's. With `Unavailable` the decision is open to this agent,
        not to the others: call again.

            >>> decision = task.agree("deploy/v2", parties=["example"])
            >>> decision.committed, decision.votes
            (True, {'example': True})
        """
        return agreement.agree(self, ballot_of(name, parties, self._place.agent, vote, timeout))

    def barrier(self, name: str, *, parties: int, timeout: Duration = 30.0, ttl: Duration = 15.0) -> None:
        """Waits at a barrier until so many `parties` have come to it, this one included.

        Either this arrival counts or `TimeoutError` is raised after `timeout` seconds and it is taken back, never both.
        Who has died counts for at most `ttl` seconds. Once open it stays so, and whoever comes later passes at once:
        give each round a name of its own. `InvalidValue` for another number than the first caller's.

            >>> task.barrier("warmed up", parties=1)
        """
        Barrier(self, name, parties, timeout, ttl).wait()

    def set_policy(self, pattern: str, policy: str) -> int:
        """Says what becomes of writes where something stands already, whoever writes; the revision from which it holds.

        "last-write-wins", which is the default, overwrites. "reject" wants a guard: `if_version`, `if_revision`, or a
        write that is guarded by its own read, as `update`, `increment` or what a transaction has read. With
        "write-once" nothing is overwritten or deleted, whatever the guard. Both refuse with a `Conflict` that names
        the policy. With "merge", `set` of a map onto a map merges them key by key at every depth; None is a value.
        Of several policies that match a path, the one set last holds. To create and to expire is always free.

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
        """The policies that were set, by pattern, the one set last at the end.

        >>> revision = task.set_policy("notes/*", "merge")
        >>> task.policies()
        {'notes/*': 'merge'}
        """
        return policies.policies(self)

    def _behind(self, fence: Fence) -> Context:
        """This context, all of whose commits stand behind one more fence."""
        raise NotImplementedError
