"""Print the value at a path: text as it is, all else as JSON. With --json, the entry: who wrote it, when, its revision."""

from __future__ import annotations

import argparse

from ccs.cli.entry_lines import entry_fields, print_value
from ccs.cli.exits import Exit, Stop
from ccs.cli.opened import opened
from ccs.cli.options import add_path
from ccs.cli.output import print_json

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs get /tasks/42/status"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_path(parser)


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    with opened(options) as store:
        entry = store.entry(options.path)
    if entry is None:
        raise Stop(Exit.NOT_THERE, f"there is nothing at {options.path}")
    if options.json:
        print_json(entry_fields(options.path[: -len(entry.path) - 1], entry))
    else:
        print_value(entry.value)
    return Exit.DONE
