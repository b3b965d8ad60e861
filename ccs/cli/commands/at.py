"""Show the entries of a context as they were: right after a revision, at a time, or some time ago."""

from __future__ import annotations

import argparse

from ccs.cli.entry_lines import print_entries
from ccs.cli.exits import Exit
from ccs.cli.opened import check_there, opened
from ccs.cli.options import add_address, moment
from ccs.cli.output import is_terminal, said

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs at /tasks/42 15m 'sources/*'"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_address(parser)
    parser.add_argument(
        "when", metavar="WHEN", type=moment, help="a revision, a time such as 2026-01-31T09:30, or how long ago: 15m"
    )
    parser.add_argument("patterns", metavar="PATTERN", nargs="*", help="which paths: 'sources/*'; by default all")


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    with opened(options) as store:
        ctx = store.context(options.address)
        snapshot = ctx.at(options.when, *options.patterns)
        if not snapshot:
            check_there(ctx)
    print_entries(ctx.address, snapshot.entries.values(), options.json)
    if is_terminal() and not options.json:
        said(f"as it was at revision {snapshot.revision}")
    return Exit.DONE
