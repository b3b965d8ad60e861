"""List the users that `ccs grant` has made, and what they may read and write."""

from __future__ import annotations

import argparse

from ccs.cli.exits import Exit
from ccs.cli.opened import opened
from ccs.cli.output import fields_of, print_json, print_table

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs grants --json"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    with opened(options) as store:
        grants = store.grants()
    if options.json:
        for grant in grants:
            print_json(fields_of(grant))
    else:
        print_table(
            ("USER", "READS", "WRITES"),
            [(grant.user, ", ".join(grant.read), ", ".join(grant.write)) for grant in grants],
        )
    return Exit.DONE
