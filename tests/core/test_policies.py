"""Policies, without a server: which one a path has, how a commit is guarded, which conflict names the policy."""

from __future__ import annotations

from typing import Any

import pytest

import ccs
from ccs._core.codec import decode, encode
from ccs._core.commits.commit import Commit
from ccs._core.commits.entry import RawEntry
from ccs._core.commits.operations import (
    Guard,
    append_op,
    delete_op,
    event_op,
    fewer_below,
    increment_op,
    nothing_below,
    policies_op,
    renew_op,
    revision_guard,
    set_op,
    version_guard,
)
from ccs._core.recipes.policies import (
    DEFAULT,
    NO_POLICIES,
    POLICIES,
    Policies,
    check_policy,
    plan,
    policies_in,
    to_merge,
)
from ccs._core.values.merge import merge_maps

LIMIT = 1_000
WRITES = {
    "set": set_op("a", encode(1)),
    "delete": delete_op("a"),
    "increment": increment_op("a", 1),
    "append": append_op("a", 1, encode(1), LIMIT),
}
HARMLESS = {"renew": renew_op("a", 1), "event": event_op("a", encode(1)), "policies": policies_op()}


def raw(value: Any, revision: int = 1) -> RawEntry:
    return RawEntry(revision, 1, 0, 0, 0, "x", encode(value))


def policies(*rules: tuple[str, str]) -> Policies:
    """Policies that were set in that order."""
    stored = enumerate(rules, 1)
    entries = {f"@policies/{n}": raw({"pattern": pattern, "policy": policy}, n) for n, (pattern, policy) in stored}
    return policies_in(dict(reversed(entries.items())))


def must_not_exist(name: str, policy: str, *guards: Guard) -> bool:
    """Whether the policy allows an operation on `a` only if it does not exist."""
    asked = Commit("x", [{**WRITES, **HARMLESS}[name]], guards)
    planned = plan(policies(("**", policy)), asked, {}, LIMIT).commit
    assert planned.guards[: len(guards)] == list(guards)
    assert planned.operations == asked.operations
    return planned.guards[len(guards) :] == [version_guard("a", 0)]


def test_without_policies_a_commit_is_guarded_only_by_their_absence() -> None:
    assert policies() == NO_POLICIES
    assert (NO_POLICIES.revision, NO_POLICIES.of("a")) == (0, DEFAULT)
    planned = plan(NO_POLICIES, Commit("x", [*WRITES.values()]), {}, LIMIT)
    assert (planned.commit.guards, planned.commit.policies) == ([], 0)


def test_of_several_matching_policies_the_one_set_last_applies() -> None:
    held = policies(("**", "reject"), ("a/*", "write-once"), ("a/b", "merge"), ("a/{b,c}", "last-write-wins"))
    assert held.revision == 4
    assert [held.of(path) for path in ("a/b", "a/c", "a/d", "b")] == [DEFAULT, DEFAULT, "write-once", "reject"]
    assert policies(("a/b", "merge"), ("**", "reject")).of("a/b") == "reject"


def test_paths_of_the_system_have_no_policy() -> None:
    assert policies(("**", "write-once")).of("@claims/a") == DEFAULT
    assert policies(("@claims/**", "write-once")).of("@claims/a") == DEFAULT


@pytest.mark.parametrize("name", WRITES)
def test_write_once_never_changes_what_exists_whatever_the_guard(name: str) -> None:
    assert must_not_exist(name, "write-once")
    assert must_not_exist(name, "write-once", version_guard("a", 3))
    assert must_not_exist(name, "write-once", revision_guard("a", 3))


@pytest.mark.parametrize("name", WRITES)
def test_reject_requires_a_guard_on_the_path_of_a_blind_write(name: str) -> None:
    blind = name in ("set", "delete")
    assert must_not_exist(name, "reject") is blind
    assert must_not_exist(name, "reject", version_guard("b", 3)) is blind
    assert must_not_exist(name, "reject", nothing_below("a")) is blind
    assert must_not_exist(name, "reject", fewer_below("a", 3)) is blind
    assert not must_not_exist(name, "reject", version_guard("a", 3))
    assert not must_not_exist(name, "reject", revision_guard("a", 3))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("name", HARMLESS)
def test_renewals_events_and_policies_are_free(name: str, policy: str) -> None:
    assert not must_not_exist(name, policy)


@pytest.mark.parametrize("policy", ["last-write-wins", "merge"])
@pytest.mark.parametrize("name", WRITES)
def test_other_policies_forbid_nothing(name: str, policy: str) -> None:
    assert not must_not_exist(name, policy)


def test_only_maps_set_under_the_merge_policy_are_read_first() -> None:
    held = policies(("m/**", "merge"))
    asked = [
        set_op("m/map", encode({})),
        set_op("m/list", encode([])),
        set_op("other", encode({})),
        delete_op("m/gone"),
    ]
    assert to_merge(held, Commit("x", asked)) == ["m/map"]


