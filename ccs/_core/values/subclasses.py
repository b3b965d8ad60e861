"""Instances of subclasses of builtin types: stored as their base, or refused if they hold more than that.

Added behaviour (a default factory, methods) is not part of the value. Added attributes are, and so is what makes the
instance differ from its base, such as the nanoseconds of pandas.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from ccs._core.values.scalars import WRITERS, write_integer, write_text
from ccs._core.values.unstorable import Refused

__all__ = ["BASES", "as_base", "attributes"]

_TIMES: Final = (datetime, date, time, timedelta)


def as_base(value: Any, base: type) -> Any:
    """Returns what the packer takes for an instance of a subclass of `base`. Raises `Refused` if it holds more."""
    more = attributes(value, base)
    if more:
        shown = ", ".join(sorted(more)[:3])
        raise Refused(type(value).__name__, f"as a {base.__name__} it would lose its {shown}; store those beside it")
    try:
        return BASES[base](value)
    except Refused:
        raise
    except (TypeError, ValueError, AttributeError) as error:  # it does not behave as its base, such as pandas' NaT
        raise Refused(type(value).__name__, str(error)) from error


def attributes(value: Any, base: type = object) -> dict[str, Any]:
    """Returns the attributes in an object's own dict and slots, without those of `base`."""
    state = object.__getstate__(value)
    if getattr(value, "__dict__", None) is value:  # a dict whose items are its attributes
        return {}
    parts = state if type(state) is tuple else (state,)
    found = {name: item for part in parts if part for name, item in part.items()}
    return {name: item for name, item in found.items() if not _is_own(name, base)}


def _is_own(name: str, base: type) -> bool:
    # The times of pandas cache computed values in private attributes.
    return name in getattr(base, "__slots__", ()) or (name.startswith("_") and base in _TIMES)


def _of_kin(value: Any, plain: Any) -> Any:
    """Returns the packed form of `plain`, the same time or duration. Raises `Refused` if the value has a finer unit."""
    if value == plain:
        return WRITERS[type(plain)](plain)
    raise Refused(type(value).__name__, f"no {type(plain).__name__} is equal to it; round it to microseconds")


def _clock(value: datetime | time) -> tuple[Any, ...]:
    return value.hour, value.minute, value.second, value.microsecond, value.tzinfo


def _datetime(value: datetime) -> Any:
    plain = datetime(value.year, value.month, value.day, *_clock(value), fold=value.fold)  # noqa: DTZ001 - it is in there
    return _of_kin(value, plain)


def _date(value: date) -> Any:
    return _of_kin(value, date(value.year, value.month, value.day))


def _time(value: time) -> Any:
    return _of_kin(value, time(*_clock(value), fold=value.fold))


def _timedelta(value: timedelta) -> Any:
    return _of_kin(value, timedelta(value.days, value.seconds, value.microseconds))


BASES: Final[dict[type, Callable[[Any], Any]]] = {  # datetime is a subclass of date, so it comes first
    str: lambda value: write_text(str.__str__(value)),
    int: lambda value: write_integer(int.__pos__(value)),
    float: float.__pos__,
    bytes: lambda value: bytes(memoryview(value)),
    bytearray: lambda value: bytes(memoryview(value)),
    dict: dict,
    list: list,
    tuple: list,
    set: set,
    frozenset: frozenset,
    datetime: _datetime,
    date: _date,
    time: _time,
    timedelta: _timedelta,
    UUID: WRITERS[UUID],
    Decimal: WRITERS[Decimal],
}
