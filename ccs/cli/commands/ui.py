"""Serve the web view of the store on this machine, read-only. Prints the URL that opens it, with a token, on a line of its own."""

from __future__ import annotations

import argparse
from importlib.util import find_spec
from pathlib import Path

import ccs
from ccs.cli.opened import check_store

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs ui /tasks/q2-market --open"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add = parser.add_argument
    add("address", metavar="ADDRESS", nargs="?", help="the context to show first: /tasks/42")
    add("--http", metavar="HOST:PORT", default="127.0.0.1:0", help="where to listen; by default here, on a free port")
    add("--open", action="store_true", help="open it in a browser")
    add("--prefix", metavar="PATH", default="", help="a path below which a proxy has it: /swarm")
    add("--host", metavar="NAME", action="append", default=[], help="a name by which a proxy has it; may be repeated")
    add("--token-file", metavar="FILE", type=Path, help="keeps the token, which else is another with each start")


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    if find_spec("starlette") is None or find_spec("uvicorn") is None:
        raise ccs.MissingExtra("the web view", "starlette and uvicorn", "ui")
    from ccs.ui import command  # noqa: PLC0415 - help needs no extra

    check_store(options.store)
    return command.run(
        command.Options(
            target=options.store,
            namespace=options.namespace,
            address=options.address,
            http=options.http,
            prefix=options.prefix,
            hosts=options.host,
            token_file=options.token_file,
            open=options.open,
            retry_for=options.retry_for,
        )
    )
