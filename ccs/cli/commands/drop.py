"""Remove a context with everything in it, now. Nothing brings it back, so it needs --yes."""

from __future__ import annotations

import argparse

from ccs.cli.exits import Exit, Stop
from ccs.cli.opened import check_there, opened
from ccs.cli.options import add_address
from ccs.cli.output import print_json

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs drop /tasks/42 --yes"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_address(parser)


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    with opened(options) as store:
        ctx = store.context(options.address)
        info = check_there(ctx)
        if not options.yes:
            raise Stop(Exit.USAGE, f"this removes {info.address} and its {info.entries} entries for good: say --yes")
        ctx.drop()
    if options.json:
        print_json({"dropped": info.address, "entries": info.entries})
    return Exit.DONE
