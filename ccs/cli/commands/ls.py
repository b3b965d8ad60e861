"""List the paths of a context, sorted. With --long or --json also who wrote what, and when."""

from __future__ import annotations

import argparse

from ccs.cli.entry_lines import print_entries
from ccs.cli.exits import Exit
from ccs.cli.opened import check_there, opened
from ccs.cli.options import add_address
from ccs.cli.output import printable

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs ls /tasks/42 'sources/*' --long"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_address(parser, patterns=True)
    parser.add_argument("-l", "--long", action="store_true", help="version, agent, time and value too")


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    with opened(options) as store:
        ctx = store.context(options.address)
        if options.long or options.json:
            print_entries(ctx.address, ctx.scan(*options.patterns), options.json)
            check_there(ctx)
            return Exit.DONE
        paths = ctx.paths(*options.patterns)
        if not paths:
            check_there(ctx)
    for path in paths:
        print(printable(path))
    return Exit.DONE
