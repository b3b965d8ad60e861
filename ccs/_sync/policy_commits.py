# Generated from ccs/_async/policy_commits.py by scripts/twin. Do not edit.
"""Commits by the policies of their context, which are read again when the server says that there are others."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import replace

from ccs._core.commits.commit import Applied, Commit, OtherPolicies
from ccs._core.commits.entry import RawEntry
from ccs._core.commits.queries import Found
from ccs._core.commits.script_calls import entries_call
from ccs._core.names.keys import Keys
from ccs._core.names.pattern import Below, Exact
from ccs._core.recipes.policies import ROOT, Plan, Policies, plan, policies_in, to_merge
from ccs._sync.commit_route import DurableCommits
from ccs._sync.group_commit import GroupCommit
from ccs._sync.opening import Opening
from ccs._sync.optimistic import Race
from ccs.errors import Conflict

__all__ = ["PolicyCommits"]


class PolicyCommits:
    """Makes commits in one context by the policies that hold there.

    What is known of the policies is kept with the group commit, for all that write there. A merged value may take
    `limit` bytes. `check_shown` raises for a path that the caller may not see.
    """

    __slots__ = ("_check_shown", "_group_commit", "_keys", "_limit", "_opening")

    def __init__(
        self,
        opening: Opening,
        group_commit: GroupCommit | DurableCommits,
        keys: Keys,
        limit: int,
        check_shown: Callable[[str], str],
    ) -> None:
        self._check_shown = check_shown
        self._opening = opening
        self._group_commit = group_commit
        self._keys = keys
        self._limit = limit

    def policies(self) -> Policies:
        """Reads the policies that hold now."""
        self._group_commit.policies = policies_in(self._read(Below(f"{ROOT}/")).entries)
        return self._group_commit.policies

    def commit(self, asked: Commit, *, merging: bool, unmerged: Container[str] = ()) -> Applied:
        """Makes a commit by the policies. Tries again if they have changed, or if a value to merge with has.

        With `merging`, maps that are set are merged where that is the policy, but for those at the paths `unmerged`. Raises
        `Conflict` where the policies forbid it.
        """
        policies = self._group_commit.policies
        race = Race("commit")
        while True:
            planned = self._plan(policies, asked, merging, unmerged)
            try:
                applied = self._group_commit.commit(planned.commit)
                return replace(applied, merged=planned.merged)
            except OtherPolicies:
                policies = self.policies()
                race.look_again()
            except Conflict as conflict:
                if not planned.may_retry(conflict):
                    raise planned.as_reported(conflict) from None
                race.lose(conflict)

    def _plan(self, policies: Policies, asked: Commit, merging: bool, unmerged: Container[str]) -> Plan:
        merged = to_merge(policies, asked) if merging and policies.rules else []
        paths = [self._check_shown(path) for path in merged if path not in unmerged]
        found: dict[str, RawEntry] = self._read(*map(Exact, paths)).entries if paths else {}
        return plan(policies, asked, {path: found.get(path) for path in paths}, self._limit)

    def _read(self, *selectors: Exact | Below) -> Found:
        return self._opening.call(entries_call(self._keys, selectors))
