"""List the contexts of the store, sorted by address."""

from __future__ import annotations

import argparse

from ccs.cli.exits import Exit
from ccs.cli.opened import opened
from ccs.cli.output import clock, print_json, print_table, short
from ccs.types import ContextInfo

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs contexts '/tasks/**'"
_HEAD = ("ADDRESS", "ENTRIES", "UPDATED", "STATE")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    parser.add_argument("pattern", metavar="PATTERN", nargs="?", default="/**", help="which addresses: '/tasks/**'")
    parser.add_argument("-n", "--limit", type=int, metavar="N", help="at most so many")


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    with opened(options) as store:
        infos = store.contexts(options.pattern, limit=options.limit)
    if options.json:
        for info in infos:
            print_json(info)
    else:
        print_table(_HEAD, [_row(info) for info in infos])
    return Exit.DONE


def _row(info: ContextInfo) -> tuple[str, ...]:
    updated = clock(info.updated_at) if info.updated_at else ""
    state = f"finished: {short(info.outcome)}" if info.finished else "open"
    return info.address, str(info.entries), updated, state
