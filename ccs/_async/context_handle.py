"""A handle on one context: what its reads, writes and watches need to know, and the one way to commit to it."""

from __future__ import annotations

from collections.abc import Awaitable, Sequence
from dataclasses import dataclass, field
from typing import Any

from ccs._async.engine import Engine, Route
from ccs._async.opening import Opening
from ccs._async.policy_commits import PolicyCommits
from ccs._core.commits.commit import Applied, Argument, Commit, OtherPolicies, Settings
from ccs._core.commits.field_layout import check_format
from ccs._core.commits.operations import Guard, Operation
from ccs._core.names.keys import Keys
from ccs._core.recipes.held_entries import Holding, Holdings
from ccs._core.recipes.lease import Lease
from ccs.errors import ClaimLost, Conflict

__all__ = ["Fence", "Handle"]


@dataclass(frozen=True, slots=True)
class Fence:
    """The guard of every commit that the holder of a claim makes; `resource` is what it has claimed.

    The `claim` itself is kept here, so that it lives as long as commits can be made behind the fence.
    """

    resource: str
    guard: Guard
    claim: object = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Handle:
    """A context of a store, for one agent with its settings, perhaps behind fences."""

    engine: Engine
    address: str
    named: str | None
    given: Settings
    keys: Keys
    route: Route
    fences: tuple[Fence, ...] = ()

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
        return PolicyCommits(self.opening, self.route.group_commit, self.keys, self.engine.max_value_bytes)

    async def commit(self, operations: Sequence[Operation], guards: Sequence[Guard] = ()) -> Applied:
        """Makes one commit of the operations, if the guards hold, whatever the policies say: for what CCS itself writes.

        Raises the errors of the commit; `ClaimLost` if a fence does not hold.
        """
        commit = Commit(self.agent, operations, self._fenced(guards), self.given)
        try:
            return await self.route.group_commit.commit(commit)
        except Conflict as conflict:
            self._check_fences(conflict)
            raise

    async def write(
        self, operations: Sequence[Operation], guards: Sequence[Guard] = (), *, merging: bool = False
    ) -> Applied:
        """Makes one commit as `commit` does, bound by the policies of the context.

        With `merging`, maps that are set are merged where that is the policy.
        """
        agent = self.named or self.engine.default_agent
        group_commit = self.route.group_commit
        asked = Commit(agent, operations, self._fenced(guards), self.given, 0)
        try:
            if not group_commit.policies.rules:
                try:  # the ordinary way; suppress() would cost half as much as all else here
                    return await group_commit.commit(asked)
                except OtherPolicies:
                    pass
            return await self.by_policy.commit(asked, merging=merging)
        except Conflict as conflict:
            self._check_fences(conflict)
            raise

    def _fenced(self, guards: Sequence[Guard]) -> Sequence[Guard]:
        return [*(fence.guard for fence in self.fences), *guards] if self.fences else guards

    def _check_fences(self, conflict: Conflict) -> None:
        for fence in self.fences:
            if conflict.path == fence.guard.path:
                raise ClaimLost(fence.resource) from conflict

    def read(self, command: tuple[Argument, ...]) -> Awaitable[Any]:
        """The reply to a command that reads one of its keys. Scripts look at the format themselves; here the first read does.

        `UnknownFormat` where a later version has written the context. A later format that changes entries marks each of
        them, so that none is taken for one of ours: it is enough to look once.
        """
        # Not a coroutine: that would be one more frame for every read.
        return self.opening.run(command) if self.route.format_known else self._read_first(command)

    async def _read_first(self, command: tuple[Argument, ...]) -> Any:
        reply, state = await self.opening.run_all([command, ("HGET", self.keys.meta, "state")])
        if state is not None:
            check_format(state, self.address)
            self.route.format_known = True
        return reply

    async def check_format(self) -> None:
        """Looks anew. For what was read and cannot be: `UnknownFormat` says why, else it is damaged."""
        await self.engine.look(self.address, 0, 0)

    def expect(self, ttl: int | None) -> None:
        """Has the context swept when an entry with a ttl in milliseconds is due; None: it has no ttl."""
        if ttl is not None:
            self.opening.listener.expect(self.address, ttl / 1000)

    def sweep(self) -> None:
        """Has the context swept soon: a read has found an entry that is due."""
        self.opening.listener.expect(self.address, 0.0)

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
        return self.opening.listener.holdings

    def holding(self, path: str, revision: int | None, until: float = float("inf"), owner: object = None) -> Holding:
        """Notes what was just taken here, to give it back when the store is closed."""
        holding = Holding(self.address, path, revision, self.agent, until, owner)
        self.holdings.add(holding)
        self.opening.listener.tidy()
        return holding

    def forget(self, path: str, revision: int = 0) -> None:
        """Removes the note that this is held here, unless the store is closed: then it is given back with the rest."""
        if not self.opening.closed:
            self.holdings.remove(self.address, path, revision)

    def hold(self, lease: Lease) -> None:
        """Renews a lease in the background from now on."""
        self.opening.listener.hold(self.address, lease)

    def let_go(self, lease: Lease) -> None:
        """Stops renewing a lease."""
        self.forget(lease.path, lease.revision)
        self.opening.listener.let_go(self.address, lease)
