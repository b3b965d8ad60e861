"""Copy the entries of a context, of one moment, into a new task, and print its address: to try something out there."""

from __future__ import annotations

import argparse
from typing import Any

from ccs.cli.exits import Exit
from ccs.cli.opened import check_there, opened
from ccs.cli.options import add_address, duration
from ccs.cli.output import print_json

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs fork /tasks/42 42-cheaper 'sources/**'"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_address(parser)
    parser.add_argument("id", metavar="ID", help="the id of the new task: /tasks/ID")
    parser.add_argument("patterns", metavar="PATTERN", nargs="*", help="which paths: 'sources/*'; by default all")
    parser.add_argument("--ttl", type=duration, metavar="TIME", help="the new task goes when it was idle for so long")


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    life: dict[str, Any] = {} if options.ttl is None else {"ttl": options.ttl}
    with opened(options) as store:
        ctx = store.context(options.address)
        check_there(ctx)
        fork = ctx.fork(options.id, *options.patterns, **life)
        if options.json:
            print_json(fork.info())
    if not options.json:
        print(fork.address)
    return Exit.DONE
