"""Entries as nested maps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

__all__ = ["nest"]


def nest(items: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    """Returns nested maps by segment. If a path has both a value and paths below it, its value is under `""`."""
    root: _Node = _Node()
    for path, value in items:
        node = root
        for segment in path.split("/") if path else ():
            node = node.below.setdefault(segment, _Node())
        node.values.append(value)
    return root.as_map()


class _Node:
    def __init__(self) -> None:
        self.below: dict[str, _Node] = {}
        self.values: list[Any] = []

    def as_map(self) -> dict[str, Any]:
        own = {"": self.values[0]} if self.values else {}
        return {**own, **{name: node.plain() for name, node in self.below.items()}}

    def plain(self) -> Any:
        return self.as_map() if self.below else self.values[0]
