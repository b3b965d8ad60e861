"""Print the changes and events of a context as they come: when, revision, which agent, what was done, and where.

With wildcards in the address: of all contexts that match, new ones too. Ends when the context is finished.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from typing import Any

import ccs
from ccs._sync.changes.watch_kinds import StoreTail, Tail
from ccs.cli.change_lines import ChangePrinter
from ccs.cli.exits import Exit
from ccs.cli.opened import opened
from ccs.cli.options import moment
from ccs.cli.output import said

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs tail /tasks/42 'sources/*' --since 0"
_WILD = frozenset("*?[{")
_GAPS = (ccs.HistoryCompacted, ccs.HistoryDamaged, ccs.HistoryForked)
_PATTERNS = "which paths; by default all but those of the system, which are asked for by name: '@claims/**'"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    parser.add_argument(
        "address", metavar="ADDRESS", help="a context, /tasks/42; with wildcards all that match: '/tasks/*'"
    )
    parser.add_argument("patterns", metavar="PATTERN", nargs="*", help=_PATTERNS)
    parser.add_argument(
        "--since", type=moment, metavar="WHEN", help="begin after this revision or time; 0: from the beginning"
    )


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    with opened(options) as store, _changes(store, options) as changes:
        return _print_all(changes, options)


def _print_all(changes: Any, options: argparse.Namespace) -> int:
    until = None if options.timeout is None else time.monotonic() + options.timeout
    printer = ChangePrinter(options.json, "" if isinstance(changes, StoreTail) else options.address)
    while True:
        try:
            printer.print(_next(changes, until))
        except StopIteration:
            said("the context is finished")
            return Exit.DONE
        except ccs.Unavailable as error:
            # It may pass, and then nothing is missed.
            said(f"{error}; waiting for it")
            time.sleep(1.0)
        except _GAPS as error:
            # Raised once: a watch of many contexts continues, also with this one, after the gap.
            if not isinstance(changes, StoreTail):
                raise
            said(f"{error}; going on")


def _next(changes: Any, until: float | None) -> Any:
    if until is None:
        return next(changes)
    return changes.receive(max(0.0, until - time.monotonic()))


def _changes(store: ccs.Store, options: argparse.Namespace) -> Any:
    if not _WILD & set(options.address):
        handle = store.context(options.address).handle
        return Tail(handle.engine, handle.address, tuple(options.patterns or ["**"]), since=options.since)
    if options.since is not None:
        raise ccs.InvalidValue("--since goes with one context: each has revisions of its own")
    patterns = _absolute(options.address.rstrip("/"), options.patterns or ["**"])
    return StoreTail(store.global_context().handle.engine, patterns)


def _absolute(address: str, patterns: Iterable[str]) -> tuple[str, ...]:
    return tuple(f"{address}/{pattern}" for pattern in patterns)
