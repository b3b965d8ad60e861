"""Conditions on metadata: `where={"source": "seen", "year": {"$gte": 2020, "$lt": 2030}}`.

Under each key is a value to equal, or a map of operators. All of it must hold.

    $eq $ne             the value is equal, or not; maps and lists are compared with all that is in them
    $gt $gte $lt $lte   the value is of the operand's kind and so ordered: numbers, texts, bytes, dates, times, durations
    $in $nin            the value is equal to one of a list, or to none
    $exists             the key exists (True) or not (False)

`1` equals `1.0`, but True is not 1. A missing key equals nothing, so `$ne` and `$nin` hold for it. Any other name with a
`$`, and an operator anywhere else, is refused: it would silently match nothing, or everything.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any

from ccs._core.codec import decode, encode
from ccs._core.memory.records import Kept, map_of
from ccs._core.quoted_values import shown
from ccs.errors import InvalidValue

__all__ = ["Accept", "having", "some_of"]

Accept = Callable[[Kept], bool]
Test = Callable[[Any], bool]

_MISSING = object()
_TRUE = object()
_FALSE = object()
# The types that can be ordered, each with its kind: only values of one kind are compared.
_KINDS: dict[type, str] = {
    int: "number",
    float: "number",
    Decimal: "number",
    **{kind: kind.__name__ for kind in (str, bytes, datetime, date, time, timedelta)},
}


def having(where: Mapping[str, Any] | None) -> Accept | None:
    """Returns the filter for memories whose metadata matches; None without a condition.

    Raises `InvalidValue` for a malformed condition.
    """
    # In the form in which it would be stored: a tuple becomes a list.
    wanted = decode(encode(map_of(where, "where")))
    if not wanted:
        return None
    tests = [(key, test) for key, value in wanted.items() for test in _tests(key, value)]

    def has_them(memory: Kept) -> bool:
        metadata = memory.value["metadata"]
        try:
            for key, test in tests:  # all(…) takes four times as long, and this runs for every memory
                if not test(metadata.get(key, _MISSING)):
                    return False
        except ArithmeticError:  # a signalling NaN of Decimal cannot be compared
            return False
        return True

    return has_them


def some_of(where: Mapping[str, Any]) -> Accept:
    """Returns the same as `having`. Raises `InvalidValue` also without a condition: a removal would remove everything."""
    accept = having(where)
    if accept is None:
        raise InvalidValue(f"where is {shown(where)}: give at least one condition, else everything would be removed")
    return accept


def _tests(key: Any, wanted: Any) -> list[Test]:
    """Returns the tests that the value under a key must pass."""
    if _is_operator(key):
        raise InvalidValue(f"where has {shown(key)} instead of a key; operators go under one: {{'year': {{'$gt': 1}}}}")
    if not (isinstance(wanted, dict) and any(map(_is_operator, wanted))):
        _check_plain(key, wanted)
        return [_equals(wanted)]
    for name in wanted:
        if name not in _OPERATORS:
            raise InvalidValue(f"where has {shown(name)} under {shown(key)}: the operators are {', '.join(_OPERATORS)}")
    return [_OPERATORS[name](operand) for name, operand in wanted.items()]


def _is_operator(key: Any) -> bool:
    return isinstance(key, str) and key.startswith("$")


def _check_plain(key: Any, wanted: Any) -> None:
    """Refuses operators deeper inside a value: they apply only directly under a key."""
    inner = wanted.values() if isinstance(wanted, dict) else wanted if isinstance(wanted, list) else ()
    for each in inner:
        if isinstance(each, dict) and any(map(_is_operator, each)):
            raise InvalidValue(
                f"where has operators inside of {shown(key)}, and they go only directly under a key; "
                "give the full value, with $eq if it really holds names with a $"
            )
        _check_plain(key, each)


def _equals(wanted: Any) -> Test:
    if isinstance(wanted, (bool, dict, list, set)):
        marked = _marked(wanted)
        return lambda value: bool(_marked(value) == marked)
    return lambda value: bool(value == wanted) and not isinstance(value, bool)


def _differs(wanted: Any) -> Test:
    equals = _equals(wanted)
    return lambda value: not equals(value)


def _among(wanted: Any) -> Test:
    if not isinstance(wanted, (list, set)):
        raise InvalidValue(f"$in and $nin take a list, not {shown(wanted)}")
    choices = list(map(_marked, wanted))
    return lambda value: _marked(value) in choices


def _beside(wanted: Any) -> Test:
    among = _among(wanted)
    return lambda value: not among(value)


def _ordered(compare: Callable[[Any, Any], bool]) -> Callable[[Any], Test]:
    def test_of(wanted: Any) -> Test:
        kind = _KINDS.get(type(wanted))
        if kind is None:
            raise InvalidValue(
                f"{shown(wanted)} has no order: give a number, text, bytes, a date, a time or a duration"
            )

        def holds(value: Any) -> bool:
            try:
                return _KINDS.get(type(value)) == kind and compare(value, wanted)
            except TypeError:  # one time has a zone, the other has none
                return False

        return holds

    return test_of


def _exists(wanted: Any) -> Test:
    if not isinstance(wanted, bool):
        raise InvalidValue(f"$exists takes True or False, not {shown(wanted)}")
    return lambda value: (value is not _MISSING) is wanted


def _marked(value: Any) -> Any:
    """Returns the value with marks instead of True and False, which in Python equal 1 and 0."""
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    if isinstance(value, dict):
        return {_marked(key): _marked(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_marked(each) for each in value]
    return {_marked(each) for each in value} if isinstance(value, set) else value


_OPERATORS: dict[str, Callable[[Any], Test]] = {
    "$eq": _equals,
    "$ne": _differs,
    "$gt": _ordered(operator.gt),
    "$gte": _ordered(operator.ge),
    "$lt": _ordered(operator.lt),
    "$lte": _ordered(operator.le),
    "$in": _among,
    "$nin": _beside,
    "$exists": _exists,
}
