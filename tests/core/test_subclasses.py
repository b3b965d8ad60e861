"""Subclasses of plain types: stored if they hold nothing more, else refused with advice."""

from __future__ import annotations

import asyncio
import collections
import dataclasses
import enum
import fractions
import io
import threading
from collections.abc import Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np
import pytest

from ccs._core.codec import decode, encode, validate
from ccs.errors import EncodingError

NOW = datetime(2025, 1, 2, 3, 4, 5, tzinfo=UTC)
PLAIN: list[Any] = [
    "a", 5, 2**70, -0.0, b"a", {"a": 1}, [1], (1,), {1}, frozenset([1]), NOW, date(2025, 1, 2), time(1, 2),
    timedelta(1), UUID(int=1), Decimal("1.10"),
]  # fmt: skip


def subclass(plain: Any, **namespace: Any) -> type[Any]:
    return type("Special", (type(plain),), namespace)


def made(cls: type[Any], plain: Any) -> Any:
    """The plain value as one of a subclass."""
    if isinstance(plain, datetime):
        return cls.fromtimestamp(plain.timestamp(), UTC)
    if isinstance(plain, date | time):
        return cls.fromisoformat(plain.isoformat())
    return cls(days=1) if isinstance(plain, timedelta) else cls(str(plain) if isinstance(plain, UUID) else plain)


@dataclasses.dataclass
class Box:
    it: Any


@pytest.mark.parametrize("plain", PLAIN, ids=lambda plain: type(plain).__name__)
def test_a_value_of_a_subclass_is_kept_if_it_holds_nothing_more(plain: Any) -> None:
    value = made(subclass(plain), plain)
    back = decode(encode([value]))[0]
    assert (back, type(back)) == (decode(encode(plain)), type(decode(encode(plain))))


@pytest.mark.parametrize("plain", PLAIN, ids=lambda plain: type(plain).__name__)
@pytest.mark.parametrize("wrap", [lambda value: value, lambda value: [value], Box])
def test_a_value_of_a_subclass_is_refused_if_it_has_attributes(wrap: Callable[[Any], Any], plain: Any) -> None:
    value = made(subclass(plain), plain)
    object.__setattr__(value, "more", 1)  # a UUID does not let itself be changed otherwise
    with pytest.raises(EncodingError, match=r"cannot store Special at value.* would lose its more"):
        encode(wrap(value))


@pytest.mark.parametrize("plain", ["a", {"a": 1}, [1], {1}, NOW], ids=lambda plain: type(plain).__name__)
def test_an_attribute_in_a_slot_counts(plain: Any) -> None:
    value = made(subclass(plain, __slots__=("more",)), plain)
    assert decode(encode([value])) == [plain]
    value.more = 1
    with pytest.raises(EncodingError, match="would lose its more"):
        encode([value])


class Attributes(dict[str, Any]):
    """The well-known trick: items that are read as attributes."""

    def __init__(self, **items: Any) -> None:
        super().__init__(items)
        self.__dict__ = self


class Fine(datetime):
    """A moment with nanoseconds, as that of pandas."""

    def __eq__(self, other: object) -> bool:
        return False

    __hash__ = datetime.__hash__


def test_a_dict_whose_items_are_its_attributes_holds_nothing_more() -> None:
    assert decode(encode([Attributes(a=1)])) == [{"a": 1}]


def test_a_time_finer_than_microseconds_is_refused() -> None:
    for wrap in (lambda value: [value], Box):
        with pytest.raises(EncodingError, match=r"cannot store Fine at value.*round it to microseconds"):
            encode(wrap(Fine(2025, 1, 2, tzinfo=UTC)))


