"""Values as JSON for the page: what JSON cannot hold is a map with one key that begins with `$`; and short texts of them."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

__all__ = ["cut", "dumps", "plain", "preview"]

# Integers beyond this are no exact numbers in a browser.
_EXACT = 2**53 - 1
_DEEPEST = 100
_PREVIEW = 140
_PREVIEW_DEPTH = 4

_quoted = json.JSONEncoder(ensure_ascii=False).encode


def dumps(value: Any) -> str:
    """Returns JSON without spaces, on one line."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def plain(value: Any, depth: int = 0) -> Any:
    """Returns a value in the types of JSON, every type kept: `{"$bytes": …}`, `{"$datetime": …}`, `{"$int": "…"}`, …"""
    if value is None or isinstance(value, (bool, str)):
        return value
    if depth > _DEEPEST:
        return {"$deep": preview(value)}
    if isinstance(value, dict):
        return _map(value, depth)
    if isinstance(value, (list, tuple)):
        return [plain(each, depth + 1) for each in value]
    return _scalar(value, depth)


def _map(value: dict[Any, Any], depth: int) -> Any:
    if all(isinstance(key, str) and not key.startswith("$") for key in value):
        return {key: plain(each, depth + 1) for key, each in value.items()}
    return {"$map": [[plain(key, depth + 1), plain(each, depth + 1)] for key, each in value.items()]}


_TYPES: tuple[tuple[type, str, Callable[[Any], Any]], ...] = (
    (datetime, "$datetime", datetime.isoformat),
    (bytes, "$bytes", lambda raw: base64.b64encode(raw).decode()),
    (UUID, "$uuid", str),
    (Decimal, "$decimal", str),
)


def _scalar(value: Any, depth: int) -> Any:
    if isinstance(value, int):
        return value if abs(value) <= _EXACT else {"$int": str(value)}
    if isinstance(value, float):
        return value if math.isfinite(value) else {"$float": str(value)}
    for kind, mark, convert in _TYPES:
        if isinstance(value, kind):
            return {mark: convert(value)}
    if isinstance(value, (set, frozenset)):
        return {"$set": sorted((plain(each, depth + 1) for each in value), key=dumps)}
    return {"$other": str(value)}


def cut(value: Any, most: int) -> Any:
    """Returns a value as `plain` does or, where its JSON is longer than `most` characters, the beginning of that text."""
    shown = plain(value)
    text = dumps(shown)
    return shown if len(text) <= most else {"$cut": text[: most // 16], "size": len(text)}


def preview(value: Any, most: int = _PREVIEW) -> str:
    """Returns a short text of a value, of at most `most` characters, without walking through all of a large one."""
    text = _text(value, 0, most)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _text(value: Any, depth: int, left: int) -> str:
    """Returns the text of a value, or its beginning, if that has more than `left` characters."""
    if isinstance(value, str):
        return _quoted(value[: left + 1])
    if isinstance(value, dict):
        pairs = ((key if isinstance(key, str) else _word(key, left), each) for key, each in value.items())
        return f"{{{_items(pairs, depth, left)}}}" if depth < _PREVIEW_DEPTH else "{…}"
    if isinstance(value, (list, tuple, set, frozenset)):
        return f"[{_items((('', each) for each in value), depth, left)}]" if depth < _PREVIEW_DEPTH else "[…]"
    return _word(value, left)


def _items(pairs: Iterable[tuple[str, Any]], depth: int, left: int) -> str:
    parts: list[str] = []
    for key, value in pairs:
        name = f"{key[:left]}: " if key else ""
        text = f"{name}{_text(value, depth + 1, max(0, left - len(name)))}"
        parts.append(text)
        left -= len(text) + 2
        if left < 0:
            break
    return ", ".join(parts)


def _word(value: Any, most: int) -> str:
    if isinstance(value, (bytes, bytearray)):
        return f"{len(value):,} bytes"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int) and value.bit_length() > 4 * most:
        return f"an integer of {value.bit_length():,} bits"
    return value.isoformat() if isinstance(value, datetime) else str(value)
