"""Look at the store and its server, and say what is wrong and what to do. Exits 0 unless something is wrong.

It looks at the folder (rights, file system, room, socket, locks, the server to start), then at the server (version, eviction,
memory, persistence, replication, clock, latency), and at what an update would need. It changes nothing; the server of a folder
that holds a store is started, as any command does.
"""

from __future__ import annotations

import argparse
import os
import sys
import textwrap
from collections.abc import Iterator

import ccs
from ccs._core.names.target import parse_target
from ccs._sync.transport.connect import resolve
from ccs.cli.checks.finding import Finding, Level
from ccs.cli.checks.folder import check_folder
from ccs.cli.checks.server import check_contexts, check_server
from ccs.cli.exits import Exit
from ccs.cli.opened import folder_of, holds_store, opened
from ccs.cli.output import paint, print_json, printable, width

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs doctor --store redis://localhost:6379"
_SIGNS = {"fine": ("✓", "+", "green"), "note": ("!", "!", "yellow"), "wrong": ("✗", "x", "red")}
_NAMES = 13


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    levels: list[Level] = []
    for finding in _findings(options):
        levels.append(finding.level)
        if options.json:
            print_json(finding, flush=True)
        else:
            _print_finding(finding)
    if not options.json:
        print(f"\n{_summary(levels)}")
    return Exit.OTHER if "wrong" in levels else Exit.DONE


def _summary(levels: list[Level]) -> str:
    wrong = levels.count("wrong")
    notes = levels.count("note")
    if not wrong:
        return "nothing is wrong" + (f", {notes} {'note' if notes == 1 else 'notes'}" if notes else "")
    return f"{wrong} {'thing is' if wrong == 1 else 'things are'} wrong"


def _findings(options: argparse.Namespace) -> Iterator[Finding]:
    folder = folder_of(options.store)
    yield Finding("store", "fine", f"{resolve(parse_target(options.store)).address} ({_source(options)})")
    if folder is None:
        yield from _server(options, embedded=False)
    elif holds_store(folder):
        yield from check_folder(folder)
        yield from _server(options, embedded=True)
    else:
        named = options.store or os.environ.get("CCS_URL")
        text = f"there is no store in {folder}"
        yield Finding(
            "folder", "wrong" if named else "note", text, "the first program that writes there makes one: ccs set …"
        )


def _source(options: argparse.Namespace) -> str:
    if options.store:
        return "--store"
    return (
        "$CCS_URL"
        if os.environ.get("CCS_URL")
        else "the user's own store, as neither --store nor $CCS_URL says otherwise"
    )


def _server(options: argparse.Namespace, embedded: bool) -> Iterator[Finding]:
    try:
        with opened(options) as store:
            yield from check_server(store, embedded)
            yield check_contexts(store)
    except ccs.UnsafeServer as error:
        yield Finding("server", "wrong", str(error), _advice(str(error)))
    except ccs.CCSError as error:
        yield Finding("server", "wrong", str(error), "" if embedded else "is it running, and is this its URL?")


def _advice(text: str) -> str:
    if "maxmemory-policy" in text:
        return "CONFIG SET maxmemory-policy noeviction, and the same in its configuration file"
    return ""


def _print_finding(finding: Finding) -> None:
    sign, plain, colour = _SIGNS[finding.level]
    if (sys.stdout.encoding or "").lower().replace("-", "") != "utf8":
        sign = plain
    room = max(40, width() or 10_000) - _NAMES - 2
    lines = textwrap.wrap(printable(finding.text), room, break_on_hyphens=False) or [""]
    print(f"{paint(sign, colour)} {finding.check:<{_NAMES}}{lines[0]}", flush=True)
    for line in lines[1:]:
        print(f"{'':{_NAMES + 2}}{line}")
    for line in textwrap.wrap(printable(finding.advice), room - 2, break_on_hyphens=False):
        arrow = "→ " if line is not None and sign != plain else "> "
        print(f"{'':{_NAMES + 2}}{paint(arrow + line, colour)}", flush=True)
