"""The policies of a context: which one a path has, and how a commit changes to heed them.

They are entries below `@policies/`, one a pattern; of several that match a path the one set last holds. Every commit of
a user names the revision of the newest policy that it heeds, and the commit script refuses it where that is another
one by now. So what a client decides by the policies that it knows was decided by those that hold.

A policy is enforced by guards: what must not be changed must not exist. A map is merged by the client, guarded by what
it has read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ccs._core.codec import decode, encode
from ccs._core.commits.commit import Commit, Guard, Operation, revision_guard, version_guard
from ccs._core.commits.entry import RawEntry
from ccs._core.names.pattern import Matcher, compile_patterns
from ccs._core.shown import shown
from ccs._core.values.merge import merge_maps
from ccs.errors import Conflict, InvalidValue

__all__ = [
    "DEFAULT",
    "NO_POLICIES",
    "POLICIES",
    "ROOT",
    "Plan",
    "Policies",
    "Rule",
    "check_policy",
    "plan",
    "policies_in",
    "to_merge",
]

ROOT = "@policies"
DEFAULT, REJECT, MERGE, WRITE_ONCE = POLICIES = ("last-write-wins", "reject", "merge", "write-once")

# Operations that change a value, and those of them that look at none before they do.
_CHANGING, _BLIND = frozenset("sdia"), frozenset("sd")


class Rule(NamedTuple):
    """A policy and where it holds."""

    pattern: str
    policy: str
    matcher: Matcher


class Policies(NamedTuple):
    """What holds since the commit of that revision: the rules, the one set last first. Revision 0: none at all."""

    revision: int
    rules: Sequence[Rule]

    def of(self, path: str) -> str:
        """The policy of a path; those of the system have none."""
        if path[:1] == "@":
            return DEFAULT
        return next((rule.policy for rule in self.rules if rule.matcher.matches(path)), DEFAULT)


NO_POLICIES = Policies(0, ())


class Plan(NamedTuple):
    """A commit as some policies want it: guarded by what was `read` for it, and by what they `forbid` to change."""

    asked: Commit
    commit: Commit
    read: Sequence[Guard]
    forbidden: Mapping[str, str]

    @property
    def merged(self) -> bytes | None:
        """The encoded value of the first operation, if that was to be merged."""
        if not self.read:
            return None
        _, path, _, value = self.commit.operations[0]
        return value if isinstance(value, bytes) and path in {guard.path for guard in self.read} else None

    def may_retry(self, conflict: Conflict) -> bool:
        """Whether only our own reading was too old: then it is planned again."""
        lost = _of(conflict)
        return lost in map(_named, self.read) and lost not in self._asked()

    def as_reported(self, conflict: Conflict) -> Conflict:
        """The conflict as users see it: it names the policy, unless a guard of their own had failed."""
        policy = self.forbidden.get(conflict.path)
        if policy is None or conflict.expected or _of(conflict) in self._asked():
            return conflict
        found = conflict.version, conflict.revision, conflict.agent
        return Conflict(conflict.path, conflict.expected, *found, policy, conflict.guard)

    def _asked(self) -> set[tuple[str, int]]:
        return {_named(guard) for guard in self.asked.guards}


def check_policy(policy: str) -> str:
    """The policy itself, if there is such a one."""
    if policy not in POLICIES:
        raise InvalidValue(f"{shown(policy)} is no policy; there are {', '.join(map(repr, POLICIES))}")
    return policy


def policies_in(entries: Mapping[str, RawEntry]) -> Policies:
    """The policies that some entries tell, all those of a context."""
    newest_first = sorted(entries.values(), key=lambda entry: entry.revision, reverse=True)
    rules = [_rule(**decode(entry.value)) for entry in newest_first]
    return Policies(newest_first[0].revision, rules) if rules else NO_POLICIES


def _rule(pattern: str, policy: str) -> Rule:
    return Rule(pattern, policy, compile_patterns((pattern,)))


def to_merge(policies: Policies, asked: Commit) -> list[str]:
    """The paths that have to be read before a commit is planned: maps are to be merged into what is there."""
    return [
        path
        for kind, path, _, value in asked.operations
        if kind == "s" and policies.of(path) == MERGE and isinstance(value, bytes) and isinstance(decode(value), dict)
    ]


def plan(policies: Policies, asked: Commit, found: Mapping[str, RawEntry | None], limit: int) -> Plan:
    """The commit that was asked for as the policies want it; `found` is what was read at the paths `to_merge`.

    A merged value may take `limit` bytes: `ValueTooLarge` otherwise.
    """
    read = [revision_guard(path, entry.revision if entry else 0) for path, entry in found.items()]
    forbidden = _forbidden(policies, asked)
    guards = [*asked.guards, *read, *(version_guard(path, 0) for path in forbidden)]
    operations = [_merged(operation, found.get(operation[1]), limit) for operation in asked.operations]
    size = asked.size + sum(len(entry.value) for entry in found.values() if entry)
    commit = replace(asked, operations=operations, guards=guards, size=size, policies=policies.revision)
    return Plan(asked, commit, read, forbidden)


def _forbidden(policies: Policies, asked: Commit) -> dict[str, str]:
    """The paths that must not exist for the commit to be made, each with the policy that says so."""
    guarded = {guard.path for guard in asked.guards if guard.kind in "vr"}
    forbidden = {}
    for kind, path, *_ in asked.operations:
        policy = policies.of(path) if kind in _CHANGING else DEFAULT
        if policy == WRITE_ONCE or (policy == REJECT and kind in _BLIND and path not in guarded):
            forbidden[path] = policy
    return forbidden


def _merged(operation: Operation, entry: RawEntry | None, limit: int) -> Operation:
    kind, path, operand, value = operation
    if entry is None or not isinstance(value, bytes):
        return operation
    return kind, path, operand, encode(merge_maps(decode(entry.value), decode(value)), limit)


def _named(guard: Guard) -> tuple[str, int]:
    return guard.path, guard.expected


def _of(conflict: Conflict) -> tuple[str, int]:
    return conflict.path, conflict.expected
