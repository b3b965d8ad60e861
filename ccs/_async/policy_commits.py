"""Commits that heed the policies of their context: learned from the server when it says that there are others."""

from __future__ import annotations

import random
from dataclasses import replace

from ccs._async.group_commit import Gatherer
from ccs._async.transport.commands import Connection
from ccs._compat import async_sleep
from ccs._core.commits.commit import Applied, Commit, OtherPolicies
from ccs._core.commits.entry import RawEntry
from ccs._core.commits.queries import Found, parse_found, read_arguments
from ccs._core.names.keys import Keys
from ccs._core.names.pattern import Below, Exact
from ccs._core.recipes.policies import ROOT, Plan, Policies, plan, policies_in, to_merge
from ccs._core.retry import jitter
from ccs._protocol.scripts import READ
from ccs.errors import Conflict

__all__ = ["Heeder"]


class Heeder:
    """Makes commits in one context by the policies that hold there.

    What is known of them is kept with the gatherer, for all who write there. A value that was merged may take `limit`
    bytes.
    """

    __slots__ = ("_connection", "_gatherer", "_keys", "_limit")

    def __init__(self, connection: Connection, gatherer: Gatherer, keys: Keys, limit: int) -> None:
        self._connection, self._gatherer, self._keys, self._limit = connection, gatherer, keys, limit

    async def policies(self) -> Policies:
        """Those that hold now."""
        self._gatherer.policies = policies_in((await self._read(Below(f"{ROOT}/"))).entries)
        return self._gatherer.policies

    async def commit(self, asked: Commit, *, merging: bool) -> Applied:
        """Makes the commit as the policies want it, tried again where those have changed or a merge was outrun.

        With `merging`, maps that are set are merged where that is the policy. `Conflict` where they forbid it.
        """
        policies, lost = self._gatherer.policies, 0
        while True:
            planned = await self._plan(policies, asked, merging)
            try:
                applied = await self._gatherer.commit(planned.commit)
                return replace(applied, merged=planned.merged)
            except OtherPolicies:
                policies = await self.policies()
            except Conflict as conflict:
                if not planned.may_retry(conflict):
                    raise planned.as_reported(conflict) from None
            await async_sleep(jitter(lost, random.random()))
            lost += 1

    async def _plan(self, policies: Policies, asked: Commit, merging: bool) -> Plan:
        paths = to_merge(policies, asked) if merging and policies.rules else []
        found: dict[str, RawEntry] = (await self._read(*map(Exact, paths))).entries if paths else {}
        return plan(policies, asked, {path: found.get(path) for path in paths}, self._limit)

    async def _read(self, *selectors: Exact | Below) -> Found:
        reply = await self._connection.script(READ, self._keys.all, read_arguments("entries", selectors))
        return parse_found(reply, lambda _: True)
