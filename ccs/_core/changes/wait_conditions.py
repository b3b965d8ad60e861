"""The conditions that `wait_for` and `wait_for_count` wait for."""

from __future__ import annotations

import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from ccs._core.quoted_values import shown
from ccs._core.times import Duration, seconds
from ccs.errors import InvalidValue
from ccs.types import Entry

__all__ = ["all_hold", "check_condition", "holds", "missed", "missed_all", "missed_count"]


def holds(value: Any, until: Any) -> bool:
    """Returns whether a value equals `until`, or `until(value)` is true. With None, existing is enough.

    Raises `InvalidValue` if `until` is a coroutine function.
    """
    if until is None:
        return True
    if not callable(until):
        return bool(value == until)
    verdict = until(value)
    if inspect.iscoroutine(verdict):
        verdict.close()
        raise InvalidValue(f"{shown(until)} is a coroutine function: give a plain one, of the value")
    return bool(verdict)


def all_hold(paths: Sequence[str], found: Mapping[str, Entry], until: Any) -> bool:
    """Returns whether the values, by path, of those entries that exist satisfy `until`. With None, all must exist."""
    if until is None:
        return len(found) == len(set(paths))
    return holds(Values(paths, found), until)


class Values(dict[str, Any]):
    """The values of the entries that exist, by path. Looking up one of the `paths` that has no entry gives None."""

    def __init__(self, paths: Iterable[str], found: Mapping[str, Entry]) -> None:
        super().__init__((path, entry.value) for path, entry in found.items())
        self._paths = frozenset(paths)

    def __missing__(self, path: str) -> None:
        if path not in self._paths:
            raise KeyError(path)


def check_condition(until: Any) -> None:
    """Raises `InvalidValue` for what cannot be a condition on several values: `until` has to tell them apart by path."""
    if until is not None and not callable(until) and not isinstance(until, Mapping):
        raise InvalidValue(
            f"until is {shown(until)}: for several paths give a function of the dict of their values, or a dict that they"
            " are to equal"
        )


def missed(path: str, address: str, until: Any, last: Entry | None, timeout: Duration | None) -> str:
    """Returns the text of the error for a condition that did not hold in time."""
    found = f"it is {shown(last.value)}" if last else "it is not there"
    return f"{_waited(timeout)} for {path!r} in {address} to {_wanted(until)}; {found}"


def missed_all(
    paths: Sequence[str], address: str, until: Any, found: Mapping[str, Entry], timeout: Duration | None
) -> str:
    """Returns the text of the error for a condition on several entries that did not hold in time."""
    missing = [path for path in paths if path not in found]
    there = f"{shown(missing)} are not there" if missing else "all are there"
    return f"{_waited(timeout)} for {shown(list(paths))} in {address} to {_wanted(until)}; {there}"


def missed_count(pattern: str, address: str, wanted: int, found: int, timeout: Duration | None) -> str:
    """Returns the text of the error for entries that were too few in time."""
    return f"{_waited(timeout)} for {wanted} entries that match {pattern!r} in {address}; there are {found}"


def _waited(timeout: Duration | None) -> str:
    return f"waited {seconds(timeout or 0):g} seconds"


def _wanted(until: Any) -> str:
    return "exist" if until is None else "satisfy the condition" if callable(until) else f"be {shown(until)}"
