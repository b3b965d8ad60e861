"""Print the changes of a context as far as its journal holds them, the oldest first."""

from __future__ import annotations

import argparse

from ccs.cli.change_lines import ChangePrinter
from ccs.cli.exits import Exit
from ccs.cli.opened import check_there, opened
from ccs.cli.options import add_address, moment

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs history /tasks/42 status --newest-first --limit 10"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_address(parser, patterns=True)
    parser.add_argument("--since", type=moment, metavar="WHEN", help="after this revision or time, or 15m ago; 0: all")
    parser.add_argument("--until", type=int, metavar="REVISION", help="up to this revision")
    parser.add_argument("-n", "--limit", type=int, metavar="N", help="at most so many, from the end that comes first")
    parser.add_argument("--newest-first", action="store_true", help="the newest first")


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    with opened(options) as store:
        ctx = store.context(options.address)
        changes = ctx.history(
            *options.patterns,
            since=options.since,
            until=options.until,
            limit=options.limit,
            newest_first=options.newest_first,
        )
        if not changes:
            check_there(ctx)
    printer = ChangePrinter(options.json, ctx.address)
    for change in changes:
        printer.print(change)
    return Exit.DONE
