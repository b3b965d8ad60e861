"""Write the entries of a context as JSON lines, which `ccs import` reads: path, value, and when the entry expires.

Every type of value is kept; what JSON has not stands in a map of one key: {"$datetime": "…"}, {"$bytes": "<base64>"},
{"$set": […]}, {"$map": [[key, value], …]}, $date, $time, $timedelta (µs), $uuid, $decimal, $int, $float. Versions, revisions,
agents and history are not kept. Entries come in pages, each of one moment, so a large context takes little memory; what
is written meanwhile may be there or not.
"""

from __future__ import annotations

import argparse
import json
from typing import Any

from ccs._core.values.typed_json import to_typed
from ccs.cli.exits import Exit
from ccs.cli.opened import check_there, opened
from ccs.cli.options import add_address
from ccs.cli.progress import Progress
from ccs.types import Entry

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs export /tasks/42 'sources/**' > sources.jsonl"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_address(parser, patterns=True)


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    progress = Progress("entries")
    with opened(options) as store:
        ctx = store.context(options.address)
        check_there(ctx)
        for entry in ctx.scan(*options.patterns):
            print(json.dumps(_line(entry), allow_nan=False))
            progress.add()
    progress.end()
    return Exit.DONE


def _line(entry: Entry) -> dict[str, Any]:
    line = {"path": entry.path, "value": to_typed(entry.value)}
    if entry.expires_at:
        line["expires_at"] = entry.expires_at.isoformat()
    return line
