"""List the claims of a context: what is held, by whom, since when. `break RESOURCE` takes a claim away from its holder."""

from __future__ import annotations

import argparse

import ccs
from ccs.cli.entry_lines import time_left
from ccs.cli.exits import Exit, Stop
from ccs.cli.opened import opened
from ccs.cli.options import add_address
from ccs.cli.output import clock, print_json, print_table, said, short
from ccs.types import ClaimInfo

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs claims /tasks/42 break sources/a"
_HEAD = ("RESOURCE", "HOLDER", "SINCE", "EXPIRES IN", "TOKEN", "NOTE")
_USAGE = "after the address come patterns, or break and one resource: ccs claims /tasks/42 break sources/a"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_address(parser)
    parser.add_argument(
        "rest", metavar="PATTERN | break RESOURCE", nargs="*", help="which resources; or the one whose claim to break"
    )


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    rest = options.rest
    if rest[:1] == ["break"] and len(rest) != 2:
        raise Stop(Exit.USAGE, _USAGE)
    with opened(options) as store:
        ctx = store.context(options.address)
        if rest[:1] == ["break"]:
            return _break(ctx, rest[1], options.json)
        claims = ctx.claims(*rest)
    if options.json:
        for claim in claims:
            print_json(claim)
    else:
        print_table(_HEAD, [_row(claim) for claim in claims])
    return Exit.DONE


def _break(ctx: ccs.Context, resource: str, json: bool) -> int:
    if not ctx.break_claim(resource):
        raise Stop(Exit.NOT_THERE, f"nobody holds {resource}")
    if json:
        print_json({"context": ctx.address, "broken": resource})
    said(f"the claim on {resource} is broken: its holder can write no more under it")
    return Exit.DONE


def _row(claim: ClaimInfo) -> tuple[str, ...]:
    note = "" if claim.note is None else short(claim.note)
    held = (claim.resource, claim.holder, clock(claim.claimed_at), time_left(claim.expires_at))
    return *held, str(claim.token), note
