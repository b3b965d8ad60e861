# Generated from ccs/_async/context_handle.py by scripts/twin. Do not edit.
"""A handle on one context: what its reads, writes and watches need to know, and the one way to commit to it."""

from __future__ import annotations

from collections.abc import Container, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from ccs._core.commits.commit import Applied, Argument, Commit, OtherPolicies, Settings
from ccs._core.commits.field_layout import check_format
from ccs._core.commits.operations import Guard, Operation, revision_guard
from ccs._core.names.keys import Keys
from ccs._core.names.pattern import Matcher
from ccs._core.names.reach import Reach
from ccs._core.recipes.held_entries import Holding, Holdings
from ccs._core.recipes.lease import Lease
from ccs._sync.commit_route import DurableRoute, Route
from ccs._sync.engine import Engine
from ccs._sync.opening import Opening
from ccs._sync.policy_commits import PolicyCommits
from ccs.errors import ClaimLost, Conflict, Forbidden
from ccs.types import Durability

__all__ = ["Fence", "Handle", "past_claim"]

# Kinds of operations that concern a context as a whole, and those that write no path.
_WHOLE = {"f": "finish the context", "D": "drop the context"}
_UPKEEP = ("w", "p")
# Those that answer with what they have made of the value, and the kinds of guards that name one entry.
_COMPUTING = ("i", "a")
_OF_PATHS = ("v", "r")


@dataclass(frozen=True, slots=True)
class Fence:
    """The guard of every commit that the holder of a claim makes; `resource` is what it has claimed, by a `lease`.

    The hold belongs to the `opening` of the store in which it was taken. The `claim` itself is kept here, so that it lives
    as long as commits can be made behind the fence.
    """

    resource: str
    lease: Lease = field(repr=False)
    opening: Opening = field(repr=False)
    claim: object = field(default=None, repr=False, compare=False)

    @property
    def guard(self) -> Guard:
        """The guard that the claim is still held."""
        return revision_guard(self.lease.path, self.lease.revision)


def past_claim(resource: str) -> ClaimLost:
    """Returns the error for the holder of a claim that an earlier opening of the store has given back."""
    return ClaimLost(
        resource,
        f"the claim on {resource!r} was given back when the store was closed, before it was opened anew, so nothing was"
        " changed; claim it again",
    )


