"""Write a value at a path, and print the revision of the commit. VALUE is JSON, or text with --text; - reads stdin."""

from __future__ import annotations

import argparse

from ccs.cli.entry_lines import entry_fields
from ccs.cli.exits import Exit
from ccs.cli.given_values import add_value, value_of
from ccs.cli.opened import opened
from ccs.cli.options import add_guards, add_path, add_ttl
from ccs.cli.output import print_json

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs set /tasks/42/status '\"open\"' --ttl 2h"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_path(parser)
    add_value(parser)
    add_ttl(parser)
    add_guards(parser)


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    value = value_of(options)
    with opened(options, make=True) as store:
        entry = store.set(
            options.path, value, ttl=options.ttl, if_version=options.if_version, if_revision=options.if_revision
        )
    if options.json:
        print_json(entry_fields(options.path[: -len(entry.path) - 1], entry))
    else:
        print(entry.revision)
    return Exit.DONE