def test_a_map_is_merged_and_guarded_by_what_was_read_even_nothing() -> None:
    held = policies(("**", "merge"))
    asked = Commit("x", [set_op("a", encode({"new": None}), 5), set_op("b", encode({"x": 1}))], [version_guard("a", 2)])
    planned = plan(held, asked, {"a": raw({"old": 1}, 77), "b": None}, LIMIT).commit
    assert [decode(bytes(op[3])) for op in planned.operations] == [
        {"old": 1, "new": None},
        {"x": 1},
    ]
    assert planned.operations[0][:3] == ("s", "a", "5")
    assert planned.guards == [version_guard("a", 2), revision_guard("a", 77), revision_guard("b", 0)]
    assert planned.policies == held.revision


def test_a_merged_value_that_is_too_large_is_refused() -> None:
    asked = Commit("x", [set_op("a", encode({"new": "n" * 600}))])
    with pytest.raises(ccs.ValueTooLarge):
        plan(policies(("**", "merge")), asked, {"a": raw({"old": "o" * 600})}, LIMIT)


def test_an_outdated_read_is_distinguished_from_a_guard_of_the_user() -> None:
    found = {"a": raw({"old": 1}, 2_000_000_000)}
    operation, held = set_op("a", encode({"new": 1})), policies(("**", "merge"))
    outrun = ccs.Conflict("a", 2_000_000_000, 9, 3_000_000_000, "y")
    assert plan(held, Commit("x", [operation]), found, LIMIT).may_retry(outrun)
    assert not plan(held, Commit("x", [operation]), found, LIMIT).may_retry(ccs.Conflict("b", 2_000_000_000, 9, 9, "y"))
    for guard in revision_guard("a", 2_000_000_000), version_guard("a", 4):
        planned = plan(held, Commit("x", [operation], [guard]), found, LIMIT)
        lost = ccs.Conflict("a", guard.expected, 9, 3_000_000_000, "y")
        assert not planned.may_retry(lost)
        assert planned.as_reported(lost) is lost


@pytest.mark.parametrize("policy", ["reject", "write-once"])
def test_a_conflict_names_the_policy_unless_a_guard_of_the_user_failed(policy: str) -> None:
    held, found = policies(("**", policy)), ccs.Conflict("a", 0, 9, 3_000_000_000, "y")
    told = plan(held, Commit("x", [set_op("a", b"")]), {}, LIMIT).as_reported(found)
    assert (told.policy, told.path, told.version, told.revision, told.agent) == (policy, "a", 9, 3_000_000_000, "y")
    assert policy in str(told)
    for guard in version_guard("a", 0), revision_guard("a", 0):
        assert plan(held, Commit("x", [set_op("a", b"")], [guard]), {}, LIMIT).as_reported(found) is found
    other = ccs.Conflict("b", 0, 9, 3_000_000_000, "y")
    assert plan(held, Commit("x", [set_op("a", b"")]), {}, LIMIT).as_reported(other) is other


def test_a_policy_has_one_of_four_names() -> None:
    assert [check_policy(policy) for policy in POLICIES] == list(POLICIES)
    for wrong in ("", "Reject", "write_once", None, ["merge"]):
        with pytest.raises(ccs.InvalidValue, match="write-once"):
            check_policy(wrong)  # type: ignore[arg-type]  # that is the test


@pytest.mark.parametrize(
    ("target", "value", "merged"),
    [
        ({"a": 1, "b": {"x": 1}}, {"b": {"y": 2}, "c": 3}, {"a": 1, "b": {"x": 1, "y": 2}, "c": 3}),
        ({"a": 1}, {"a": None}, {"a": None}),
        ({"a": {"x": 1}}, {"a": [1]}, {"a": [1]}),
        ({"a": [1]}, {"a": {"x": 1}}, {"a": {"x": 1}}),
        ({"a": 1}, {}, {"a": 1}),
        ([1], {"a": 1}, {"a": 1}),
        ({"a": 1}, 5, 5),
    ],
)
def test_maps_merge_key_by_key_and_all_else_replaces(target: Any, value: Any, merged: Any) -> None:
    assert merge_maps(target, value) == merged


def test_only_a_merged_value_is_returned() -> None:
    held, found = policies(("**", "merge")), {"a": raw({"old": 1}), "b": None}
    merged = plan(held, Commit("x", [set_op("a", encode({"new": 2}))]), {"a": found["a"]}, LIMIT).merged
    assert merged is not None
    assert decode(merged) == {"old": 1, "new": 2}
    assert plan(held, Commit("x", [set_op("b", encode({}))]), {"b": None}, LIMIT).merged == encode({})
    assert plan(held, Commit("x", [set_op("c", encode([1]))]), {}, LIMIT).merged is None
    assert plan(held, Commit("x", [delete_op("a")]), {}, LIMIT).merged is None
    assert plan(held, Commit("x", [], [version_guard("a", 1)]), {}, LIMIT).merged is None