@dataclass(frozen=True, slots=True)
class Handle:
    """A context of a store, for one agent with its settings, perhaps behind fences.

    Of a view it has the `reach`; None is everything. What a view reads passes `shown` or `check_shown`, what rests on
    entries of the system passes `require`, and what it commits passes `commit` or `write`: these refuse the rest.
    """

    engine: Engine
    address: str
    named: str | None
    given: Settings
    keys: Keys
    route: Route | DurableRoute
    fences: tuple[Fence, ...] = ()
    reach: Reach | None = None

    @property
    def agent(self) -> str:
        """The agent that is named in everything written here."""
        return self.named or self.engine.default_agent

    @property
    def opening(self) -> Opening:
        """What its commands go through."""
        return self.engine.opening

    @property
    def by_policy(self) -> PolicyCommits:
        """Commits by the policies of the context."""
        limit = self.engine.max_value_bytes
        return PolicyCommits(self.opening, self.route.group_commit, self.keys, limit, self.check_shown)

    def durable(self, asked: Durability) -> Handle:
        """Returns the same handle, whose commits have to be as safe as `asked` before they are answered."""
        route = self.route.route if isinstance(self.route, DurableRoute) else self.route
        return replace(self, route=DurableRoute(route, asked) if asked.waits else route)

    def commit(self, operations: Sequence[Operation], guards: Sequence[Guard] = ()) -> Applied:
        """Makes one commit of the operations, if the guards hold, whatever the policies say: for what CCS itself writes.

        Raises the errors of the commit; `ClaimLost` if a fence does not hold, `Forbidden` for what a view does not reach.
        """
        if self.reach is not None:
            self._check_writes(self.reach, operations, guards)
        commit = Commit(self.agent, operations, self._fenced(guards), self.given)
        try:
            return self.route.group_commit.commit(commit)
        except Conflict as conflict:
            self._check_fences(conflict)
            raise

    def write(
        self,
        operations: Sequence[Operation],
        guards: Sequence[Guard] = (),
        *,
        merging: bool = False,
        unmerged: Container[str] = (),
    ) -> Applied:
        """Makes one commit as `commit` does, bound by the policies of the context.

        With `merging`, maps that are set are merged where that is the policy, but for those at the paths `unmerged`.
        """
        if self.reach is not None:
            self._check_writes(self.reach, operations, guards)
        agent = self.named or self.engine.default_agent
        group_commit = self.route.group_commit
        asked = Commit(agent, operations, self._fenced(guards), self.given, 0)
        try:
            if not group_commit.policies.rules:
                try:  # the ordinary way; suppress() would cost half as much as all else here
                    return group_commit.commit(asked)
                except OtherPolicies:
                    pass
            return self.by_policy.commit(asked, merging=merging, unmerged=unmerged)
        except Conflict as conflict:
            self._check_fences(conflict)
            raise

    def shown(self, matcher: Matcher) -> Matcher:
        """Returns a matcher of what the caller may see."""
        return matcher.narrowed(self.reach.shows if self.reach else None)

    def check_shown(self, path: str) -> str:
        """Returns a path that was named. Raises `Forbidden` if a view does not show it."""
        if self.reach is None or self.reach.shows(path):
            return path
        raise self.beyond(f"read {path!r}")

    def require(self, *patterns: str) -> None:
        """Raises `Forbidden` if a view does not show all that matches: for recipes, which share what they read."""
        for pattern in patterns:
            if self.reach is not None and not self.reach.covers(pattern):
                raise self.beyond(f"read {pattern!r}")

    def beyond(self, action: str) -> Forbidden:
        """Returns the error for what a view does not reach."""
        return Forbidden(self.address, self.agent, action, "this is a view of the context, which does not reach that")

    def _check_writes(self, reach: Reach, operations: Sequence[Operation], guards: Sequence[Guard]) -> None:
        """Raises `Forbidden` for what may not be written, or would tell of an entry that is not shown."""
        for kind, path, *_ in operations:
            if kind in _WHOLE:
                raise self.beyond(_WHOLE[kind])
            if kind not in _UPKEEP and not reach.writes(path):
                raise self.beyond(f"write {path!r}")
            if kind in _COMPUTING:
                self.check_shown(path)
        for guard in guards:
            if guard.kind in _OF_PATHS:
                self.check_shown(guard.path)

    def _fenced(self, guards: Sequence[Guard]) -> Sequence[Guard]:
        if not self.fences:
            return guards
        for fence in self.fences:
            if fence.opening is not self.opening:
                raise past_claim(fence.resource)
        return [*(fence.guard for fence in self.fences), *guards]

    def _check_fences(self, conflict: Conflict) -> None:
        for fence in self.fences:
            lease = fence.lease
            if (conflict.path, conflict.expected) == (lease.path, lease.revision):
                lease.lose()
                raise ClaimLost(fence.resource) from conflict

    def read(self, command: tuple[Argument, ...]) -> Any:
        """Returns the reply to a command that reads one of its keys.

        Raises `UnknownFormat` if a later version has written the context. Scripts look at the format themselves; among
        plain reads, the first one of a context does. A later format that changes entries marks each of
        them, so that none is taken for one of ours: it is enough to look once.
        """
        # Not a coroutine: that would be one more frame for every read.
        return self.opening.run(command) if self.route.format_known else self._read_first(command)

    def _read_first(self, command: tuple[Argument, ...]) -> Any:
        reply, state = self.opening.run_all([command, ("HGET", self.keys.meta, "state")])
        if state is not None:
            check_format(state, self.address)
            self.route.format_known = True
        return reply

    def check_format(self) -> None:
        """Looks anew. For what was read and cannot be: `UnknownFormat` says why, else it is damaged."""
        self.engine.look(self.address, 0, 0)

    def expect(self, ttl: int | None) -> None:
        """Has the context swept when an entry with a ttl in milliseconds is due; None: it has no ttl."""
        if ttl is not None:
            self.opening.dispatcher.expect(self.address, ttl / 1000)

    def sweep(self) -> None:
        """Has the context swept soon: a read has found an entry that is due."""
        self.opening.dispatcher.expect(self.address, 0.0)

    def term(self, ttl: float) -> float:
        """Returns for how many seconds at a time to hold a lease of `ttl`: no longer than the agent's presence here.

        So what an agent holds is free again once it has left, however it left.
        """
        here = (self.address, self.agent)
        joined = list(self.opening.presences.values())
        return min([ttl, *(most for address, agent, most in joined if (address, agent) == here)])

    @property
    def holdings(self) -> Holdings:
        """What this store holds, and gives back when it is closed."""
        return self.opening.dispatcher.holdings

    def holding(self, path: str, revision: int | None, until: float = float("inf"), owner: object = None) -> Holding:
        """Notes what was just taken here, to give it back when the store is closed."""
        holding = Holding(self.address, path, revision, self.agent, until, owner)
        self.holdings.add(holding)
        self.opening.dispatcher.tidy()
        return holding

    def forget(self, path: str, revision: int = 0) -> None:
        """Removes the note that this is held here, unless the store is closed: then it is given back with the rest."""
        if not self.opening.closed:
            self.holdings.remove(self.address, path, revision)

    def hold(self, lease: Lease) -> None:
        """Renews a lease in the background from now on."""
        self.opening.dispatcher.hold(self.address, lease)

    def let_go(self, lease: Lease) -> None:
        """Stops renewing a lease."""
        self.forget(lease.path, lease.revision)
        self.opening.dispatcher.let_go(self.address, lease)
