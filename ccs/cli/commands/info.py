"""Show the state of a context: its revision, how many entries it has, since when, how long it lives, whether it is finished."""

from __future__ import annotations

import argparse

from ccs.cli.entry_lines import span
from ccs.cli.exits import Exit
from ccs.cli.opened import check_there, opened
from ccs.cli.options import add_address
from ccs.cli.output import clock, paint, print_json, short
from ccs.types import ContextInfo

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs info /tasks/42"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_address(parser)


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    with opened(options) as store:
        info = check_there(store.context(options.address))
    if options.json:
        print_json(info)
        return Exit.DONE
    for name, value in _lines(info).items():
        print(f"{paint(f'{name:<9}', 'dim')} {value}")
    return Exit.DONE


def _lines(info: ContextInfo) -> dict[str, str]:
    lines = {"address": info.address, "revision": str(info.revision), "entries": str(info.entries)}
    for name, moment in (("created", info.created_at), ("updated", info.updated_at)):
        if moment:
            lines[name] = clock(moment)
    lines["kept"] = f"{span(info.ttl.total_seconds())} after the last commit" if info.ttl else "for ever"
    lines["finished"] = f"yes: {short(info.outcome)}" if info.finished else "no"
    return lines
