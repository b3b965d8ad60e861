"""Checks of arguments: numbers within bounds, truth values, and collections."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real
from typing import Any

from ccs._core.quoted_values import shown
from ccs.errors import InvalidValue

__all__ = ["flag", "integer", "listed", "real"]

# The largest integer of a server.
_MOST = 2**63 - 1


def listed(name: str, value: object, wanted: str) -> list[Any]:
    """Returns the items of a collection. Raises `InvalidValue`, which says what is `wanted`, for text and all else."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise InvalidValue(f"{name} is {shown(value)}: give {wanted}")
    return list(value)


def flag(name: str, value: object) -> bool:
    """Returns the value. Raises `InvalidValue` unless it is True or False."""
    if not isinstance(value, bool):
        raise InvalidValue(f"{name} is {shown(value)}: give True or False")
    return value


def integer(name: str, value: object, wanted: str, least: int = 0, most: float = _MOST) -> int:
    """Returns the value. Raises `InvalidValue`, which says what is `wanted`, unless it is an int from `least` to `most`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidValue(f"{name} is {shown(value)}: give {wanted}")
    return value


def real(name: str, value: object, wanted: str, least: float, most: float) -> float:
    """Returns the value as a float. Raises `InvalidValue`, which says what is `wanted`, unless it is within the bounds."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidValue(f"{name} is {shown(value)}: give {wanted}")
    try:
        number = float(value)
    except OverflowError:  # an integer that is too large for a float
        number = math.nan
    if not least <= number <= most:
        raise InvalidValue(f"{name} is {shown(value)}: give {wanted}")
    return number
