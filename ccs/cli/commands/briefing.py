"""Print what an agent should read of a context, as Markdown within a budget of tokens.

Without --since it tells the present state; with the cursor of an earlier briefing (--json prints it), what others have
changed since. --reader keeps the cursor in the context.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

import ccs
from ccs.cli.exits import Exit
from ccs.cli.opened import check_there, opened
from ccs.cli.options import add_address
from ccs.cli.output import print_json, printable

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs briefing /tasks/42 --role analyst --max-tokens 1000"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_address(parser, patterns=True)
    parser.add_argument("--since", metavar="CURSOR", help="the cursor of an earlier briefing")
    parser.add_argument("--reader", metavar="NAME", help="what came after the last briefing of this reader")
    parser.add_argument("--role", help="with the unread messages of this role")
    parser.add_argument("--max-tokens", type=int, default=2000, metavar="N", help="how long at most; 2000")
    parser.add_argument("--own", action="store_true", help="also what this agent has changed")
    parser.add_argument("--pin", action="append", default=[], metavar="PATH", help="always with the entry at this path")


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    with opened(options) as store:
        ctx = store.context(options.address)
        check_there(ctx)
        told = _briefing(ctx, options)
    if options.json:
        print_json({**json.loads(told.json()), "text": told.text})
    else:
        print("\n".join(map(printable, str(told).split("\n"))))
    return Exit.DONE


def _briefing(ctx: ccs.Context, options: argparse.Namespace) -> ccs.Briefing:
    how: dict[str, Any] = {
        "max_tokens": options.max_tokens,
        "role": options.role,
        "own": options.own,
        "pinned": options.pin,
    }
    if options.reader is None:
        return ctx.briefing(*options.patterns, since=options.since, **how)
    if options.since is not None:
        raise ccs.InvalidValue("--reader knows where it stands: leave --since out")
    reader = ctx.reader(options.reader)
    told = reader.briefing(*options.patterns, **how)
    reader.ack(told)
    return told
