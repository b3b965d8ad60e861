"""Plays rounds at length and prints their report; `scripts/torture` runs it. Exits with 1 unless every round is clean."""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
from pathlib import Path

from tests.torture.arenas import ARENAS
from tests.torture.checks import check
from tests.torture.report import Judged, judged, report
from tests.torture.rounds import Plan, play


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="scripts/torture", description=__doc__)
    parser.add_argument("--topology", action="append", choices=tuple(ARENAS), help="only this one; may be given again")
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1, 2**31))
    parser.add_argument("--operations", type=int, default=250_000, help="a topology, at least")
    parser.add_argument("--faults", type=int, default=50, help="a topology, at least")
    parser.add_argument("--processes", type=int, default=10)
    parser.add_argument("--report", type=Path, help="a file for the report")
    parser.add_argument("--keep", action="store_true", help="keep what the processes wrote, also of a clean round")
    return parser.parse_args()


def _say(text: str) -> None:
    sys.stderr.write(f"== {text}\n")


def _one(topology: str, wanted: argparse.Namespace) -> Judged:
    plan = Plan(topology, wanted.seed, wanted.operations, wanted.faults, wanted.processes)
    folder = Path(tempfile.mkdtemp(prefix=f"torture-{topology}-"))
    _say(f"{topology}: seed {plan.seed}, {plan.operations:,} operations, {plan.faults} faults, in {folder}")
    played = play(plan, folder)
    _say(f"{topology}: {played.operations:,} operations in {played.seconds:.0f} s; checking")
    result = judged(played, check(played.history))
    played.history = type(played.history)()  # the next round needs the room
    _say(f"{topology}: {result.verdict}")
    (folder / "faults.log").write_text("\n".join(played.log) + "\n")
    if result.clean and not wanted.keep:
        shutil.rmtree(folder)
    return result


def main() -> int:
    """Plays what the arguments ask for."""
    wanted = _arguments()
    rounds = []
    for topology in wanted.topology or ARENAS:
        rounds.append(_one(topology, wanted))
        text = report(rounds)
        if wanted.report:
            wanted.report.write_text(text)
    sys.stdout.write(text)
    return 0 if all(each.clean for each in rounds) else 1


if __name__ == "__main__":  # its processes import this module too
    sys.exit(main())
