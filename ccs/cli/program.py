"""The program: finds the command, has it read its arguments, runs it, and turns errors into exit codes."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import sys
import textwrap
from collections.abc import Sequence
from types import ModuleType

import ccs
from ccs.cli.completing import complete
from ccs.cli.exits import Exit, Stop, exit_code
from ccs.cli.options import add_common
from ccs.cli.table import GROUPS, SUMMARIES, command

__all__ = ["main", "parser_of"]

_SILENCE = logging.NullHandler()
_HINT = """exit codes: 0 done, 1 another error, 2 wrong use, 3 not there, 4 conflict or held, 5 unavailable,
6 timeout, 7 history gone or forked, 130 interrupted

ccs COMMAND --help says more of a command, with an example
"""
# Columns of a help that is easy to read.
_WIDEST = 100


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns the exit code."""
    _hush()
    try:
        code = _run(sys.argv[1:] if arguments is None else arguments)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except BrokenPipeError:
        # Our reader has gone. The interpreter would complain when it flushes what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return Exit.DONE
    except (ccs.CCSError, TimeoutError, Stop) as error:
        print(f"ccs: {error}", file=sys.stderr)
        return exit_code(error)


def _hush() -> None:
    """Leaves what the library logs, that it tries again for example, to people: programs get one line, with the outcome."""
    if not sys.stderr.isatty():
        logging.getLogger("ccs").addHandler(_SILENCE)


def parser_of(name: str) -> tuple[ModuleType, argparse.ArgumentParser]:
    """Returns the module of a command, and what parses its arguments."""
    module = command(name)
    parser = argparse.ArgumentParser(
        prog=f"ccs {name}",
        description=_wrapped(module.__doc__ or ""),
        epilog=f"example:\n  {module.EXAMPLE}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    module.arguments(parser)
    add_common(parser)
    return module, parser


def _wrapped(text: str) -> str:
    columns = min(_WIDEST, shutil.get_terminal_size().columns) - 2
    return "\n\n".join(textwrap.fill(paragraph, columns, break_on_hyphens=False) for paragraph in text.split("\n\n"))


def _run(arguments: Sequence[str]) -> int:
    if arguments and arguments[0] == "_complete":
        return complete(arguments[1:])
    head = _head()
    options = head.parse_args(arguments)
    if options.command not in SUMMARIES:
        head.error(f"there is no command {options.command!r}{_similar(options.command)}")
    module, parser = parser_of(options.command)
    parser.parse_intermixed_args(options.rest, options)
    code: int = module.run(options)
    return code


def _head() -> argparse.ArgumentParser:
    head = argparse.ArgumentParser(
        prog="ccs",
        usage="ccs [OPTION…] COMMAND …",
        description=_listing(),
        epilog=_HINT,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    head.add_argument("--version", action=_Version, nargs=0, help="print the version")
    head.add_argument("command", metavar="COMMAND", help=argparse.SUPPRESS)
    head.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    add_common(head)
    return head


class _Version(argparse.Action):
    """Prints the version, which only then is looked up."""

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version  # noqa: PLC0415 - it takes longer than all else here

        print(version("collaborative-context-store"))
        parser.exit()


def _listing() -> str:
    lines = ["The collaborative context store: what agents do, seen and steered from a shell."]
    for group, commands in GROUPS.items():
        lines += ["", f"{group}:"]
        lines += [f"  {name:<12}{summary}" for name, summary in commands.items()]
    return "\n".join(lines)


def _similar(name: str) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - for a slip only

    found = get_close_matches(name, SUMMARIES, 1)
    return f"; did you mean {found[0]!r}?" if found else "; ccs --help lists them"
