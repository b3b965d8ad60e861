"""Show live what goes on: contexts and their rates, agents, claims, and watches that do not keep up. Ctrl-C ends it.

With --once, or where no terminal is, one picture. With --json, a picture a line, which needs no extra.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from typing import Any

import ccs
from ccs.cli.exits import Exit
from ccs.cli.opened import opened
from ccs.cli.options import duration
from ccs.cli.output import fields_of, is_terminal, print_json, said
from ccs.cli.overview import Overview, gathered, listening

__all__ = ["EXAMPLE", "arguments", "run"]

EXAMPLE = "ccs top '/tasks/**' --interval 2s"
# A store of many contexts is not read all the time: at most this part of it.
_SHARE = 0.2


def arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of this command."""
    parser.add_argument("pattern", metavar="PATTERN", nargs="?", default="/**", help="which contexts: '/tasks/**'")
    parser.add_argument("--interval", type=duration, default=1.0, metavar="TIME", help="how often it is drawn; 1s")
    parser.add_argument("--once", action="store_true", help="draw one picture, after one interval, and end")


def run(options: argparse.Namespace) -> int:
    """Does it. Returns the exit code."""
    if not options.json:
        _need_rich()
    with opened(options) as store, listening(store, options.pattern) as activity:
        pictures = _pictures(store, activity, options)
        if options.json:
            for seen in pictures:
                print_json(_fields(seen), flush=True)
        elif options.once or not is_terminal():
            _draw(next(pictures))
        else:
            _draw_live(pictures)
    return Exit.DONE


def _need_rich() -> None:
    try:
        import rich  # noqa: F401, PLC0415 - an extra
    except ImportError:
        raise ccs.MissingExtra("ccs top", "rich", "cli") from None


def _pictures(store: ccs.Store, activity: Any, options: argparse.Namespace) -> Iterator[Overview]:
    end = None if options.timeout is None else time.monotonic() + options.timeout
    pause = options.interval
    while True:
        time.sleep(pause)
        began = time.monotonic()
        if end is not None and began >= end:
            return
        try:
            yield gathered(store, activity, options.pattern)
        except ccs.Unavailable as error:
            said(f"{error}; trying again")
        if options.once:
            return
        pause = max(options.interval, (time.monotonic() - began) / _SHARE)


def _fields(seen: Overview) -> dict[str, Any]:
    return fields_of(seen)


def _draw(seen: Overview) -> None:
    from rich.console import Console  # noqa: PLC0415 - an extra

    from ccs.cli.top_picture import picture  # noqa: PLC0415 - it needs rich

    console = Console(highlight=False)
    console.print(picture(seen, console.width, 1_000))


def _draw_live(pictures: Iterator[Overview]) -> None:
    from rich.console import Console  # noqa: PLC0415 - an extra
    from rich.live import Live  # noqa: PLC0415
    from rich.text import Text  # noqa: PLC0415

    from ccs.cli.top_picture import picture  # noqa: PLC0415

    console = Console(highlight=False)
    with Live(Text("looking…"), console=console, screen=True, auto_refresh=False) as live:
        for seen in pictures:
            live.update(picture(seen, console.width, console.height), refresh=True)
