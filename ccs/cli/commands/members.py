"""List who is at work in a context: agent, role, since when, when last seen."""

from __future__ import annotations

import argparse

from ccs.cli.exits import Exit
from ccs.cli.opened import opened
from ccs.cli.options import add_address
from ccs.cli.output import clock, print_json, print_table, short

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs members /tasks/42"
_HEAD = ("AGENT", "ROLE", "JOINED", "SEEN", "META")


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_address(parser)


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    with opened(options) as store:
        members = store.context(options.address).members()
    if options.json:
        for member in members:
            print_json(member)
        return Exit.DONE
    rows = [
        (
            each.agent,
            each.role or "",
            clock(each.joined_at),
            clock(each.seen_at),
            "" if each.meta is None else short(each.meta),
        )
        for each in members
    ]
    print_table(_HEAD, rows)
    return Exit.DONE
