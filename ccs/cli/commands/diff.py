"""Show what has changed in a context since a revision or a time: the net change of each path."""

from __future__ import annotations

import argparse

from ccs.cli.exits import Exit
from ccs.cli.opened import check_there, opened
from ccs.cli.options import add_address, moment
from ccs.cli.output import one_line, paint, print_json, printable, short, width
from ccs.types import Change

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs diff /tasks/42 15m"
_WHEN = "a revision, a time such as 2026-01-31T09:30, or how long ago: 15m"
_STYLES = {"+": "green", "-": "red", "~": "yellow"}


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_address(parser)
    parser.add_argument("since", metavar="SINCE", type=moment, help=_WHEN)
    parser.add_argument("patterns", metavar="PATTERN", nargs="*", help="which paths: 'sources/*'; by default all")
    parser.add_argument("--until", type=moment, metavar="WHEN", help="up to then; by default up to now")


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    with opened(options) as store:
        ctx = store.context(options.address)
        changes = ctx.diff(options.since, *options.patterns, until=options.until)
        if not changes:
            check_there(ctx)
    for change in changes:
        if options.json:
            print_json(change)
        else:
            print(_line(change, width()))
    return Exit.DONE


def _line(change: Change, columns: int | None) -> str:
    sign = "-" if change.op != "set" else "+" if change.created else "~"
    before = "" if change.created else f"{short(change.previous)}"
    after = short(change.value) if change.op == "set" else ""
    values = f"{before} → {after}" if before and after else before or after
    text = f"{sign} {printable(change.path)}  {values}  ({printable(change.agent)}, {change.revision})"
    text = text if columns is None else one_line(text, columns)
    return paint(text[0], _STYLES[sign]) + text[1:]
