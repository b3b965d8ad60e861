"""Values as they are given on the command line: as JSON, as text, or on stdin."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any, NoReturn

from ccs.cli.exits import Exit, Stop
from ccs.cli.output import printable, said

__all__ = ["add_value", "text_of", "value_of"]


def add_value(parser: argparse.ArgumentParser, name: str = "VALUE", *, optional: bool = False) -> None:
    """Adds a value, and `--text`."""
    parser.add_argument(
        "value",
        metavar=name,
        nargs="?" if optional else None,
        help="in JSON, such as 42 or '\"open\"' or '{\"a\": 1}'; - reads it from stdin",
    )
    parser.add_argument("--text", action="store_true", help=f"take {name} as text, as it stands")


def value_of(options: argparse.Namespace) -> Any:
    """Returns the value that was given. Stops if it is to be JSON and is none."""
    text = text_of(options.value)
    return text if options.text else _parsed(text)


def text_of(given: str) -> str:
    """Returns what was given; what stdin has for `-`."""
    if given != "-":
        return given
    if sys.stdin.isatty():
        said("reading the value from the terminal; Ctrl-D ends it")
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise Stop(Exit.USAGE, f"stdin is no UTF-8 text: {error}") from None


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse)
    except (ValueError, RecursionError) as error:
        shown = printable(text if len(text) <= 60 else f"{text[:59]}…")
        raise Stop(
            Exit.USAGE, f"this is not JSON: {shown} ({error}); write text as '\"text\"', or give --text"
        ) from None


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"JSON has no {constant}")
