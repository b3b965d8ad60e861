"""Wait until a path has an entry, or has a value, and print that. Exits with 6 after --timeout."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

from ccs._core.names.address import split_absolute
from ccs.cli.entry_lines import entry_fields, print_value
from ccs.cli.exits import Exit, Stop
from ccs.cli.given_values import add_value, value_of
from ccs.cli.opened import opened
from ccs.cli.options import add_path
from ccs.cli.output import print_json, short
from ccs.types import Entry

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs wait /tasks/42/status '\"analysed\"' --timeout 10m"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_path(parser)
    add_value(parser, optional=True)


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    until = None if options.value is None else _equals(value_of(options))
    with opened(options) as store:
        address, path = split_absolute(options.path)
        ctx = store.context(address)
        try:
            entry = ctx.wait_for(path, until, timeout=options.timeout)
        except TimeoutError as error:
            raise Stop(Exit.TIMEOUT, _still(options, ctx.entry(path))) from error
    if options.json:
        print_json(entry_fields(ctx.address, entry))
    else:
        print_value(entry.value)
    return Exit.DONE


def _still(options: argparse.Namespace, entry: Entry | None) -> str:
    found = "there is nothing" if entry is None else f"it is {short(entry.value, 80)}"
    return f"waited {options.timeout:g} s for {options.path}: {found}"


def _equals(wanted: Any) -> Callable[[Any], bool]:
    # In JSON true is not 1, as it is in Python.
    return lambda value: value == wanted and isinstance(value, bool) == isinstance(wanted, bool)
