"""What `where` matches: operators, equality, order, and what is refused."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st

import ccs
from ccs._core.memory.filters import having, some_of
from ccs._core.memory.records import Kept

NOON = datetime(2025, 6, 1, 12, tzinfo=UTC)
KINDS = {
    "numbers": (1, 2.5, Decimal(3)),
    "texts": ("a", "b", "c"),
    "bytes": (b"a", b"b", b"c"),
    "moments": (NOON, NOON + timedelta(seconds=1), NOON + timedelta(days=1)),
    "dates": (date(2025, 1, 1), date(2025, 1, 2), date(2026, 1, 1)),
    "times": (time(1), time(2), time(3)),
    "durations": (timedelta(1), timedelta(2), timedelta(3)),
}
OTHERS = (None, True, False, [1], {"a": 1}, {1}, UUID(int=7), float("nan"), Decimal("sNaN"))


def matches(metadata: dict[Any, Any], where: dict[Any, Any]) -> bool:
    accept = having(where)
    return accept is None or accept(Kept("id", {"metadata": metadata}, "agent", 0, 0, None))


@pytest.mark.parametrize("kind", KINDS)
def test_values_of_a_kind_are_ordered(kind: str) -> None:
    low, middle, high = KINDS[kind]
    for value, below, above in ((low, False, True), (middle, False, False), (high, True, False)):
        metadata = {"k": value}
        assert matches(metadata, {"k": {"$gt": middle}}) is below
        assert matches(metadata, {"k": {"$lt": middle}}) is above
        assert matches(metadata, {"k": {"$gte": middle}}) is not above
        assert matches(metadata, {"k": {"$lte": middle}}) is not below
        assert matches(metadata, {"k": {"$gt": low, "$lt": high}}) is (value is middle)


@pytest.mark.parametrize("kind", KINDS)
def test_a_value_of_another_kind_or_a_missing_one_never_compares(kind: str) -> None:
    middle = KINDS[kind][1]
    strangers = [value for other, values in KINDS.items() if other != kind for value in values]
    for metadata in ({}, *({"k": value} for value in (*strangers, *OTHERS))):
        for operator in ("$gt", "$gte", "$lt", "$lte"):
            assert not matches(metadata, {"k": {operator: middle}})
    assert not matches({"k": time(1, tzinfo=UTC)}, {"k": {"$lt": time(2)}})


def test_true_is_not_one() -> None:
    for one, other in ((True, 1), (False, 0), (True, 1.0), ([True], [1]), ({"a": True}, {"a": 1}), ({True}, {1})):
        for value, wanted in ((one, other), (other, one)):
            assert not matches({"k": value}, {"k": wanted})
            assert not matches({"k": value}, {"k": {"$eq": wanted}})
            assert not matches({"k": value}, {"k": {"$in": [wanted]}})
            assert matches({"k": value}, {"k": {"$ne": wanted}})
            assert matches({"k": value}, {"k": {"$nin": [wanted]}})
            assert matches({"k": value}, {"k": value})
    assert not matches({"k": {True: "a"}}, {"k": {1: "a"}})
    for operator in ("$gt", "$gte", "$lt", "$lte"):
        assert not matches({"k": True}, {"k": {operator: 1}})


def test_numbers_are_equal_whatever_their_type() -> None:
    for one, other in ((1, 1.0), (1, Decimal(1)), ([1], [1.0]), ({"a": 2}, {"a": 2.0})):
        assert matches({"k": one}, {"k": other})
        assert matches({"k": one}, {"k": {"$in": [7, other]}})
    assert not matches({"k": "1"}, {"k": 1})
    assert not matches({"k": b"a"}, {"k": "a"})


def test_a_missing_key_equals_nothing() -> None:
    assert not matches({}, {"k": None})
    assert not matches({}, {"k": {"$eq": None}})
    assert not matches({}, {"k": {"$in": [None]}})
    assert matches({}, {"k": {"$ne": None}})
    assert matches({}, {"k": {"$nin": [None, 1]}})
    assert not matches({"k": None}, {"k": {"$ne": None}})


def test_a_key_with_the_value_none_exists() -> None:
    assert matches({"k": None}, {"k": {"$exists": True}})
    assert not matches({}, {"k": {"$exists": True}})
    assert matches({}, {"k": {"$exists": False}})
    assert not matches({"k": 0}, {"k": {"$exists": False}})


def test_all_conditions_must_hold() -> None:
    where = {"about": "ants", "year": {"$gte": 2020, "$lt": 2030, "$ne": 2025}, "tags": ("a", 1)}
    assert matches({"about": "ants", "year": 2020, "tags": ["a", 1], "more": 1}, where)
    for other in ({"about": "bees"}, {"year": 2025}, {"year": 2030}, {"tags": ["a"]}):
        assert not matches({"about": "ants", "year": 2020, "tags": ["a", 1], **other}, where)
    assert matches({}, {})
    assert having(None) is having({}) is None


def test_no_value_is_in_an_empty_list() -> None:
    assert not matches({"k": 1}, {"k": {"$in": []}})
    assert matches({"k": 1}, {"k": {"$nin": []}})
    assert matches({"k": 1}, {"k": {"$in": {1, 2}}})
    assert matches({"k": [1, 2]}, {"k": {"$in": ([1, 2], 3)}})
    assert not matches({"k": [1, 2]}, {"k": {"$in": [1, 2]}})  # a list is a value, not several


def test_a_map_without_operators_is_a_value() -> None:
    assert matches({"k": {"a": {"b": 1}}}, {"k": {"a": {"b": 1}}})
    assert not matches({"k": {"a": 1, "b": 2}}, {"k": {"a": 1}})
    assert matches({"k": {}}, {"k": {}})
    assert matches({"k": {"$gt": 1}}, {"k": {"$eq": {"$gt": 1}}})
    assert not matches({"k": 2}, {"k": {"$eq": {"$gt": 1}}})


@pytest.mark.parametrize(
    "where",
    [
        {"$or": [{"a": 1}]},
        {"$gt": 1},
        {"k": {"$like": "a"}},
        {"k": {"$not": {"$gt": 1}}},
        {"k": {"$": 1}},
        {"k": {"$GT": 1}},
        {"k": {"$gt": 1, "also": 2}},
        {"k": {"a": {"$gt": 1}}},
        {"k": [{"$gt": 1}]},
        {"k": {"a": [{"b": {"$gt": 1}}]}},
        {"k": {"$gt": None}},
        {"k": {"$lt": True}},
        {"k": {"$gte": [1]}},
        {"k": {"$lte": {"a": 1}}},
        {"k": {"$in": "abc"}},
        {"k": {"$nin": 1}},
        {"k": {"$in": {"a": 1}}},
        {"k": {"$exists": 1}},
        {"k": {"$exists": None}},
        "k",
        ["k"],
    ],
    ids=repr,
)
def test_a_condition_that_would_silently_match_nothing_is_refused(where: Any) -> None:
    for accept in (having, some_of):
        with pytest.raises(ccs.InvalidValue):
            accept(where)


@pytest.mark.parametrize("where", [None, {}], ids=repr)
def test_a_removal_needs_a_condition(where: Any) -> None:
    with pytest.raises(ccs.InvalidValue, match="at least one condition"):
        some_of(where)


scalars = st.none() | st.booleans() | st.integers(-2, 2) | st.sampled_from([1.0, 0.5, "a", "b", b"a", NOON, Decimal(1)])
values = st.recursive(
    scalars, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.sampled_from("ab"), inner, max_size=2)
)


@given(metadata=st.dictionaries(st.just("k"), values), wanted=values, others=st.lists(values, max_size=3))
def test_each_operator_is_the_opposite_of_another(metadata: dict[str, Any], wanted: Any, others: list[Any]) -> None:
    """Given any stored value and any condition, then nothing fails, and opposite operators differ."""

    def said(**operators: Any) -> bool:
        return matches(metadata, {"k": {f"${name}": operand for name, operand in operators.items()}})

    assert said(eq=wanted) is not said(ne=wanted)
    assert said(eq=wanted) is matches(metadata, {"k": wanted}) is said(**{"in": [wanted]})
    assert said(**{"in": others}) is any(said(eq=each) for each in others) is not said(nin=others)
    assert said(exists=True) is ("k" in metadata) is not said(exists=False)
    if metadata:
        assert matches(metadata, metadata)
