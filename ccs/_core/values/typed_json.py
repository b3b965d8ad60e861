"""Values as JSON that keeps every type of the codec: what JSON has not is a map of one key that begins with `$`.

| key | holds |
| --- | --- |
| `$int` | the digits of an integer beyond ±2**53, which other readers of JSON would round |
| `$float` | `nan`, `inf` or `-inf` |
| `$bytes` | base64 |
| `$datetime` | ISO 8601 with its UTC offset, then the name of the zone if there is one: `…+01:00[Europe/Berlin]` |
| `$date`, `$time` | ISO 8601 |
| `$timedelta` | microseconds, as digits |
| `$uuid`, `$decimal` | as `str` gives them |
| `$set` | a list of the members |
| `$map` | a list of pairs: a map with other keys than text, or with a key that begins with `$` |
"""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, Final
from uuid import UUID

from ccs._core.values.scalars import READERS, WRITERS

__all__ = ["from_typed", "to_typed"]

_SAFE: Final = 2**53
_MICROSECOND: Final = timedelta(microseconds=1)
# The codes of the codec whose text is used here.
_TIME: Final = 7
_ZONED: Final = 9


# Writing


def to_typed(value: Any) -> Any:
    """Returns a value that was read from a store, in the types of JSON."""
    write = _WRITERS.get(type(value))
    return write(value) if write else value


def _map(items: dict[Any, Any]) -> Any:
    if all(isinstance(key, str) and not key.startswith("$") for key in items):
        return {key: to_typed(each) for key, each in items.items()}
    return {"$map": [[to_typed(key), to_typed(each)] for key, each in items.items()]}


def _spelled(value: Any) -> str:
    """Returns the text that the codec has for a date or time, with its zone."""
    spelled: bytes = WRITERS[type(value)](value).data
    return spelled.decode()


_WRITERS: Final[dict[type, Callable[[Any], Any]]] = {
    int: lambda value: value if -_SAFE <= value <= _SAFE else {"$int": str(value)},
    float: lambda value: value if math.isfinite(value) else {"$float": repr(value)},
    bytes: lambda value: {"$bytes": base64.b64encode(value).decode()},
    datetime: lambda value: {"$datetime": _spelled(value)},
    date: lambda value: {"$date": _spelled(value)},
    time: lambda value: {"$time": _spelled(value)},
    timedelta: lambda value: {"$timedelta": str(value // _MICROSECOND)},
    UUID: lambda value: {"$uuid": str(value)},
    Decimal: lambda value: {"$decimal": str(value)},
    set: lambda value: {"$set": sorted(map(to_typed, value), key=json.dumps)},
    list: lambda value: list(map(to_typed, value)),
    dict: _map,
}


# Reading


def from_typed(value: Any) -> Any:
    """Returns the value that `to_typed` was given. Raises `ValueError` for a key with `$` that is unknown or does not fit."""
    if isinstance(value, list):
        return list(map(from_typed, value))
    if not isinstance(value, dict):
        return value
    if not any(key.startswith("$") for key in value):
        return {key: from_typed(each) for key, each in value.items()}
    if len(value) > 1:
        raise ValueError("a map with a key that begins with $ has no other keys; write it as $map, a list of pairs")
    ((key, content),) = value.items()
    return _read(key, content)


def _read(key: str, content: Any) -> Any:
    read = _READERS.get(key)
    if not read:
        raise ValueError(f"the type {key!r} is unknown here")
    if not isinstance(content, list if key in _LISTS else str):
        raise ValueError(f"what {key!r} holds is not {'a list' if key in _LISTS else 'text'}")
    try:
        return read(content)
    except (TypeError, ArithmeticError) as error:
        raise ValueError(f"what {key!r} holds is not of that type: {error}") from error


def _read_map(pairs: list[Any]) -> dict[Any, Any]:
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        raise ValueError("what '$map' holds is not a list of pairs")
    return {from_typed(key): from_typed(each) for key, each in pairs}


_LISTS: Final = frozenset(("$set", "$map"))
_READERS: Final[dict[str, Callable[[Any], Any]]] = {
    "$int": int,
    "$float": float,
    "$bytes": lambda text: base64.b64decode(text, validate=True),
    "$datetime": lambda text: READERS[_ZONED](text.encode()),
    "$date": date.fromisoformat,
    "$time": lambda text: READERS[_TIME](text.encode()),
    "$timedelta": lambda text: timedelta(microseconds=int(text)),
    "$uuid": UUID,
    "$decimal": Decimal,
    "$set": lambda members: set(map(from_typed, members)),
    "$map": _read_map,
}
