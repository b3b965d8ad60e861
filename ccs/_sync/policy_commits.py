# Generated from ccs/_async/policy_commits.py by scripts/twin. Do not edit.
"""Commits that heed the policies of their context: learned from the server when it says that there are others."""

from __future__ import annotations

import random
from dataclasses import replace

from ccs._compat import sleep
from ccs._core.commits.commit import Applied, Commit, OtherPolicies
from ccs._core.commits.entry import RawEntry
from ccs._core.commits.queries import Found, parse_found, read_arguments
from ccs._core.names.keys import Keys
from ccs._core.names.pattern import Below, Exact
from ccs._core.recipes.policies import ROOT, Plan, Policies, plan, policies_in, to_merge
from ccs._core.retry import jitter
from ccs._protocol.scripts import READ
from ccs._sync.group_commit import Gatherer
from ccs._sync.transport.commands import Connection
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

    def policies(self) -> Policies:
        """Those that hold now."""
        self._gatherer.policies = policies_in(self._read(Below(f"{ROOT}/")).entries)
        return self._gatherer.policies

    def commit(self, asked: Commit, *, merging: bool) -> Applied:
        """Makes the commit as the policies want it, tried again where those have changed or a merge was outrun.

        With `merging`, maps that are set are merged where that is the policy. `Conflict` where they forbid it.
        """
        policies, lost = self._gatherer.policies, 0
        while True:
            planned = self._plan(policies, asked, merging)
            try:
                applied = self._gatherer.commit(planned.commit)
                return replace(applied, merged=planned.merged)
            except OtherPolicies:
                policies = self.policies()
            except Conflict as conflict:
                if not planned.may_retry(conflict):
                    raise planned.as_reported(conflict) from None
            sleep(jitter(lost, random.random()))
            lost += 1

    def _plan(self, policies: Policies, asked: Commit, merging: bool) -> Plan:
        paths = to_merge(policies, asked) if merging and policies.rules else []
        found: dict[str, RawEntry] = self._read(*map(Exact, paths)).entries if paths else {}
        return plan(policies, asked, {path: found.get(path) for path in paths}, self._limit)

    def _read(self, *selectors: Exact | Below) -> Found:
        reply = self._connection.script(READ, self._keys.all, read_arguments("entries", selectors))
        return parse_found(reply, lambda _: True)
