"""Policies: how a context treats writes to entries that exist, by any agent."""

from __future__ import annotations

from ccs._async.entries import Entries
from ccs._async.reads import matcher_of
from ccs._core.codec import encode
from ccs._core.commits.operations import policies_op, set_op
from ccs._core.names.pattern import Exact
from ccs._core.names.system_paths import system_path
from ccs._core.quoted_values import shown
from ccs._core.recipes.policies import ROOT, check_policy
from ccs.errors import ReservedPath

__all__ = ["policies", "set_policy"]


async def set_policy(entries: Entries, pattern: str, policy: str) -> int:
    """Sets the policy of the paths that match. Returns the revision from which it applies."""
    handle = entries.handle
    path = _path_of(pattern)
    raw = encode({"pattern": pattern, "policy": check_policy(policy)})
    applied = await handle.write([set_op(path, raw), policies_op()])
    return applied.revision


async def policies(entries: Entries) -> dict[str, str]:
    """Returns the policies by pattern, in the order in which they were set."""
    entries.handle.require(f"{ROOT}/**")
    known = await entries.handle.by_policy.policies()
    return {rule.pattern: rule.policy for rule in reversed(known.rules)}


def _path_of(pattern: str) -> str:
    for selector in matcher_of((pattern,)).selectors:
        start = selector.path if isinstance(selector, Exact) else selector.prefix
        if start.startswith("@"):
            raise ReservedPath(f"{shown(pattern)} names paths of the system, which have no policies")
    return system_path(ROOT, pattern)