class Aloof(str):
    """A text that is equal to nothing but itself."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


@pytest.mark.parametrize("value", [{Aloof("a"): 1, "a": 2}, {Aloof("a"), "a"}, frozenset([Aloof("a"), Aloof("a")])])
def test_keys_and_members_that_would_become_equal_are_refused(value: Any) -> None:
    with pytest.raises(EncodingError, match="stored as the same one"):
        encode([value])


@pytest.mark.parametrize(
    "value", [{1: "a", "1": "b", b"1": "c", 1.5: "d"}, {0: 1, "": 2, b"": 3, None: 4}, {date(2025, 1, 2): 1, NOW: 2}]
)
def test_keys_of_different_types_stay_apart(value: Any) -> None:
    back = decode(encode(value))
    assert [(type(key), key) for key in back] == [(type(key), key) for key in value]


# numpy.

NUMBERS: list[tuple[Any, Any]] = [
    (np.int8(-1), -1), (np.uint64(2**64 - 1), 2**64 - 1), (np.longlong(5), 5), (np.bool_(True), True),
    (np.float16(0.5), 0.5), (np.float32(0.1), float(np.float32(0.1))), (np.float64(0.1), 0.1),
    (np.longdouble(2), 2.0), (np.str_("a"), "a"), (np.bytes_(b"a"), b"a"), (np.float32("-inf"), float("-inf")),
]  # fmt: skip


@pytest.mark.parametrize(("value", "plain"), NUMBERS, ids=lambda value: type(value).__name__)
def test_a_numpy_scalar_is_stored_as_its_python_value_everywhere(value: Any, plain: Any) -> None:
    for wrap in (
        lambda value: value,
        lambda value: [(value,)],
        lambda value: {value: value},
        lambda value: {value},
        Box,
    ):
        assert encode(wrap(value)) == encode(wrap(plain))
    assert type(decode(encode(value))) is type(plain)
    assert validate(decode(encode(Box(value))), Box) == Box(value)


def test_a_numpy_nan_is_stored_as_nan() -> None:
    assert str(decode(encode(np.float32("nan")))) == "nan"


# What to store instead.


class Colour(enum.Enum):
    RED = 1


def stream() -> Any:
    yield 1


@pytest.mark.parametrize(
    ("value", "hint"),
    [
        (Path("a"), "store str(…) of it"),
        (np.arange(3), "store what .tolist() gives"),
        (np.array(3), "store what .tolist() gives"),
        (
            type("Frame", (), {"to_dict": lambda self: {}, "__len__": len, "__iter__": iter})(),
            "store what .to_dict() gives",
        ),
        (np.longdouble(1) / 3, "a float has not as many digits"),
        (np.datetime64("2025-01-02"), "store a datetime with a timezone"),
        (np.timedelta64(1, "s"), "store a timedelta"),
        (np.complex64(1j), "store its .real and its .imag"),
        (1j, "store its .real and its .imag"),
        (fractions.Fraction(1, 3), "store it as a float or a Decimal"),
        (ValueError("x"), "store what its reader needs, such as str(…) of it"),
        (Colour.RED, "store its .value"),
        (stream(), "it can be read only once"),
        (stream, "store its name"),
        (len, "store its name"),
        (Path, "store its name"),
        (io, "store its name"),
        (io.BytesIO(), "store what it holds, or its path"),
        (collections.ChainMap({}), "store dict(…) of it"),
        (collections.UserString("a"), "store str(…) of it"),
        (collections.deque([1]), "store list(…) of it"),
        (range(3), "store list(…) of it"),
        (threading.Lock(), "store what its reader needs to know of it"),
        (asyncio.Queue(), "store what its reader needs to know of it"),
        (object(), "store what its reader needs to know of it"),
    ],
    ids=lambda value: type(value).__name__ if not isinstance(value, str) else "",
)
@pytest.mark.parametrize("wrap", [lambda value: {"a": [value]}, lambda value: Box([value])], ids=["map", "record"])
def test_what_cannot_be_stored_is_named_with_its_location_and_what_to_store_instead(
    wrap: Callable[[Any], Any], value: Any, hint: str
) -> None:
    with pytest.raises(EncodingError) as caught:
        encode(wrap(value))
    error = caught.value
    assert error.what == type(value).__name__
    assert error.where in ('value["a"][0]', 'value["it"][0]')
    assert hint in error.hint
    assert str(error) == f"cannot store {error.what} at {error.where}; {error.hint}"


def test_a_key_that_cannot_be_shown_does_not_hide_the_error() -> None:
    for key in (10**5_000, type("Mute", (str,), {"__repr__": lambda self: 1 / 0})("a")):
        with pytest.raises(EncodingError, match=r"cannot store complex at value\[<"):
            encode({key: 1j})
