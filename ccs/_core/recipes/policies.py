"""The policies of a context: which one a path has, and how a commit is changed to follow it.

They are entries below `@policies/`, one for each pattern. If several match a path, the one set last applies. Every commit
of a user names the revision of the newest policy that it follows, and the commit script refuses it if another is the
newest by then. So what a client decides by the policies that it knows is decided by those in force.

A policy is enforced by guards: what must not be changed must not exist. A map is merged by the client, guarded by the
revision that it read.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from ccs._core.codec import decode, encode
from ccs._core.commits.commit import Commit
from ccs._core.commits.entry import RawEntry
from ccs._core.commits.operations import Guard, Operation, revision_guard, version_guard
from ccs._core.names.pattern import Matcher, compile_patterns
from ccs._core.quoted_values import shown
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
DEFAULT = "last-write-wins"
REJECT = "reject"
MERGE = "merge"
WRITE_ONCE = "write-once"
POLICIES = (DEFAULT, REJECT, MERGE, WRITE_ONCE)

# Operations that change a value, and those of them that do so without reading it.
_CHANGING = frozenset("sdia")
_BLIND = frozenset("sd")


class Rule(NamedTuple):
    """A policy and the pattern to which it applies."""

    pattern: str
    policy: str
    matcher: Matcher


class Policies(NamedTuple):
    """The rules in force since the commit of `revision`, the one set last first. Revision 0: none."""

    revision: int
    rules: Sequence[Rule]

    def of(self, path: str) -> str:
        """Returns the policy of a path. Paths of the system have the default."""
        if path[:1] == "@":
            return DEFAULT
        return next((rule.policy for rule in self.rules if rule.matcher.matches(path)), DEFAULT)


NO_POLICIES = Policies(0, ())


class Plan(NamedTuple):
    """A commit changed to follow some policies: guarded by what was `read` for it, and by the `forbidden` paths."""

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
        """Returns whether only our own read was out of date, so that the commit can be planned again."""
        guard = _guard_of(conflict)
        return guard in map(_named, self.read) and guard not in self._asked()

    def as_reported(self, conflict: Conflict) -> Conflict:
        """Returns the conflict that users see: it names the policy, unless a guard of their own failed."""
        policy = self.forbidden.get(conflict.path)
        if policy is None or conflict.expected or _guard_of(conflict) in self._asked():
            return conflict
        return Conflict(
            conflict.path,
            conflict.expected,
            conflict.version,
            conflict.revision,
            conflict.agent,
            policy,
            conflict.guard,
        )

    def _asked(self) -> set[tuple[str, int]]:
        return {_named(guard) for guard in self.asked.guards}


def check_policy(policy: str) -> str:
    """Returns the policy. Raises `InvalidValue` if there is none of this name."""
    if policy not in POLICIES:
        raise InvalidValue(f"{shown(policy)} is not a policy; there are {', '.join(map(repr, POLICIES))}")
    return policy


def policies_in(entries: Mapping[str, RawEntry]) -> Policies:
    """Returns the policies of a context, given all their entries."""
    newest_first = sorted(entries.values(), key=lambda entry: entry.revision, reverse=True)
    rules = [_rule(**decode(entry.value)) for entry in newest_first]
    return Policies(newest_first[0].revision, rules) if rules else NO_POLICIES


def _rule(pattern: str, policy: str) -> Rule:
    return Rule(pattern, policy, compile_patterns((pattern,)))


def to_merge(policies: Policies, asked: Commit) -> list[str]:
    """Returns the paths to read before a commit is planned: those of maps that are merged into the present value."""
    return [
        path
        for kind, path, _, value in asked.operations
        if kind == "s" and policies.of(path) == MERGE and isinstance(value, bytes) and isinstance(decode(value), dict)
    ]


def plan(policies: Policies, asked: Commit, found: Mapping[str, RawEntry | None], limit: int) -> Plan:
    """Returns a commit changed to follow the policies. `found` is what was read at the paths `to_merge`.

    Raises `ValueTooLarge` if a merged value takes more than `limit` bytes.
    """
    read = [revision_guard(path, entry.revision if entry else 0) for path, entry in found.items()]
    forbidden = _forbidden(policies, asked)
    guards = [*asked.guards, *read, *(version_guard(path, 0) for path in forbidden)]
    operations = [_merged(operation, found.get(operation[1]), limit) for operation in asked.operations]
    commit = replace(asked, operations=operations, guards=guards, policies=policies.revision)
    return Plan(asked, commit, read, forbidden)


def _forbidden(policies: Policies, asked: Commit) -> dict[str, str]:
    """Returns the paths that must not exist, each with the policy that forbids to change it."""
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


def _guard_of(conflict: Conflict) -> tuple[str, int]:
    return conflict.path, conflict.expected
