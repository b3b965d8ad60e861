"""A caller's value as the text of an error shows it."""

from __future__ import annotations

__all__ = ["shown"]

_MOST = 200


def shown(value: object) -> str:
    """Returns the `repr` of a value, cut if it is long. Never raises: if the `repr` fails, the type is named instead."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # a value that is too deep, too large, or broken
        return f"<a {type(value).__name__} that cannot be shown>"
    return text if len(text) <= _MOST else f"{text[:_MOST]}…"
