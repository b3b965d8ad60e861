"""Publish an event in a context: all who listen get it, and it leaves no entry. Prints its revision."""

from __future__ import annotations

import argparse

from ccs.cli.exits import Exit
from ccs.cli.given_values import add_value, value_of
from ccs.cli.opened import opened
from ccs.cli.options import add_address
from ccs.cli.output import print_json

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs publish /tasks/42 data/ready '{\"rows\": 3}'"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_address(parser)
    parser.add_argument("topic", metavar="TOPIC", help="what it is about: data/ready")
    add_value(parser, "DATA", optional=True)


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    data = None if options.value is None else value_of(options)
    with opened(options, make=True) as store:
        ctx = store.context(options.address)
        revision = ctx.publish(options.topic, data)
    if options.json:
        print_json({"context": ctx.address, "topic": options.topic, "revision": revision})
    else:
        print(revision)
    return Exit.DONE
