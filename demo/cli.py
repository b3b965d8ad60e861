"""The command line of the demo: `scripts/demo`, which is also `python -m demo`."""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import ccs
from demo.listing import LEFT_OUT, described, standard_library
from demo.outcome import Outcome
from demo.render import render
from demo.run import Options, SurveyFailed, run
from demo.view import choose_view

__all__ = ["main"]

FAILED = 1
UNUSABLE = 2
INTERRUPTED = 130
LONGEST = 60.0  # well below what the swarm takes for silence

ABOUT = f"""\
A swarm of processes surveys a code base, with nothing between them but one shared context: a surveyor
lists the Python files as entries, analysts take them and measure them, and a reporter adds the findings
up while they work. At the end stands a report, and a check that every change that was committed was
delivered, once and in order.

Files that do not parse or cannot be read are findings. Left out are folders whose name begins with a dot or is
{", ".join(LEFT_OUT)}; links to folders are not followed."""

EXIT = "Exit codes: 0 all went well; 1 the survey or a check of it failed; 2 wrong usage or no store; 130 Ctrl-C."


def main(argv: Sequence[str] | None = None, prog: str = "scripts/demo") -> int:
    """Run the demo; its exit code. `prog` is the command that its user typed."""
    parser = _parser(prog)
    arguments = parser.parse_args(argv)
    if arguments.kill and arguments.analysts < 2:
        parser.error("--kill needs --analysts 2 or more: another one takes the file over")
    sys.stdout.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # a name the terminal cannot show
    try:
        with _terminated_like_interrupted():
            return _survey(arguments)
    except KeyboardInterrupt:
        return _failed("interrupted; the swarm has been ended", INTERRUPTED)
    except SurveyFailed as error:
        return _failed(f"the survey failed: {error}", FAILED)
    except ccs.CCSError as error:
        return _failed(f"the store cannot be used: {error}", UNUSABLE)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # nobody reads any more, also not at exit
        return FAILED


def _failed(why: str, code: int) -> int:
    print(why, file=sys.stderr)
    return code


def _survey(arguments: argparse.Namespace) -> int:
    options = _options(arguments)
    print(f"surveying {described(options.folder)}, with {options.analysts} analysts", flush=True)
    outcome = run(options, choose_view(plain=arguments.plain))
    _write_json(outcome, arguments.json)
    print(f"\n{render(outcome)}")
    return FAILED if outcome.problems else 0


def _options(arguments: argparse.Namespace) -> Options:
    return Options(
        folder=arguments.folder.absolute(),
        analysts=arguments.analysts,
        kill=arguments.kill,
        store=arguments.store,
        limit=arguments.limit,
        hold=arguments.hold,
        pace=arguments.pace,
        verify=arguments.verify,
        ui=arguments.ui,
    )


def _write_json(outcome: Outcome, file: Path | None) -> None:
    if file is not None:
        file.write_text(outcome.model_dump_json(indent=2) + "\n")


def _parser(prog: str) -> argparse.ArgumentParser:
    shape = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog=prog, description=ABOUT, epilog=EXIT, formatter_class=shape)
    library = standard_library()
    folder_help = "the folder to survey (default: the standard library of this Python, its tests included)"
    parser.add_argument("folder", nargs="?", type=_folder, default=library, metavar="FOLDER", help=folder_help)
    _add_swarm_options(parser)
    _add_output_options(parser)
    return parser


def _add_swarm_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--analysts", type=_count, default=4, metavar="N", help="how many analysts (default: 4)")
    add("--kill", action="store_true", help="kill an analyst with -9 in the middle, while it holds a file")
    add(
        "--store",
        type=_store,
        metavar="TARGET",
        help="a folder or a redis:// URL (default: a server of the demo's own)",
    )
    add("--limit", type=_count, metavar="N", help="survey the first N files only")
    add(
        "--hold",
        type=_seconds(0.1),
        default=2.0,
        metavar="SECONDS",
        help="after which a claim that is not renewed lapses (default: 2)",
    )
    add("--pace", type=_seconds(0.0), default=0.0, metavar="SECONDS", help="what an analyst takes at least for a file")


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--verify", action="store_true", help="survey the folder in a single process too, and compare the reports")
    add("--ui", action="store_true", help="open the web view on the swarm at work; it stays until Ctrl-C")
    add("--json", type=_file, metavar="FILE", help="also write the report to FILE as JSON")
    add("--plain", action="store_true", help="lines instead of the live view (as always when not on a terminal)")


def _folder(text: str) -> Path:
    folder = Path(text)
    if not folder.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} is not a folder")
    return folder


def _file(text: str) -> Path:
    file = Path(text)
    if file.is_dir() or not file.absolute().parent.is_dir():
        raise argparse.ArgumentTypeError(f"{text!r} cannot be written: it is a folder, or is in none")
    return file


def _store(text: str) -> str:
    if text.startswith("memory:"):
        raise argparse.ArgumentTypeError("memory:// is in one process only, and the swarm has many")
    return text


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number from 1 on")
    return int(text)


def _seconds(least: float) -> Callable[[str], float]:
    def convert(text: str) -> float:
        if not re.fullmatch(r"\d+(\.\d+)?", text) or not least <= float(text) <= LONGEST:
            raise argparse.ArgumentTypeError(f"{text!r} is not between {least:g} and {LONGEST:g} seconds")
        return float(text)

    return convert


@contextmanager
def _terminated_like_interrupted() -> Iterator[None]:
    """SIGTERM ends the swarm in order too. (Handlers can be set in the main thread only.)"""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
