"""Scalars that msgpack does not know, as extension types. The table at the top of `codec` is the format."""

from __future__ import annotations

import sys
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID
from zoneinfo import ZoneInfo

from msgpack import ExtType  # type: ignore[import-untyped]  # it ships no types

from ccs._core.values.unstorable import Refused, refuse

__all__ = ["READERS", "WRITERS", "from_numpy", "is_numpy_scalar", "numpy_number", "write_integer", "write_text"]

# Code 5 is a set: see `codec`.
_BIG_INT: Final = 1
_DATETIME: Final = 2
_UUID: Final = 3
_DECIMAL: Final = 4
_DATE: Final = 6
_TIME: Final = 7
_TIMEDELTA: Final = 8
_ZONED: Final = 9

_MICROSECOND: Final = timedelta(microseconds=1)
_SECOND_FOLD: Final = "[_fold=1]"

# Writing: each function returns what the packer takes for a value.


def write_integer(value: int) -> int | ExtType:
    """Returns an int unchanged, or as an extension if it is too large for msgpack."""
    if -(2**63) <= value < 2**64:
        return value
    return ExtType(_BIG_INT, _signed(value))


def write_text(value: str) -> str:
    """Returns a str unchanged. Raises `Refused` if it has no UTF-8 form."""
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise Refused("str with a lone surrogate", "UTF-8 cannot carry it; store bytes") from error
    return value


def _signed(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


def _datetime(value: datetime) -> ExtType:
    offset = value.utcoffset()
    if value.tzinfo is None or offset is None:
        raise Refused("naive datetime", "give it a timezone, as datetime.now(timezone.utc) has")
    _check_offset("datetime", offset)
    spelled = datetime.isoformat(value)
    zone = value.tzinfo
    if not isinstance(zone, ZoneInfo) or not zone.key:
        return ExtType(_DATETIME, spelled.encode())
    return ExtType(_ZONED, f"{spelled}[{zone.key}]{_fold(value)}".encode())


def _time(value: time) -> ExtType:
    offset = value.utcoffset()
    if value.tzinfo is not None and offset is None:
        raise Refused("time", "its zone has no UTC offset without a date; store a datetime, or the zone beside it")
    _check_offset("time", offset)
    return ExtType(_TIME, f"{time.isoformat(value)}{_fold(value)}".encode())


def _fold(value: datetime | time) -> str:
    return _SECOND_FOLD if value.fold else ""


def _check_offset(what: str, offset: timedelta | None) -> None:
    if offset is not None and offset.microseconds:  # fromisoformat loses an offset of less than a second
        raise Refused(what, "its UTC offset has a fraction of a second; use .astimezone(timezone.utc)")


def _date(value: date) -> ExtType:
    return ExtType(_DATE, date.isoformat(value).encode())


def _timedelta(value: timedelta) -> ExtType:
    return ExtType(_TIMEDELTA, _signed(value // _MICROSECOND))


def _uuid(value: UUID) -> ExtType:
    return ExtType(_UUID, value.bytes)


def _decimal(value: Decimal) -> ExtType:
    return ExtType(_DECIMAL, Decimal.__str__(value).encode())


WRITERS: Final[dict[type, Callable[[Any], ExtType]]] = {  # datetime is a subclass of date, so it comes first
    datetime: _datetime,
    date: _date,
    time: _time,
    timedelta: _timedelta,
    UUID: _uuid,
    Decimal: _decimal,
}


# Reading: any payload, also a hostile one, gives a value, or raises ValueError, TypeError or ArithmeticError.


def _read_zoned(payload: bytes) -> datetime:
    spelled, _, rest = payload.decode().partition("[")
    key, _, tags = rest.partition("]")
    moment = datetime.fromisoformat(spelled)
    if moment.tzinfo is None:
        raise ValueError("a datetime in a zone has no UTC offset")
    zone = _zone(key)
    if zone is None:
        return moment
    local = moment.replace(tzinfo=zone, fold=int(tags == _SECOND_FOLD))
    # If the rules of the zone have changed since, the instant is kept, not the local time.
    return local if local.utcoffset() == moment.utcoffset() else moment.astimezone(zone)


def _read_time(payload: bytes) -> time:
    spelled, opened, _ = payload.decode().partition("[")
    return time.fromisoformat(spelled).replace(fold=1 if opened else 0)


def _zone(key: str) -> ZoneInfo | None:
    try:
        return ZoneInfo(key)
    except (KeyError, ValueError, OSError):  # not installed here, or not a zone
        return None


def _read_integer(payload: bytes) -> int:
    return int.from_bytes(payload, "big", signed=True)


READERS: Final[dict[int, Callable[[bytes], Any]]] = {
    _BIG_INT: _read_integer,
    _DATETIME: lambda payload: datetime.fromisoformat(payload.decode()),
    _UUID: lambda payload: UUID(bytes=payload),
    _DECIMAL: lambda payload: Decimal(payload.decode()),
    _DATE: lambda payload: date.fromisoformat(payload.decode()),
    _TIME: _read_time,
    _TIMEDELTA: lambda payload: timedelta(microseconds=_read_integer(payload)),
    _ZONED: _read_zoned,
}


# numpy is an extra: its scalars exist only in a program that has imported it.


def is_numpy_scalar(value: object) -> bool:
    """Returns whether a value is a numpy scalar."""
    generic = getattr(sys.modules.get("numpy"), "generic", None)
    return generic is not None and isinstance(value, generic)


def from_numpy(value: Any) -> Any:
    """Returns a numpy scalar as a value of Python's own types, and any other value unchanged."""
    return value.item() if is_numpy_scalar(value) else value


_NO_NUMBERS: Final = {
    "M": "store a datetime with a timezone",
    "m": "store a timedelta",
    "c": "store its .real and its .imag",
}


def numpy_number(value: Any) -> bool | int | float:
    """Returns a numpy scalar as a Python number. Raises `Refused` if it is not a number, or a float cannot hold it."""
    kind = value.dtype.kind
    if kind in "biu":
        return value.item()  # type: ignore[no-any-return]  # bool, signed and unsigned
    if kind == "f":
        return _float_of(value)
    refuse(value, _NO_NUMBERS.get(kind, ""))


def _float_of(value: Any) -> float:
    number = float(value)
    if number != value and value == value:  # a longdouble; NaN differs from itself
        refuse(value, "a float has not as many digits; store float(…) or str(…) of it")
    return number
