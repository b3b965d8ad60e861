"""What callers gave, as the text of an error shows it."""

from __future__ import annotations

__all__ = ["shown"]

_MOST = 200


def shown(value: object) -> str:
    """The `repr` of a value, cut where it is long; its type where it has none: an error must not fail at its own text."""
    try:
        text = repr(value)
    except Exception:  # noqa: BLE001  # whatever a repr raises: of a value that is too deep, too large, or broken
        return f"<a {type(value).__name__} that cannot be shown>"
    return text if len(text) <= _MOST else f"{text[:_MOST]}…"
