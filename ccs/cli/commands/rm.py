"""Remove the entry at a path; or, with patterns after the address of a context, all entries that match. Prints how many."""

from __future__ import annotations

import argparse

from ccs._core.names.address import split_absolute
from ccs.cli.exits import Exit, Stop
from ccs.cli.opened import opened
from ccs.cli.options import add_guards
from ccs.cli.output import print_json

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs rm /tasks/42 'sources/*' --yes"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    parser.add_argument("path", metavar="PATH", help="an absolute path; before patterns, the address of a context")
    parser.add_argument("patterns", metavar="PATTERN", nargs="*", help="which paths: 'sources/*'; needs --yes")
    add_guards(parser)


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    removed = _remove_matching(options) if options.patterns else _remove(options)
    if options.json:
        print_json({"removed": removed})
    else:
        print(removed)
    return Exit.DONE


def _remove(options: argparse.Namespace) -> int:
    split_absolute(options.path)
    with opened(options) as store:
        there = store.delete(options.path, if_version=options.if_version, if_revision=options.if_revision)
    if not there:
        raise Stop(Exit.NOT_THERE, f"there is nothing at {options.path}")
    return 1


def _remove_matching(options: argparse.Namespace) -> int:
    if options.if_version is not None or options.if_revision is not None:
        raise Stop(Exit.USAGE, "--if-version and --if-revision go with one path, not with patterns")
    with opened(options) as store:
        ctx = store.context(options.path)
        if not options.yes:
            count = len(ctx.paths(*options.patterns))
            raise Stop(Exit.USAGE, f"this removes what matches, {count} now: say --yes")
        return ctx.delete_matching(*options.patterns)
