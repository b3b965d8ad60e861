"""Write the entries that `ccs export` has written, read from stdin, into a context, and print how many.

Every type of value is kept, and so is the time at which an entry expires; one that has expired is left out. Versions are not
kept: each entry is written anew, by --agent, over what is at its path. It takes many entries to a commit, so what fails
halfway leaves the first part written; importing again does no harm.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, NamedTuple, TextIO

import ccs
from ccs._core.values.typed_json import from_typed
from ccs.cli.exits import Exit, Stop
from ccs.cli.opened import opened
from ccs.cli.options import add_address
from ccs.cli.output import print_json, said
from ccs.cli.progress import Progress

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs import /tasks/43 < sources.jsonl"
# What one commit takes, well below its limit: values that are overwritten count too.
_ENTRIES = 1_000
_CHARACTERS = 2_000_000
_LARGEST = 16_777_216


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    add_address(parser)


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    progress = Progress("entries")
    late = 0
    with opened(options, make=True, max_value_bytes=_LARGEST) as store:
        ctx = store.context(options.address)
        for batch in _batches(sys.stdin):
            live = [line for line in batch if not line.is_late()]
            late += len(batch) - len(live)
            _write(ctx, live)
            progress.add(len(live))
    progress.end()
    if late:
        said(f"{late} entries have expired and were left out")
    if options.json:
        print_json({"imported": progress.count, "expired": late})
    else:
        print(progress.count)
    return Exit.DONE


class _Line(NamedTuple):
    """An entry as it was exported."""

    path: str
    value: Any
    expires_at: datetime | None

    def is_late(self) -> bool:
        """Returns whether it has expired."""
        return self.expires_at is not None and self.expires_at <= datetime.now(UTC)


def _batches(stream: TextIO) -> Iterator[list[_Line]]:
    batch: list[_Line] = []
    size = 0
    for number, text in enumerate(stream, 1):
        if text.isspace():
            continue
        batch.append(_parsed(number, text))
        size += len(text)
        if len(batch) == _ENTRIES or size >= _CHARACTERS:
            yield batch
            batch = []
            size = 0
    if batch:
        yield batch


def _parsed(number: int, text: str) -> _Line:
    try:
        found = json.loads(text)
        expiry = found.get("expires_at")
        return _Line(found["path"], from_typed(found["value"]), None if expiry is None else _moment(expiry))
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = f"it has no {error}" if isinstance(error, KeyError) else error
        raise Stop(
            Exit.USAGE, f"line {number} is no entry of an export: {reason}; the lines before are imported"
        ) from error


def _moment(text: str) -> datetime:
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        raise ValueError("expires_at has no UTC offset")
    return moment


def _write(ctx: ccs.Context, lines: list[_Line]) -> None:
    """Writes some entries in one commit, or in several where one would be too large."""
    if not lines:
        return
    try:
        with ctx.transaction() as tx:
            for line in lines:
                tx.set(line.path, line.value, ttl=_left(line))
    except ccs.ValueTooLarge:
        if len(lines) == 1:
            raise
        middle = len(lines) // 2
        _write(ctx, lines[:middle])
        _write(ctx, lines[middle:])


def _left(line: _Line) -> float | None:
    # It may expire just now: then it does so in the store.
    return max(0.001, (line.expires_at - datetime.now(UTC)).total_seconds()) if line.expires_at else None
