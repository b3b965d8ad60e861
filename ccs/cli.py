"""The command `ccs`: shows what agents do, without writing code."""

from __future__ import annotations

import argparse
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import ccs
from ccs._core.names.target import parse_target
from ccs._sync.changes.watch_kinds import StoreTail, Tail
from ccs._sync.transport.connect import resolve
from ccs.embedded import Embedded
from ccs.types import Change, Event

__all__ = ["main"]

_WILD = frozenset("*?[{")
# Seconds after which a server that does not answer is reported.
_PATIENCE = 5.0
# The exit code if there is no store.
_NO_STORE = 3
_GAPS = (ccs.HistoryCompacted, ccs.HistoryDamaged, ccs.HistoryForked)
# How many of the contexts that were missed are named.
_SHOWN = 10


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line. Returns the exit code."""
    options = _parser().parse_args(arguments)
    try:
        return _tail(options)
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Our reader has gone. The interpreter would complain when it flushes what is left.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except ccs.CCSError as error:
        print(f"ccs: {error}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ccs", description="The collaborative context store: what agents do, live.")
    parser.add_argument("--version", action="version", version=version("collaborative-context-store"))
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    tail = commands.add_parser("tail", help="print changes and events as they come", description=_TAIL)
    tail.add_argument(
        "address", metavar="ADDRESS", help="a context, /tasks/42; with wildcards all that match: '/tasks/*'"
    )
    tail.add_argument("patterns", metavar="PATTERN", nargs="*", help=_PATTERNS)
    tail.add_argument("--since", type=int, metavar="REVISION", help="begin after this revision; 0: from the beginning")
    tail.add_argument("--json", action="store_true", help="one JSON object a line")
    tail.add_argument(
        "--store", metavar="TARGET", help="a URL or a folder; by default $CCS_URL or the user's own store"
    )
    tail.add_argument("--namespace", default="ccs", help="by default ccs")
    return parser


_TAIL = "Print the changes and events of a context as they come: when, revision, which agent, what was done, and where."
_PATTERNS = "which paths; by default all but those of the system, which are asked for by name: '@claims/**'"


def _tail(options: argparse.Namespace) -> int:
    folder = _without_store(options.store)
    if folder:
        print(f"ccs: there is no store in {folder}", file=sys.stderr)
        return _NO_STORE
    show = _as_json if options.json else _as_text
    target = options.store
    namespace = options.namespace
    with ccs.connect(target, namespace=namespace, retry_for=_PATIENCE) as store, _changes(store, options) as changes:
        return _print_all(changes, show)


def _print_all(changes: Any, show: Callable[[Change | Event], str]) -> int:
    while True:
        try:
            for item in changes:
                print(show(item), flush=True)
            print("ccs: the context is finished", file=sys.stderr, flush=True)
            return 0
        except ccs.Unavailable as error:
            # It may pass, and then nothing is missed.
            print(f"ccs: {error}; waiting for it", file=sys.stderr, flush=True)
            time.sleep(1.0)
        except _GAPS as error:
            # Raised once: a watch of many contexts continues, also with this one, after the gap.
            if not isinstance(changes, StoreTail):
                raise
            print(f"ccs: {error}; going on", file=sys.stderr, flush=True)


def _without_store(target: str | None) -> Path | None:
    """Returns the target's folder if it holds no store, else None. Looking at a store must not make one."""
    meant = resolve(parse_target(target))
    if meant.kind != "folder":
        return None
    folder = Embedded(meant.location).folder
    try:
        (folder / ".ccs").stat()
    except (FileNotFoundError, NotADirectoryError):
        return folder
    except OSError:
        pass  # opening it reports the problem
    return None


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


def _as_text(item: Change | Event) -> str:
    when = item.at.astimezone().strftime("%H:%M:%S.%f")[:-3]
    if isinstance(item, Change) and item.op == "missed":
        return f"{when}  missed {_missed(item)}"
    return f"{when}  {item.revision}  {item.agent}  {_event(item) if isinstance(item, Event) else _change(item)}"


def _missed(change: Change) -> str:
    if not change.value:
        return "an unknown number of contexts that came and went"
    more = ", …" if len(change.value) > _SHOWN else ""
    shown = ", ".join(map(_printable, change.value[:_SHOWN]))
    what = "context" if len(change.value) == 1 else "contexts"
    return f"{len(change.value)} {what} that came and went: {shown}{more}"


def _event(event: Event) -> str:
    return f"event {_printable(f'{event.context}/{event.topic}')} = {_short(event.data)}"


def _change(change: Change) -> str:
    before = "" if change.created or change.op == "gone" else f"  (was {_short(change.previous)})"
    value = f" = {_short(change.value)}" if change.op == "set" else ""
    where = f"{change.context}/{change.path}" if change.path else change.context
    return f"{change.op} {_printable(where)}{value}{before}"


def _printable(text: str) -> str:
    """Returns one line, without control characters for a terminal."""
    return "".join(char if char.isprintable() else repr(char)[1:-1] for char in text)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 200 else text[:197] + "…"


def _as_json(item: Change | Event) -> str:
    fields = {name: _plain(getattr(item, name)) for name in item.__dataclass_fields__}
    if isinstance(item, Event):
        fields["op"] = "event"
    return json.dumps(fields, default=str, ensure_ascii=False)


def _plain(value: Any) -> Any:
    """Returns the value in the types of JSON; other types become text."""
    if isinstance(value, dict):
        return {key if isinstance(key, str) else str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, (list, set)):
        return [_plain(each) for each in value]
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
