"""The options that all commands share, and what several of them read from the command line."""

from __future__ import annotations

import argparse
import os
import re
from datetime import UTC, datetime, timedelta

__all__ = ["add_address", "add_common", "add_guards", "add_path", "add_ttl", "duration", "moment"]

# Seconds after which a server that does not answer is reported.
_PATIENCE = 5.0
_UNITS = {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3_600, "d": 86_400}
_DURATION = re.compile(r"(\d+(?:\.\d*)?|\.\d+)(ms|[smhd]?)")


def add_common(parser: argparse.ArgumentParser) -> None:
    """Adds the options that every command has, before and after its name."""
    group = parser.add_argument_group("options of every command")
    group.add_argument(
        "--store", metavar="TARGET", help="a URL or a folder; by default $CCS_URL, or else the user's own store"
    )
    group.add_argument(
        "--namespace", metavar="NAME", default=os.environ.get("CCS_NAMESPACE") or "ccs", help="$CCS_NAMESPACE, or ccs"
    )
    group.add_argument(
        "--agent",
        metavar="NAME",
        default=os.environ.get("CCS_AGENT") or None,
        help="who writes: $CCS_AGENT, or host:pid",
    )
    group.add_argument(
        "--retry-for",
        type=duration,
        metavar="TIME",
        default=_PATIENCE,
        help="how long to try a server that does not answer; 5s",
    )
    group.add_argument("--timeout", type=duration, metavar="TIME", help="how long to wait for what is to come")
    group.add_argument("--json", action="store_true", help="one JSON object a line")
    group.add_argument("--yes", action="store_true", help="do what cannot be undone, which is refused without it")


def add_address(parser: argparse.ArgumentParser, patterns: bool = False) -> None:
    """Adds the address of a context, and patterns of the paths in it."""
    parser.add_argument("address", metavar="ADDRESS", help="a context: /tasks/42, /global")
    if patterns:
        parser.add_argument("patterns", metavar="PATTERN", nargs="*", help="which paths: 'sources/*'; by default all")


def add_path(parser: argparse.ArgumentParser) -> None:
    """Adds an absolute path."""
    parser.add_argument("path", metavar="PATH", help="an absolute path: /tasks/42/status")


def add_ttl(parser: argparse.ArgumentParser, what: str = "it") -> None:
    """Adds a time to live."""
    parser.add_argument("--ttl", type=duration, metavar="TIME", help=f"{what} expires after this time: 90s, 15m, 2h")


def add_guards(parser: argparse.ArgumentParser) -> None:
    """Adds the guards of a write."""
    parser.add_argument(
        "--if-revision", type=int, metavar="N", help="only if the entry is at this revision; 0: if there is none"
    )
    parser.add_argument(
        "--if-version", type=int, metavar="N", help="only if the entry is at this version; 0: if there is none"
    )


def duration(text: str) -> float:
    """Reads seconds: `90`, `1.5s`, `15m`, `2h`, `7d`."""
    found = _DURATION.fullmatch(text)
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} is no duration: write seconds, or 500ms, 90s, 15m, 2h, 7d")
    return float(found[1]) * _UNITS[found[2]]


def moment(text: str) -> int | datetime:
    """Reads a point of history: a revision, a time in ISO 8601, or how long ago (`15m`)."""
    if text.isdecimal():
        return int(text)
    if _DURATION.fullmatch(text):
        return datetime.now(UTC) - timedelta(seconds=duration(text))
    try:
        when = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(
            f"{text!r} is no moment: write a revision, a time such as 2026-01-31T09:30, or how long ago, 15m"
        ) from None
    return when if when.tzinfo else when.astimezone()
