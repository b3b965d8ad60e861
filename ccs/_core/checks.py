"""Numbers that callers give: revisions, limits, counts, and shares of one."""

from __future__ import annotations

import math
from collections.abc import Iterable
from numbers import Real
from typing import Any

from ccs._core.shown import shown
from ccs.errors import InvalidValue

__all__ = ["integer", "listed", "real"]

# What a server can count to.
_MOST = 2**63 - 1


def listed(name: str, value: object, wanted: str) -> list[Any]:
    """What is in the value, if it is a collection and no text; else `InvalidValue`, which says what is `wanted`."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Iterable):
        raise InvalidValue(f"{name} is {shown(value)}: give {wanted}")
    return list(value)


def integer(name: str, value: object, wanted: str, least: int = 0, most: float = _MOST) -> int:
    """The value, if it is a whole number from `least` to `most`; else `InvalidValue`, which says what is `wanted`."""
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidValue(f"{name} is {shown(value)}: give {wanted}")
    return value


def real(name: str, value: object, wanted: str, least: float, most: float) -> float:
    """The value as a float, if it is a number within these bounds; else `InvalidValue`, which says what is `wanted`."""
    if isinstance(value, bool) or not isinstance(value, Real):
        raise InvalidValue(f"{name} is {shown(value)}: give {wanted}")
    try:
        number = float(value)
    except OverflowError:  # an integer that no float reaches
        number = math.nan
    if not least <= number <= most:
        raise InvalidValue(f"{name} is {shown(value)}: give {wanted}")
    return number
