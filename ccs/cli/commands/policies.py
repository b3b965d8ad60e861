"""List the policies of a context for overwriting; `set PATTERN POLICY` sets one and prints from which revision it applies.

A policy is last-write-wins, reject, write-once or merge. Of several that match, the one that was set last applies.
"""

from __future__ import annotations

import argparse

from ccs.cli.exits import Exit, Stop
from ccs.cli.opened import opened
from ccs.cli.options import add_address
from ccs.cli.output import print_json, print_table

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs policies /tasks/42 set 'ledger/**' write-once"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_address(parser)
    parser.add_argument(
        "rest", metavar="set PATTERN POLICY", nargs="*", help="the policy to set; without it, all are listed"
    )


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    rest = options.rest
    if rest and (rest[0] != "set" or len(rest) != 3):
        raise Stop(Exit.USAGE, "after the address comes nothing, or: set PATTERN POLICY")
    with opened(options, make=bool(rest)) as store:
        ctx = store.context(options.address)
        if rest:
            revision = ctx.set_policy(rest[1], rest[2])
            print_json({"pattern": rest[1], "policy": rest[2], "revision": revision}) if options.json else print(
                revision
            )
            return Exit.DONE
        policies = ctx.policies()
    if options.json:
        for pattern, policy in policies.items():
            print_json({"pattern": pattern, "policy": policy})
    else:
        print_table(("PATTERN", "POLICY"), list(policies.items()))
    return Exit.DONE
