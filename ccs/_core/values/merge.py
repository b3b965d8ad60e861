"""Merging maps: a patch by RFC 7396, and one map into another."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["merge_maps", "merge_patch"]


def merge_patch(target: Any, patch: Any) -> Any:
    """Returns the target with the patch applied: None removes a key, maps merge key by key, anything else replaces."""
    if not isinstance(patch, Mapping):
        return patch
    merged = dict(target) if isinstance(target, Mapping) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge_patch(merged.get(key), value)
    return merged


def merge_maps(target: Any, value: Any) -> Any:
    """Returns the target with the value merged in: maps merge key by key at every depth, anything else replaces."""
    if not isinstance(target, Mapping) or not isinstance(value, Mapping):
        return value
    return {**target, **{key: merge_maps(target.get(key), each) for key, each in value.items()}}
