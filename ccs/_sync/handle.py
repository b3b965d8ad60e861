# Generated from ccs/_async/handle.py by scripts/twin. Do not edit.
"""Where one context is: what its reads, writes and watches need to know, and the one way to commit to it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ccs._core.commits.commit import Applied, Argument, Commit, Guard, Operation, OtherPolicies, Settings
from ccs._core.commits.layout import check_format
from ccs._core.names.keys import Keys
from ccs._core.recipes.holdings import Holding, Holdings
from ccs._core.recipes.lease import Lease
from ccs._sync.engine import Engine, Route
from ccs._sync.policy_commits import Heeder
from ccs._sync.transport.commands import Connection
from ccs.errors import ClaimLost, Conflict

__all__ = ["Fence", "Place"]


@dataclass(frozen=True, slots=True)
class Fence:
    """What every commit of a claim's holder is guarded by; `resource` is what the claim is on.

    The `claim` itself is here so that it is not forgotten while somebody may write behind the fence.
    """

    resource: str
    guard: Guard
    claim: object = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Place:
    """A context of a store, as one agent with its settings sees it, perhaps behind fences."""

    engine: Engine
    address: str
    named: str | None
    given: Settings
    keys: Keys
    route: Route
    fences: tuple[Fence, ...] = ()

    @property
    def agent(self) -> str:
        """Who is named in everything that is written here."""
        return self.named or self.engine.default_agent

    @property
    def heeder(self) -> Heeder:
        """What knows the policies of the context."""
        return Heeder(self.connection, self.route.gatherer, self.keys, self.engine.max_value_bytes)

    @property
    def connection(self) -> Connection:
        """What its commands go through."""
        return self.engine.connection

    def commit(self, operations: list[Operation], guards: list[Guard], size: int, *, heeding: bool = True) -> Applied:
        """Makes one commit of the operations, if the guards hold; its errors are raised.

        The policies of the context bind it, unless it is not `heeding` them: what the system writes for itself.
        """
        if heeding:
            return self.write(operations, guards, size, merging=False)
        try:
            return self.route.gatherer.commit(Commit(self.agent, operations, self._fenced(guards), self.given, size))
        except Conflict as conflict:
            self._check_fences(conflict)
            raise

    def write(self, operations: list[Operation], guards: list[Guard], size: int, *, merging: bool = True) -> Applied:
        """As `commit`; maps that are set are merged where that is the policy."""
        agent = self.named or self.engine.default_agent
        gatherer = self.route.gatherer
        asked = Commit(agent, operations, self._fenced(guards), self.given, size, 0)
        try:
            if not gatherer.policies.rules:
                try:  # the ordinary way; suppress() would cost half as much as all else here
                    return gatherer.commit(asked)
                except OtherPolicies:
                    pass
            return self.heeder.commit(asked, merging=merging)
        except Conflict as conflict:
            self._check_fences(conflict)
            raise

    def _fenced(self, guards: list[Guard]) -> list[Guard]:
        return [*(fence.guard for fence in self.fences), *guards] if self.fences else guards

    def _check_fences(self, conflict: Conflict) -> None:
        for fence in self.fences:
            if conflict.path == fence.guard.path:
                raise ClaimLost(fence.resource) from conflict

    def read(self, command: tuple[Argument, ...]) -> Any:
        """The reply to a command that reads one of its keys. Scripts look at the format themselves; here the first read does.

        `UnknownFormat` where a later version has written the context. A later format that changes entries marks each of
        them, so that none is taken for one of ours: it is enough to look once.
        """
        if self.route.format_known:
            return self.connection.run(command)
        reply, state = self.connection.run_all([command, ("HGET", self.keys.meta, "state")])
        if state is not None:
            check_format(state, self.address)
            self.route.format_known = True
        return reply

    def check_format(self) -> None:
        """Looks anew. For what was read and cannot be: `UnknownFormat` says why, else it is damaged."""
        self.engine.look(self.address, 0, 0)

    def expect(self, ttl: int | None) -> None:
        """An entry got a ttl in milliseconds: when it is due, somebody sweeps."""
        if ttl is not None:
            self.engine.listener.expect(self.address, ttl / 1000)

    def sweep(self) -> None:
        """A read came upon an entry that is due: soon it is gone for everybody, whatever the clock does."""
        self.engine.listener.expect(self.address, 0.0)

    def term(self, ttl: float) -> float:
        """For how many seconds at a time to hold what is leased for `ttl`: no longer than the agent's presence here.

        So what an agent holds is free again once it has left, however it did.
        """
        here, joined = (self.address, self.agent), list(self.engine.presences.values())
        return min([ttl, *(most for address, agent, most in joined if (address, agent) == here)])

    @property
    def holdings(self) -> Holdings:
        """What this store holds, and gives back at its end."""
        return self.engine.listener.holdings

    def holding(self, path: str, revision: int | None, until: float = float("inf"), owner: object = None) -> Holding:
        """What was just taken here, given back when the store is closed."""
        holding = Holding(self.address, path, revision, self.agent, until, owner)
        self.holdings.add(holding)
        self.engine.listener.tidy()
        return holding

    def hold(self, lease: Lease) -> None:
        """Renews a lease in the background from now on."""
        self.engine.listener.hold(self.address, lease)

    def let_go(self, lease: Lease) -> None:
        """Renews a lease no more."""
        if not self.engine.closed:  # else it is given back with all the rest
            self.holdings.remove(self.address, lease.path, lease.revision)
        self.engine.listener.let_go(self.address, lease)
