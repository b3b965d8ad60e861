"""Values as JSON that keeps every type: whatever the codec can hold."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ccs._core.codec import decode, encode
from ccs._core.values.typed_json import from_typed, to_typed
from tests.core.test_codec import shape, values


@given(values)
def test_a_stored_value_comes_back_from_json_with_its_type(value: Any) -> None:
    try:
        stored = decode(encode(value))
    except Exception:  # noqa: BLE001 - what cannot be stored is the codec's matter
        return
    text = json.dumps(to_typed(stored), allow_nan=False)
    assert shape(from_typed(json.loads(text))) == shape(stored)
    assert "\n" not in text


dollars = st.recursive(
    st.none() | st.integers() | st.sampled_from(["", "7", "AA=="]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["$set", "$map", "$int", "$bytes", "$time", "$x", "a"]), inner, max_size=2)
    ),
)


@given(dollars)
def test_a_value_that_looks_like_the_encoding_is_kept_and_read_as_such_or_refused(value: Any) -> None:
    with suppress(ValueError):
        from_typed(value)
    assert from_typed(json.loads(json.dumps(to_typed(value)))) == value


@pytest.mark.parametrize(
    "plain", [{"$set": [[1]]}, {"$map": [[[1], 2]]}, {"$map": [[1]]}, {"$decimal": "x"}, {"$int": "1.5"}, {"$uuid": ""}]
)
def test_what_does_not_fit_its_type_is_refused(plain: Any) -> None:
    with pytest.raises(ValueError, match=r"\$|hash|invalid|UUID"):
        from_typed(plain)
