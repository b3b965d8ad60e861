"""Memories as callers give them, many at once: texts, or maps with the arguments for one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from ccs._core.names.system_paths import system_path
from ccs._core.number_checks import listed
from ccs._core.quoted_values import shown
from ccs.errors import InvalidValue

__all__ = ["distinct_paths", "given_memories"]


def given_memories(kind: Any, given: object) -> list[Any]:
    """Returns each memory as a `kind`, a NamedTuple of the arguments. A text is the first argument, if only that is needed.

    Raises `InvalidValue` for anything else, and for arguments that do not exist or are missing.
    """
    return [_given(kind, each) for each in listed("the argument", given, "a list of memories")]


def _given(kind: Any, given: object) -> Any:
    needed = kind._fields[: len(kind._fields) - len(kind._field_defaults)]
    if isinstance(given, str) and len(needed) == 1:
        return kind(given)
    if not isinstance(given, Mapping):
        raise InvalidValue(f"{shown(given)} is no memory: give a map with {', '.join(kind._fields)}")
    for name in given:
        if name not in kind._fields:
            raise InvalidValue(f"a memory has {shown(name)}: the arguments are {', '.join(kind._fields)}")
    for name in needed:
        if name not in given:
            raise InvalidValue(f"a memory lacks {shown(name)}")
    return kind(**given)


def distinct_paths(root: str, ids: Iterable[str]) -> list[str]:
    """Returns the path of each id. Raises `InvalidPath` for what is no id, and `InvalidValue` if two of them are the same."""
    paths = [system_path(root, each) for each in ids]
    if len(set(paths)) < len(paths):
        raise InvalidValue("two of the memories have one id")
    return paths
