"""Numbers that callers give: revisions, limits, counts, and shares of one."""

from __future__ import annotations

from collections.abc import Iterable
from numbers import Real
from typing import Any

from ccs.errors import InvalidValue

__all__ = ["listed", "real", "whole"]


def listed(name: str, value: object, wanted: str) -> list[Any]:
    """What is in the value, if it is a collection and no text; else `InvalidValue`, which says what is `wanted`."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise InvalidValue(f"{name} is {value!r}: give {wanted}")
    return list(value)


def whole(name: str, value: object, wanted: str, least: int = 0) -> int:
    """The value, if it is a whole number from `least` on; else `InvalidValue`, which says what is `wanted`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidValue(f"{name} is {value!r}: give {wanted}")
    return value


def real(name: str, value: object, wanted: str, least: float, most: float) -> float:
    """The value as a float, if it is a number within these bounds; else `InvalidValue`, which says what is `wanted`."""
    if isinstance(value, bool) or not isinstance(value, Real) or not least <= float(value) <= most:
        raise InvalidValue(f"{name} is {value!r}: give {wanted}")
    return float(value)
