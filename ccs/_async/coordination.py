"""How agents work together in a context: one short method for each recipe."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Self, TypeVar, overload

from ccs._async.context_handle import Fence
from ccs._async.messaging import Messaging
from ccs._async.recipes import agreement, policies, presence
from ccs._async.recipes.barrier import Barrier
from ccs._async.recipes.claim import Claim, break_claim, claims_of
from ccs._async.recipes.claim_several import ClaimGroup, claim_any
from ccs._async.recipes.jobs import Jobs
from ccs._async.recipes.once import Function, Once, forget_once, idempotent
from ccs._async.recipes.presence import Presence
from ccs._core.recipes.agreement import ballot_of
from ccs._core.recipes.once import terms_of
from ccs._core.times import Duration
from ccs._late import loading
from ccs.types import ClaimInfo, Decision, Member

if TYPE_CHECKING:
    from ccs.types import Overview

__all__ = ["Coordination"]

T = TypeVar("T")


class Coordination(Messaging):
    """The coordinating half of a context.

    Recipes keep their state in entries below `@claims/`, `@once/`, `@inbox/` and so on. Snapshots, watches and histories
    show these entries to a caller that asks for them by name.
    """

    def claim(
        self,
        resource: str,
        *,
        ttl: Duration = 30.0,
        wait: Duration = 0.0,
        note: Any = None,
        slots: int = 1,
        max_hold: Duration | None = None,
        cancel: bool = False,
    ) -> Claim:
        """Returns a claim on a resource, which may be any text: an exclusive hold, renewed until it is released.

        Entering or acquiring it takes it, or raises `AlreadyClaimed` after waiting in line for `wait` seconds: first come,
        first served, across processes. A claim expires within `ttl` seconds once its process dies or cannot reach the
        server; then `claim.lost` is true, and writes through `claim.context` raise `ClaimLost`. `note` is for others to
        read. Finishing the context ends its claims, which is no loss.

        With `slots`, so many may hold it at a time, each with a token of its own; whoever claims it has to give the same
        number (`InvalidValue` while slots are held with another one). After `max_hold` seconds it ends, however lively its
        holder is. `cancel=True`, for asyncio only (else `InvalidValue`), cancels the body of the with block when the claim
        is lost; the block then raises `ClaimLost`, unless the task was cancelled by others too. Such a block has to be
        entered and left in one task (`Misuse`).

            >>> async with task.claim("sources/a", note="reading") as claim:
            ...     entry = await claim.context.set("sources/a", "read")
            ...     claim.held, claim.token < entry.revision, [info.resource for info in await task.claims()]
            (True, True, ['sources/a'])
        """
        return Claim(
            self,
            self._behind,
            resource,
            ttl=ttl,
            wait=wait,
            note=note,
            slots=slots,
            max_hold=max_hold,
            cancel=cancel,
        )

    def claim_all(self, resources: Iterable[str], *, ttl: Duration = 30.0, wait: Duration = 0.0) -> ClaimGroup:
        """Returns claims on several resources, to be entered: all are taken in one commit, or none.

        Each is claimed as a whole, not one of its slots. If not all of them are free, it waits for up to `wait` seconds, in
        the lines for all of them, then raises `AlreadyClaimed`, which names one that was not. Callers that want the same
        resources never wait for each other, in whatever order they name them: one is before the other in every line. While
        it waits, those behind it wait too.

            >>> async with task.claim_all(["left fork", "right fork"], wait=5) as claims:
            ...     [claim.resource for claim in claims], [info.resource for info in await task.claims("* fork")]
            (['left fork', 'right fork'], ['left fork', 'right fork'])
        """
        return ClaimGroup(self, resources, partial(self.claim, ttl=ttl), ttl, wait)

    async def claim_any(self, resources: Iterable[str], *, ttl: Duration = 30.0, wait: Duration = 0.0) -> Claim | None:
        """Takes a claim on the first resource that nobody holds or waits for. Returns it; None if no resource is free.

        With `wait`, it waits in the lines for all of them, for so many seconds, and takes the first that comes free. One
        commit takes it; the other resources are never held. A with block releases it at its end. It takes a resource as a
        whole: if none is free, and slots of one are held, it raises `InvalidValue`.

            >>> if job := await task.claim_any(["jobs/1", "jobs/2"]):
            ...     async with job:
            ...         print(job.resource, await task.claim_any(["jobs/1"]))
            jobs/1 None
        """
        return await claim_any(self, resources, partial(self.claim, ttl=ttl), ttl, wait)

    async def claims(self, *patterns: str) -> list[ClaimInfo]:
        """Returns the claims on resources whose names match, sorted by name and token; without a pattern, all claims."""
        return await claims_of(self, patterns)

    async def break_claim(self, resource: str) -> bool:
        """Ends the claim on a resource; of one with slots, all that are held. Returns whether there was one. For operators.

        The holder may still be working. A waiting claim gets the resource at once. From then on, writes of the former
        holder through `claim.context` raise `ClaimLost`. Its `claim.lost` is true after such a write, or after the next
        renewal, within a third of the ttl. Its work in other systems goes on, unless they check the fencing token.

            >>> claim = await task.claim("sources/a").acquire()
            >>> await task.break_claim("sources/a"), await task.break_claim("sources/a")
            (True, False)
        """
        return await break_claim(self, resource)

    def jobs(self, *patterns: str, ttl: Duration = 30.0, attempts: int = 3) -> Jobs:
        """Returns the entries that match as jobs: iterate, and end each with `done(result)` or `failed(error, retry_in=)`.

        Each job is taken by one worker at a time, under a claim on its path with that `ttl`, renewed while its process
        lives; if that dies, another one takes the job. A job that was taken `attempts` times and never done is dead. Setting
        its path makes a job, and setting it again a new one. All workers of a pool should give the same patterns and numbers.

            >>> entry = await task.set("queue/a", {"pages": 120})
            >>> async with task.jobs("queue/*") as jobs:
            ...     async for job in jobs:
            ...         await job.done(job.value["pages"] * 2)
            ...         break
            ...     await jobs.result("queue/a"), await jobs.progress()
            (240, JobProgress(waiting=0, taken=0, done=1, dead=0))
        """
        return Jobs(self, partial(self.claim, ttl=ttl), patterns, ttl, attempts)

    @overload
    async def once(
        self,
        key: str,
        fn: Callable[..., object],
        *args: Any,
        input: Any = None,
        lease: Duration = 60.0,
        keep: Duration = 86400.0,
        attempts: int = 3,
        timeout: Duration | None = None,
        type: type[T],
    ) -> T: ...
    @overload
    async def once(
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
    ) -> Any: ...
    async def once(
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

            >>> await task.once("invoice/7", lambda: "sent")
            'sent'
            >>> await task.once("invoice/7", lambda: "sent again")
            'sent'
        """
        terms = terms_of(lease, keep, attempts, timeout, type)
        return await Once(self, Function(fn), key, input, terms).result(*args)

    async def forget_once(self, key: str) -> bool:
        """Forgets the outcome of a key, so that the next caller of `once` runs again. Returns whether there was one.

        While a caller runs it, nothing is forgotten.

            >>> await task.once("invoice/7", lambda: "sent")
            'sent'
            >>> await task.forget_once("invoice/7"), await task.once("invoice/7", lambda: "sent again")
            (True, 'sent again')
        """
        return await forget_once(self._handle, key)

    @overload
    def idempotent(
        self,
        key: str,
        *,
        input: Iterable[str] | None = None,
        lease: Duration = 60.0,
        keep: Duration = 86400.0,
        attempts: int = 3,
        timeout: Duration | None = None,
        type: type[T],
    ) -> Callable[[Callable[..., object]], Callable[..., Awaitable[T]]]: ...
    @overload
    def idempotent(
        self,
        key: str,
        *,
        input: Iterable[str] | None = None,
        lease: Duration = 60.0,
        keep: Duration = 86400.0,
        attempts: int = 3,
        timeout: Duration | None = None,
        type: Any = None,
    ) -> Callable[[Callable[..., object]], Callable[..., Awaitable[Any]]]: ...
    def idempotent(
        self,
        key: str,
        *,
        input: Iterable[str] | None = None,
        lease: Duration = 60.0,
        keep: Duration = 86400.0,
        attempts: int = 3,
        timeout: Duration | None = None,
        type: Any = None,
    ) -> Callable[[Callable[..., object]], Callable[..., Awaitable[Any]]]:
        """Returns a decorator: each call of the function runs `once`, under a key that is formatted with its arguments.

        The key may name attributes and items, as with `str.format`: `"charge/{order.id}"`. All arguments together are the
        `input`, so they must be storable, and a call with the same key and other arguments raises `IdempotencyMismatch`.
        `input=("order", "amount")` names those that count. Of a method, the object (`self`) does not count.

            >>> @task.idempotent("charge/{order}")
            ... def charge(order, amount):
            ...     return f"{amount} for {order}"
            >>> await charge("o-1", 20), await charge("o-1", amount=20)
            ('20 for o-1', '20 for o-1')
            >>> await charge("o-1", 30)
            Traceback (most recent call last):
                ...
            ccs.errors.IdempotencyMismatch: the key 'charge/o-1' was used with another input; give this request a key of its own
        """
        return idempotent(self, key, terms_of(lease, keep, attempts, timeout, type), input)

    def join(self, role: str | None = None, *, ttl: Duration = 15.0, meta: Any = None) -> Presence:
        """Returns a presence: while it is entered, this agent is one of the `members`. `meta` is any value.

        Leaving the block ends it at once; if its process dies, it expires within `ttl` seconds. So does every claim,
        message and run that the agent takes in this context after joining, however long its own lease: so join first.
        Joining and leaving are commits, which a watch of `@members/*` delivers. An agent that joins twice, for instance
        in two processes, is two members.

            >>> async with task.join("reviewer", meta={"model": "m1"}):
            ...     [(member.agent, member.role, member.meta) for member in await task.members()]
            [('example', 'reviewer', {'model': 'm1'})]
            >>> await task.members()
            []
        """
        return Presence(self, role, ttl, meta)

    async def members(self) -> list[Member]:
        """Returns the members in the order in which they joined; one whose process has died stays for at most its ttl."""
        return await presence.members(self)

    async def agree(
        self, name: str, *, parties: Iterable[str], vote: bool = True, timeout: Duration = 30.0
    ) -> Decision:
        """Votes as this agent, one of the `parties` (names of agents). Returns the decision, the same for all parties.

        The decision is to commit if every party votes yes in time. It is to abort as soon as one party votes no, or was a
        member (`join`) and left without a vote, or when the first caller's `timeout` has passed by the server's clock. The
        first vote of a party counts, even if its process dies or calls again. A party that comes late, or comes back, gets
        the decision; if no party was left to decide, the next one to come does. A name is decided once, for ever.

        Raises `InvalidValue` if the parties differ from the first caller's. After `Unavailable` this agent does not know
        the decision, though others may: call again.

            >>> decision = await task.agree("deploy/v2", parties=["example"])
            >>> decision.committed, decision.votes
            (True, {'example': True})
        """
        return await agreement.agree(self, ballot_of(name, parties, self._handle.agent, vote, timeout))

    async def barrier(self, name: str, *, parties: int, timeout: Duration = 30.0, ttl: Duration = 15.0) -> None:
        """Waits at a barrier until as many `parties` have arrived, this one included.

        Either this arrival counts, or it is taken back and `TimeoutError` is raised after `timeout` seconds; never both.
        The arrival of a process that has died counts for at most `ttl` seconds. An open barrier stays open, and later
        callers pass at once, so give each round a name of its own. Raises `InvalidValue` if `parties` differs from the
        first caller's.

            >>> await task.barrier("warmed up", parties=1)
        """
        await Barrier(self, name, parties, timeout, ttl).wait()

    async def overview(self, *kinds: str, when: int | datetime | None = None) -> Overview:
        """Returns how the agents work together, read at one moment: now, or `when` (a revision or an aware datetime).

        Kinds are "claims", "members", "inboxes", "runs", "agreements", "barriers" and "policies"; without any, all of them.
        It only looks: no message is received. It reads all entries of these kinds, contents of messages included. Raises
        `HistoryCompacted` if the journal does not reach back that far.

            >>> message = await task.send("analyst", "read sources/a")
            >>> async with task.claim("sources/a"):
            ...     seen = await task.overview("claims", "inboxes")
            >>> [(claim.resource, claim.holder, claim.waiting) for claim in seen.claims]
            [('sources/a', 'example', ())]
            >>> [(inbox.role, [message.content for message in inbox.unread]) for inbox in seen.inboxes]
            [('analyst', ['read sources/a'])]
        """
        with loading:
            from ccs._async.recipes.overview import overview  # noqa: PLC0415 - loaded when asked for

        return await overview(self, kinds, when)

    async def set_policy(self, pattern: str, policy: str) -> int:
        """Sets a policy for writes to existing entries, by any agent. Returns the revision from which it applies.

        "last-write-wins", the default, overwrites. "reject" requires a guard: `if_version`, `if_revision`, or a write that
        guards what it has read, such as `update`, `increment` or a transaction. "write-once" refuses to overwrite or
        delete, whatever the guard. Both raise a `Conflict` that names the policy. "merge" makes `set` of a map onto a map
        merge them, key by key at every depth; None is a value. If several policies match a path, the one set last
        applies. Policies do not apply to creating and expiring entries.

            >>> revision = await task.set_policy("ledger/**", "write-once")
            >>> entry = await task.set("ledger/1", 100)
            >>> try:
            ...     await task.set("ledger/1", 200)
            ... except ccs.Conflict as conflict:
            ...     conflict.policy
            'write-once'
        """
        return await policies.set_policy(self, pattern, policy)

    async def policies(self) -> dict[str, str]:
        """Returns the policies by pattern, the one set last at the end.

        >>> revision = await task.set_policy("notes/*", "merge")
        >>> await task.policies()
        {'notes/*': 'merge'}
        """
        return await policies.policies(self)

    def _behind(self, fence: Fence) -> Self:
        """Returns this context with one more fence, which guards all its commits."""
        raise NotImplementedError
