"""Show the entries of a context as a tree. With --json, as nested maps; a path that has a value and more below has it under ""."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from ccs.cli.exits import Exit
from ccs.cli.opened import check_there, opened
from ccs.cli.options import add_address
from ccs.cli.output import one_line, paint, print_json, printable, short, width
from ccs.types import Entry, Snapshot

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs tree /tasks/42 'sources/**'"
# Names of more characters do not push the values of others to the right.
_LONGEST = 40


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_address(parser, patterns=True)


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    with opened(options) as store:
        ctx = store.context(options.address)
        snapshot = ctx.snapshot(*options.patterns)
        check_there(ctx)
    root = _grown(snapshot)
    if options.json:
        print_json(_nested(root))
        return Exit.DONE
    print(paint(ctx.address, "bold"))
    _print_lines(list(_lines(root, "")))
    return Exit.DONE


@dataclass(slots=True)
class _Node:
    """A segment of paths: its entry, if it has one, and what is below."""

    entry: Entry | None = None
    below: dict[str, _Node] = field(default_factory=dict)


def _grown(snapshot: Snapshot) -> _Node:
    root = _Node()
    for path in sorted(snapshot, key=lambda path: path.split("/")):
        node = root
        for segment in path.split("/"):
            node = node.below.setdefault(segment, _Node())
        node.entry = snapshot[path]
    return root


def _nested(node: _Node) -> dict[str, Any]:
    return {name: _value(each) for name, each in node.below.items()}


def _value(node: _Node) -> Any:
    if not node.below:
        return node.entry.value if node.entry else {}
    return {"": node.entry.value, **_nested(node)} if node.entry else _nested(node)


def _lines(node: _Node, indent: str) -> Iterator[tuple[str, str, Entry | None]]:
    """Yields for each line its drawing, the name and the entry."""
    last = len(node.below) - 1
    for index, (name, each) in enumerate(node.below.items()):
        yield indent + ("└── " if index == last else "├── "), printable(name), each.entry
        yield from _lines(each, indent + ("    " if index == last else "│   "))


def _print_lines(lines: list[tuple[str, str, Entry | None]]) -> None:
    columns = width()
    room = min(_LONGEST, max((len(drawn) + len(name) for drawn, name, entry in lines if entry), default=0))
    for drawn, name, entry in lines:
        print(_line(drawn, name, entry, room, columns))


def _line(drawn: str, name: str, entry: Entry | None, room: int, columns: int | None) -> str:
    left = len(drawn) + len(name)
    if entry is None:
        return paint(drawn, "dim") + paint(name, "blue")
    gap = " " * max(2, room - left + 2)
    value = short(entry.value)
    who = f"  {printable(entry.agent)}"
    if columns is not None:
        value = one_line(value, max(8, columns - left - len(gap) - len(who)))
    return paint(drawn, "dim") + name + gap + value + paint(who, "dim")
