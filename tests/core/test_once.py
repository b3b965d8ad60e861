"""Digests of inputs, keys made of arguments, and errors as text."""

from __future__ import annotations

from typing import Any

import hypothesis.strategies as st
import pytest
from hypothesis import given

from ccs._core.recipes.idempotency_keys import KeyTemplate, asks_for_token
from ccs._core.recipes.once import digest, reason

scalars = st.one_of(st.none(), st.booleans(), st.integers(), st.text(max_size=3), st.binary(max_size=3))
values = st.recursive(
    scalars, lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(scalars, inner, max_size=4))
)


def reordered(value: Any) -> Any:
    if isinstance(value, list):
        return [reordered(each) for each in value]
    if isinstance(value, dict):
        return {key: reordered(each) for key, each in reversed(value.items())}
    return value


@given(values)
def test_maps_in_another_order_are_the_same_input(value: Any) -> None:
    assert digest(value) == digest(reordered(value))


@given(values, values)
def test_only_equal_inputs_have_one_digest(one: Any, other: Any) -> None:
    assert (digest(one) == digest(other)) == (repr(canonical(one)) == repr(canonical(other)))


def canonical(value: Any) -> Any:
    if isinstance(value, list):
        return [canonical(each) for each in value]
    if isinstance(value, dict):
        return dict(sorted(((repr(key), canonical(each)) for key, each in value.items()), key=lambda item: item[0]))
    return value


@pytest.mark.parametrize(
    "other", [[1, "a", (2, 3)], {0: 1}, [True, "a", [2, 3]], [1, b"a", [2, 3]], [1.0, "a", [2, 3]]]
)
def test_inputs_of_different_types_differ_except_tuples_and_lists(other: Any) -> None:
    same = other == [1, "a", (2, 3)] and type(other[0]) is int
    assert (digest([1, "a", [2, 3]]) == digest(other)) == same


def test_deep_inputs_have_a_digest() -> None:
    deep: Any = 1
    for _ in range(250):
        deep = {"k": [deep]} if len(repr(deep)) % 2 else [deep]
    assert digest(deep) == digest(reordered(deep))


def test_a_key_names_arguments_their_attributes_and_items() -> None:
    def charge(order: Any, cents: int = 5, *rest: int, note: str = "no {braces}", **more: int) -> None: ...

    template = KeyTemplate("{{x}}/{order.real}/{cents:03}/{rest[0]}/{more[a]}/{note!r}", charge)
    call = template.of((7, 1, 2), {"a": 3})
    assert call.key == "{x}/7/001/2/3/'no {braces}'"
    assert call.input == {"order": 7, "cents": 1, "rest": (2,), "note": "no {braces}", "more": {"a": 3}}


def test_only_a_keyword_only_parameter_asks_for_the_token() -> None:
    assert asks_for_token(lambda *, token: token)
    assert not asks_for_token(lambda token: token)
    assert not asks_for_token(lambda token=None, **more: token)
    assert not asks_for_token(print)


def test_a_reason_is_short_text() -> None:
    assert reason(ValueError("no")) == "ValueError: no"
    assert reason(KeyboardInterrupt()) == "KeyboardInterrupt"
    assert len(reason(ValueError("x" * 5_000))) == 1_000
    assert reason(ValueError("\ud800")).encode()
