"""Edits of a value: added to, appended to, merged into. What they cannot change is `InvalidValue`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ccs._core.quoted_values import shown
from ccs._core.values.merge import merge_patch
from ccs._core.values.scalars import from_numpy
from ccs.errors import InvalidValue

__all__ = ["SMALL", "added", "appended", "checked_bound", "checked_patch", "checked_step", "merged", "number"]

SMALL = 2**53
"""The script computes with integers that are smaller."""


def checked_step(path: str, by: Any) -> int | float:
    """Returns what to add. Raises `InvalidValue` unless it is a number."""
    by = from_numpy(by)
    if isinstance(by, bool) or not isinstance(by, (int, float)):
        raise InvalidValue(f"{shown(path)} cannot be incremented by {shown(by)}: give a number")
    return by


def added(path: str, value: Any, by: float) -> int | float:
    """Returns the sum of a number and `by`."""
    try:
        return number(path, value) + by
    except OverflowError:
        raise InvalidValue(
            f"{shown(path)} holds an integer that is too large to add a fraction to; set it instead"
        ) from None


def number(path: str, value: Any) -> int | float:
    """Returns the value. Raises `InvalidValue` unless it is a number."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise InvalidValue(f"{shown(path)} holds {type(value).__name__}, not a number; set it instead")
    return value


def checked_bound(most: Any) -> int:
    """Returns how many items to keep. Raises `InvalidValue` unless it is a number of them."""
    if isinstance(most, bool) or not isinstance(most, int) or most < 1:
        raise InvalidValue(f"max_items is {shown(most)}: give how many to keep, at least one")
    return most


def appended(path: str, value: Any, items: Sequence[Any], most: int | None) -> list[Any]:
    """Returns a list with items at its end, the last `most` of them."""
    if not isinstance(value, list):
        raise InvalidValue(f"{shown(path)} holds {type(value).__name__}, not a list; set it instead")
    longer = [*value, *items]
    return longer if most is None else longer[-most:]


def checked_patch(plain: Any, given: object) -> dict[Any, Any]:
    """Returns a patch. Raises `InvalidValue` unless it is a map."""
    if not isinstance(plain, dict):
        raise InvalidValue(f"a patch is a map, not {type(given).__name__}")
    return plain


def merged(path: str, value: Any, patch: dict[Any, Any]) -> Any:
    """Returns a map with a patch merged into it, by RFC 7396."""
    if not isinstance(value, dict):
        raise InvalidValue(f"{shown(path)} holds {type(value).__name__}, not a map; set it instead")
    return merge_patch(value, patch)
