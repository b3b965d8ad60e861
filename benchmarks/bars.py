"""What CCS aims at, as numbers within a run, and how far it got."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from benchmarks.figures import Figures
from benchmarks.stats import Spread, Verdict, ratio, spread

__all__ = ["BARS", "Bar", "Judgement", "judge"]


@dataclass(frozen=True, slots=True)
class Bar:
    """A number that is wanted, at least or at most, and how it is measured."""

    what: str
    wanted: float
    measured: Callable[[Figures], Spread | None]
    at_least: bool = True
    rounds: int = 3  # with fewer, nobody knows what is noise

    @property
    def text(self) -> str:
        """`≥ 1.25`."""
        return f"{'≥' if self.at_least else '≤'} {self.wanted:g}"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What became of a bar: `within noise` where its spread lies on both sides of what is wanted."""

    bar: Bar
    measured: Spread
    verdict: Verdict


def judge(figures: Figures) -> Iterator[Judgement]:
    """The bars for which there are figures."""
    for bar in BARS:
        measured = bar.measured(figures)
        if measured is not None:
            yield Judgement(bar, measured, _verdict(bar, measured))


def _verdict(bar: Bar, measured: Spread) -> Verdict:
    enough = measured.rounds >= bar.rounds
    return measured.verdict(bar.wanted, at_least=bar.at_least) if enough else "too few rounds"


def _beats(what: str, wanted: float, key: str, contender: str, over: str) -> Bar:
    return Bar(f"{what} ÷ {over}", wanted, lambda figures: figures.gain(key, contender, over))


def _grows(what: str, key: str, base: int, much: int, contender: str) -> Bar:
    def cost(figures: Figures) -> Spread | None:
        return figures.gain(f"{key}/{base}", contender, contender, f"{key}/{much}")

    return Bar(f"{what}, {contender}: cost at {much:,} ÷ at {base:,}", 1.3, cost, at_least=False)


def _costs(what: str, wanted: float, key: str, over: str, contender: str) -> Bar:
    def cost(figures: Figures) -> Spread | None:
        return figures.gain(over, contender, contender, key)

    return Bar(f"{what}: {contender}", wanted, cost, at_least=False)


def _count(what: str, wanted: float, key: str, contender: str) -> Bar:
    def measured(figures: Figures) -> Spread | None:
        rounds = figures.get(key, contender)
        return spread(rounds) if rounds else None

    return Bar(f"{what}, {contender}", wanted, measured, rounds=1)


def _flushes(contender: str) -> Bar:
    def cost(figures: Figures) -> Spread | None:
        disk, applied, flush = (figures.get(f"durability/1/{name}", contender) for name in ("disk", "applied", "flush"))
        beside = [one + other for one, other in zip(applied, flush, strict=True)]
        return ratio(disk, beside) if disk and len(disk) == len(beside) else None

    return Bar(f"a set on disk ÷ (a set + one flush): {contender}", 1.3, cost, at_least=False)


def _keeps_up(level: str, wanted: float, beside: str, contender: str) -> Bar:
    def kept(figures: Figures) -> Spread | None:
        return figures.gain(f"durability/50/{level}", contender, contender, f"durability/50/{beside}")

    return Bar(f"sets of 50 callers, {level} ÷ {beside}: {contender}", wanted, kept)


COLOURS = ("ccs", "ccs.aio")
BESIDE = "applied, beside a replica"
BARS = (
    _beats("set, one at a time: ccs", 1.25, "put/1", "ccs", "naive"),
    _beats("set, one at a time: ccs.aio", 1.3, "put/1", "ccs.aio", "naive.aio"),
    _beats("set, 50 tasks: ccs.aio", 7.0, "put/50", "ccs.aio", "naive.aio"),
    _beats("set, 50 tasks: ccs.aio", 3.0, "put/50", "ccs.aio", "bare.aio"),
    _beats("set, 50 tasks: ccs.aio", 2.0, "put/50", "ccs.aio", "nats.aio"),
    _beats("set, 50 threads: ccs", 3.0, "put/50", "ccs", "naive"),
    _beats("get, one at a time: ccs", 0.8, "get/1", "ccs", "bare"),
    _beats("get, one at a time: ccs.aio", 0.8, "get/1", "ccs.aio", "bare.aio"),
    _beats("set → callback, median: ccs", 1.0, "latency/p50", "ccs", "naive"),
    _beats("set → callback, median: ccs.aio", 1.0, "latency/p50", "ccs.aio", "naive.aio"),
    _beats("mirror, a read: ccs", 50.0, "mirror", "ccs", "bare"),
    _beats("mirror, a read: ccs.aio", 50.0, "mirror", "ccs.aio", "bare.aio"),
    *(_grows("set, entries", "growth/entries/write", 1_000, 1_000_000, each) for each in COLOURS),
    *(_grows("set, contexts", "growth/contexts/write", 1, 100_000, each) for each in COLOURS),
    *(_grows("set, watches elsewhere", "growth/watches elsewhere/write", 1, 1_000, each) for each in COLOURS),
    *(_costs("claim and release ÷ set", 2.5, "claim/claim", "claim/set", each) for each in COLOURS),
    *(_costs("send → receive ÷ set → watch", 3.0, "handover/inbox", "handover/watch", each) for each in COLOURS),
    *(_flushes(each) for each in COLOURS),
    *(_keeps_up("disk", 0.4, "applied", each) for each in COLOURS),
    *(
        _costs("a set on a replica ÷ a set", 1.5, "durability/1/replica", f"durability/1/{BESIDE}", each)
        for each in COLOURS
    ),
    *(_keeps_up("replica", 0.5, BESIDE, each) for each in COLOURS),
    *(_count("all delivered, in order, each once, %", 100.0, "delivery/whole", each) for each in COLOURS),
)
