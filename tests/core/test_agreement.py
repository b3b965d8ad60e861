"""What parties decide from the entries that they read, without a server."""

from __future__ import annotations

from typing import Any

import pytest

from ccs._core.names.system_paths import as_segment
from ccs._core.recipes.agreement import Verdict, ballot_of, judge, next_action
from ccs.errors import InvalidPath, InvalidValue

ABC = ("a", "b", "c")
YES = {"a": True, "b": True, "c": True}


@pytest.mark.parametrize("is_open", [True, False])
def test_it_commits_exactly_if_every_party_voted_yes(is_open: bool) -> None:
    assert judge(ABC, YES, is_open, set(ABC)) == Verdict(True, "every party voted yes")
    assert judge(ABC, {**YES, "b": False}, is_open, set()) == Verdict(False, "'b' voted no")


def test_one_vote_against_decides_whatever_the_others_vote() -> None:
    assert judge(ABC, {"b": False}, True, set()) == Verdict(False, "'b' voted no")
    assert judge(ABC, {"b": False, "c": False}, False, {"a"}) == Verdict(False, "'b' and 'c' voted no")


def test_a_party_that_leaves_before_its_vote_decides_and_one_that_leaves_after_does_not() -> None:
    assert judge(ABC, {"a": True}, True, {"a"}) is None
    assert judge(ABC, {"a": True}, True, {"a", "c"}) == Verdict(False, "'c' left without a vote")


def test_the_deadline_decides_only_when_it_has_passed() -> None:
    assert judge(ABC, {"a": True}, True, set()) is None
    assert judge(ABC, {"a": True}, False, set()) == Verdict(False, "the time was up without a vote of 'b' and 'c'")
    assert judge(ABC, {}, False, set()).reason.endswith("'a', 'b' and 'c'")  # type: ignore[union-attr]


def test_a_decision_is_guarded_by_all_votes_and_a_vote_by_the_own_one() -> None:
    def guarded(vote: bool) -> list[str]:
        step = next_action(ballot_of("n", ABC, "a", vote, 30), {}, set())
        assert step
        assert not hasattr(step, "committed")
        return [guard.path for guard in step.guards]

    assert guarded(True) == [f"@agreements/n/{each}" for each in ("terms", "deadline", "decision", "votes/a")]
    assert guarded(False) == [*guarded(True), "@agreements/n/votes/b", "@agreements/n/votes/c"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"parties": "a"},
        {"parties": ["b"]},
        {"parties": []},
        {"parties": ["a", ""]},
        {"parties": ["a", 7]},
        {"vote": 1},
        {"vote": None},
        {"timeout": 0},
        {"timeout": float("nan")},
        {"name": ""},
        {"parties": ["a", "b" * 256], "name": "n" * 900},
        {"name": "n" * 1_010},
    ],
)
def test_invalid_arguments_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises((InvalidValue, InvalidPath)):
        ballot_of(**{"name": "n", "parties": ABC, "party": "a", "vote": True, "timeout": 30, **wrong})


def test_no_name_has_a_path_below_that_of_another_one() -> None:
    names = ["a", "a/terms", "a/votes/b", "a%2Fterms", ".", "..", "%", "%2E", "a\n", "ü/é"]
    assert len({as_segment(name) for name in names}) == len(names)
    assert not any("/" in as_segment(name) for name in names)
