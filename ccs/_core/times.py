"""Durations and moments: seconds for callers, milliseconds and microseconds for the server."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta

from ccs._core.quoted_values import shown
from ccs.errors import InvalidValue

__all__ = ["Duration", "from_micros", "from_millis", "millis", "seconds", "to_micros"]

Duration = float | timedelta

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LONGEST = 100 * 365 * 86400.0


def seconds(duration: Duration, name: str = "duration", *, least: float = 0.0) -> float:
    """Returns a duration in seconds. Raises `InvalidValue` unless it is a number from `least` to a hundred years."""
    value = duration.total_seconds() if isinstance(duration, timedelta) else duration
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not least <= value <= _LONGEST:
        raise InvalidValue(
            f"{name} is {shown(duration)}: give seconds or a timedelta, from {least:g} to a hundred years"
        )
    return float(value)


def millis(duration: Duration, name: str = "ttl") -> int:
    """Returns a duration in milliseconds, rounded up to an integer, at least 1."""
    return max(1, math.ceil(seconds(duration, name, least=0.001) * 1000))


def to_micros(moment: datetime) -> int:
    """Returns an aware datetime in microseconds after the epoch. Raises `InvalidValue` for anything else."""
    if not isinstance(moment, datetime):
        raise InvalidValue(f"{shown(moment)} is not a datetime: give an aware one")
    if moment.tzinfo is None or moment.utcoffset() is None:
        raise InvalidValue(f"{shown(moment)} is naive: give it a timezone, as datetime.now(timezone.utc) has")
    return (moment - _EPOCH) // timedelta(microseconds=1)


def from_micros(value: int) -> datetime:
    """Returns the UTC datetime of a time in microseconds after the epoch."""
    return _EPOCH + timedelta(0, 0, value)


def from_millis(value: int) -> datetime:
    """Returns the UTC datetime of a time in milliseconds after the epoch."""
    return _EPOCH + timedelta(milliseconds=value)
