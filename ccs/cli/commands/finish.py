"""Finish a context: it takes no more writes, stays readable for --keep, and then is gone. OUTCOME is JSON."""

from __future__ import annotations

import argparse

from ccs.cli.exits import Exit
from ccs.cli.given_values import add_value, value_of
from ccs.cli.opened import check_there, opened
from ccs.cli.options import add_address, duration
from ccs.cli.output import print_json

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs finish /tasks/42 '\"reported\"' --keep 2h"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_address(parser)
    add_value(parser, "OUTCOME", optional=True)
    parser.add_argument("--keep", type=duration, default=3600.0, metavar="TIME", help="how long it stays readable; 1h")


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    outcome = None if options.value is None else value_of(options)
    with opened(options) as store:
        ctx = store.context(options.address)
        check_there(ctx)
        ctx.finish(outcome, keep=options.keep)
        if options.json:
            print_json(ctx.info())
    return Exit.DONE
