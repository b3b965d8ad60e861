"""When is what somebody waits for there?"""

from __future__ import annotations

from typing import Any

from ccs.types import Entry

__all__ = ["holds"]


def holds(entry: Entry, until: Any) -> bool:
    """Whether the entry's value is `until`, or `until(value)` is true; None: that it exists is enough."""
    if until is None:
        return True
    return bool(until(entry.value)) if callable(until) else bool(entry.value == until)
