"""The command line of the benchmark: `scripts/bench`, which is also `python -m benchmarks`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import redis

import ccs
from benchmarks.awake import can_stay_awake
from benchmarks.figures import Figures
from benchmarks.interrupt import INTERRUPTED, SAID
from benchmarks.measures.table import MEASURES
from benchmarks.outcome import Outcome
from benchmarks.progress import choose_progress
from benchmarks.report import render
from benchmarks.run import Options, run
from benchmarks.server import ServerMissing

__all__ = ["main"]

UNUSABLE = 2
ABOUT = """\
Compares CCS, blocking and asyncio, with what one would use instead: SET + PUBLISH + JSON and bare SET / GET with
redis-py, NATS JetStream KV (nats-server on the PATH, or $CCS_BENCH_NATS) and etcd (on the PATH). All of them do the
same work in one process, in rounds, interleaved in a random order; the numbers are medians with the interquartile
range of the rounds. Servers are started in private folders and on loopback, and ended.

Absolute times belong to one machine and one run: only ratios carry over. What each measure means, and what it does
not show, stands in docs/benchmarks.md."""
EXIT = "Exit codes: 0 it ran, whatever it found; 2 wrong usage, no server or a missing extra; 130 Ctrl-C."


def main(argv: Sequence[str] | None = None, prog: str = "scripts/bench") -> int:
    """Run the benchmark; its exit code. `prog` is the command that its user typed."""
    parser = _parser(prog)
    arguments = parser.parse_args(argv)
    if arguments.list:
        return _list()
    if arguments.plots and find_spec("matplotlib") is None:
        parser.error("--plots needs matplotlib: pip install -r benchmarks/requirements.txt")
    if arguments.awake and not can_stay_awake():
        parser.error("--awake is for Linux: it needs a priority below all others")
    try:
        figures, outcome = run(_options(arguments), choose_progress(plain=arguments.plain))
    except KeyboardInterrupt:
        return _failed(SAID, INTERRUPTED)
    except (ccs.CCSError, redis.RedisError, ServerMissing) as error:
        return _failed(f"there is no server to measure: {error}", UNUSABLE)
    _write(arguments, figures, outcome)
    return 0


def _failed(why: str, code: int) -> int:
    print(why, file=sys.stderr)
    return code


def _list() -> int:
    for measure in MEASURES.values():
        print(f"{measure.name:10} {measure.about}")
    return 0


def _options(arguments: argparse.Namespace) -> Options:
    wanted = [name for names in arguments.only or [list(MEASURES)] for name in names]
    chosen = [name for name in MEASURES if name in wanted]
    return Options(
        chosen, short=arguments.short, rounds=arguments.rounds, server=arguments.server, awake=arguments.awake
    )


def _write(arguments: argparse.Namespace, figures: Figures, outcome: Outcome) -> None:
    if arguments.json:
        arguments.json.write_text(outcome.model_dump_json(indent=2) + "\n")
    if arguments.plots:
        from benchmarks.plots import draw  # noqa: PLC0415  needs the extra `bench`

        draw(figures, arguments.plots)
    print(render(outcome, figures))


def _parser(prog: str) -> argparse.ArgumentParser:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=prog, description=ABOUT, epilog=EXIT, formatter_class=shape)
    add = parser.add_argument
    names = ", ".join(MEASURES)
    add("--only", nargs="+", type=_measures, metavar="NAME", help=f"only these measures, of {names}")
    add("--list", action="store_true", help="say what the measures are, and end")
    add("--rounds", type=_count, metavar="N", help="how many rounds (default: 9; 1 with --short)")
    add("--short", action="store_true", help="only show that everything runs; the numbers mean nothing")
    add("--server", metavar="URL", help="measure on this Redis or Valkey; growth and memory keep to private servers")
    add("--awake", action="store_true", help="keep the processors from sleeping, so that waking them is not measured")
    add("--json", type=_file, metavar="FILE", help="also write everything to FILE as JSON")
    add("--plots", type=_folder, metavar="FOLDER", help="also draw pictures into FOLDER")
    add("--plain", action="store_true", help="lines instead of live progress (as always when not on a terminal)")
    return parser


def _measures(text: str) -> list[str]:
    names = text.split(",")
    if unknown := [name for name in names if name not in MEASURES]:
        raise argparse.ArgumentTypeError(f"{', '.join(unknown)} is no measure; they are {', '.join(MEASURES)}")
    return names


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _file(text: str) -> Path:
    file = Path(text)
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written: it is a folder, or is in none")
    return file


def _folder(text: str) -> Path:
    folder = Path(text)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text!r} cannot be a folder for pictures: {error.strerror}") from error
    return folder
