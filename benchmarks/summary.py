"""From figures to all that is to be told of a run."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

from benchmarks.bars import judge
from benchmarks.contenders import CONTENDERS
from benchmarks.figures import Figures, Quantity
from benchmarks.machine import cores, cpu_model, load_average, versions
from benchmarks.outcome import BarOutcome, ContenderFacts, FigureOutcome, Machine, Outcome, ServerFacts
from benchmarks.server import Server
from benchmarks.setting import Setting
from benchmarks.stats import spread

__all__ = ["Circumstances"]


@dataclass(frozen=True, slots=True)
class Circumstances:
    """What was asked for, and what there was when the run began."""

    short: bool
    awake: bool
    began: float = field(default_factory=time.monotonic)
    load: float = field(default_factory=load_average)

    def outcome(self, setting: Setting, figures: Figures) -> Outcome:
        """The whole run, at its end."""
        return Outcome(
            short=self.short,
            awake=self.awake,
            rounds=setting.sizes.rounds,
            seconds=time.monotonic() - self.began,
            machine=self._machine(),
            versions=versions(),
            servers={kind: _server(server) for kind, server in setting.servers.running().items()},
            contenders=list(_contenders(setting.missing)),
            figures=list(_figures(figures)),
            bars=list(_bars(figures)),
        )

    def _machine(self) -> Machine:
        return Machine(
            cpu=cpu_model(),
            cores=cores(),
            system=platform.platform(),
            load_before=self.load,
            load_after=load_average(),
        )


def _server(server: Server) -> ServerFacts:
    is_unix = server.url.startswith("unix")
    return ServerFacts(
        version=server.version, durability=server.durability, address="a unix socket" if is_unix else "TCP"
    )


def _contenders(missing: Mapping[str, str]) -> Iterator[ContenderFacts]:
    for one in CONTENDERS:
        reason = missing.get(one.name)
        yield ContenderFacts(name=one.name, about=one.about, server=one.server, beside=one.beside, missing=reason)


def _figures(figures: Figures) -> Iterator[FigureOutcome]:
    for _, quantities in figures.tables():
        for quantity in quantities:
            for contender, rounds in figures.rounds[quantity.key].items():
                yield _figure(quantity, contender, rounds)


def _figure(quantity: Quantity, contender: str, rounds: list[float]) -> FigureOutcome:
    middle = spread(rounds)
    return FigureOutcome(
        key=quantity.key,
        table=quantity.table,
        column=quantity.column,
        unit=quantity.unit,
        better=quantity.better,
        contender=contender,
        rounds=rounds,
        median=middle.median,
        low=middle.low,
        high=middle.high,
    )


def _bars(figures: Figures) -> Iterator[BarOutcome]:
    for judged in judge(figures):
        middle = judged.measured
        yield BarOutcome(
            what=judged.bar.what,
            wanted=judged.bar.text,
            median=middle.median,
            low=middle.low,
            high=middle.high,
            verdict=judged.verdict,
        )
