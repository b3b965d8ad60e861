"""Serve the tools of a task to a model over MCP, for the client that starts this command, or over HTTP.

The model reads what --read allows, everything if it is not given, and writes what --write allows, nothing if it is not
given. It never chooses the store, the task, the agent or these patterns. Over HTTP, --token-file holds a token a line, one
for each client; if there is no such file, it is made with a new token. Only this machine is served, unless --host names
under what name others come.
"""

from __future__ import annotations

import argparse

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs mcp --task q2-market --agent analyst --role analyst --write 'findings/**'"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    parser.add_argument("--task", metavar="ID", required=True, help="the task whose context is served")
    parser.add_argument("--role", metavar="ROLE", help="whose messages the model receives")
    parser.add_argument("--read", metavar="PATTERN", action="append", help="what may be read; may be repeated")
    parser.add_argument("--write", metavar="PATTERN", action="append", default=[], help="what may be written, likewise")
    parser.add_argument("--allow-delete", action="store_true", help="offer a tool that deletes entries")
    parser.add_argument("--max-tokens", metavar="N", type=int, default=4000, help="how long an answer may be; 4000")
    parser.add_argument(
        "--http", metavar="HOST:PORT", help="serve streamable HTTP there, at /mcp; port 0: any free one"
    )
    parser.add_argument("--token-file", metavar="FILE", help="the tokens of the clients that may come in over HTTP")
    parser.add_argument(
        "--host", metavar="NAME", action="append", default=[], help="a name by which other machines come in over HTTP"
    )


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    from ccs.mcp.running import serve  # noqa: PLC0415 - help needs no extra

    return serve(options)
