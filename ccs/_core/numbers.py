"""Whole numbers that callers give: revisions, limits, counts."""

from __future__ import annotations

from ccs.errors import InvalidValue

__all__ = ["whole"]


def whole(name: str, value: object, wanted: str, least: int = 0) -> int:
    """The value, if it is a whole number from `least` on; else `InvalidValue`, which says what is `wanted`."""
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidValue(f"{name} is {value!r}: give {wanted}")
    return value
