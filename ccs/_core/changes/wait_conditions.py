"""The condition that `wait_for` waits for."""

from __future__ import annotations

import inspect
from typing import Any

from ccs._core.error_text import shown
from ccs._core.times import Duration, seconds
from ccs.errors import InvalidValue
from ccs.types import Entry

__all__ = ["holds", "missed"]


def holds(entry: Entry, until: Any) -> bool:
    """Returns whether the entry's value equals `until`, or `until(value)` is true. With None, existing is enough.

    Raises `InvalidValue` if `until` is a coroutine function.
    """
    if until is None:
        return True
    if not callable(until):
        return bool(entry.value == until)
    verdict = until(entry.value)
    if inspect.iscoroutine(verdict):
        verdict.close()
        raise InvalidValue(f"{shown(until)} is a coroutine function: give a plain one, of the value")
    return bool(verdict)


def missed(path: str, address: str, until: Any, last: Entry | None, timeout: Duration | None) -> str:
    """Returns the text of the error for a condition that did not hold in time."""
    wanted = "exist" if until is None else "satisfy the condition" if callable(until) else f"be {shown(until)}"
    found = f"it is {shown(last.value)}" if last else "it is not there"
    return f"waited {seconds(timeout or 0):g} seconds for {path!r} in {address} to {wanted}; {found}"
