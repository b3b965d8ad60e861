"""Remove a user that `ccs grant` has made, and end its connections."""

from __future__ import annotations

import argparse

from ccs.cli.exits import Exit, Stop
from ccs.cli.opened import opened
from ccs.cli.output import print_json

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs revoke analyst"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    parser.add_argument("user", metavar="USER", help="the name of the user")


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    with opened(options) as store:
        if not store.revoke(options.user):
            raise Stop(Exit.NOT_THERE, f"no user {options.user!r} was made by a grant in this namespace")
    if options.json:
        print_json({"revoked": options.user})
    return Exit.DONE
