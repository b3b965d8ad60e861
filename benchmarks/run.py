"""One run of the benchmark."""

from __future__ import annotations

import secrets
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

from benchmarks.awake import awake
from benchmarks.figures import Figures
from benchmarks.interrupt import interruptible
from benchmarks.measures.table import MEASURES, Measure
from benchmarks.outcome import Outcome
from benchmarks.progress import Progress
from benchmarks.servers import Servers
from benchmarks.setting import Setting
from benchmarks.sizes import FULL, SHORT, Sizes
from benchmarks.summary import Circumstances
from benchmarks.trial import interleave

__all__ = ["Options", "run"]


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    measures: Sequence[str]
    short: bool = False
    rounds: int | None = None
    server: str | None = None
    awake: bool = False

    @property
    def sizes(self) -> Sizes:
        """How much to measure."""
        sizes = SHORT if self.short else FULL
        return replace(sizes, rounds=self.rounds or sizes.rounds)


def run(options: Options, progress: Progress) -> tuple[Figures, Outcome]:
    """Takes the measures, one after the other: the figures, and all that is to be told of the run."""
    figures = Figures()
    circumstances = Circumstances(options.short, options.awake)
    run_id = f"ccs-bench-{secrets.token_hex(4)}"
    with Servers(run_id, options.server) as servers, awake() if options.awake else nullcontext():
        setting = Setting(run_id, options.sizes, servers, progress)
        with interruptible(setting.close), progress:
            for name in options.measures:
                _take(MEASURES[name], setting, figures)
        return figures, circumstances.outcome(setting, figures)


def _take(measure: Measure, setting: Setting, figures: Figures) -> None:
    setting.progress.begin(measure.name)
    rounds = min(measure.most_rounds, setting.sizes.rounds)
    warm_up = setting.sizes.warm_up and measure.most_rounds > 1
    try:
        interleave(measure.trials(setting), rounds, figures, setting.progress, warm_up=warm_up)
    finally:
        setting.end_measure()
