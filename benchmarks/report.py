"""A run as text: the circumstances, a table for what belongs together, and the bars."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from benchmarks.contenders import CONTENDERS
from benchmarks.figures import Figures, Quantity
from benchmarks.outcome import Outcome
from benchmarks.stats import Spread, spread

__all__ = ["render"]

BESIDE = {each.name: each.beside for each in CONTENDERS}
LEGEND = (
    "Each number is the median of the rounds, with the interquartile range behind it. × is how many times better than",
    "the contender named as beside (in the tables of growth: than the column that has none), the median of the rounds'",
    "own ratios; ≈ 1 where 1 lies within their interquartile range. CPU times are per operation.",
)


def render(outcome: Outcome, figures: Figures) -> str:
    """The whole report."""
    parts = [_heading(outcome), _contenders(outcome), LEGEND, *_tables(figures), _bars(outcome)]
    return "\n\n".join("\n".join(part) for part in map(list, parts) if part)


def _heading(outcome: Outcome) -> Iterator[str]:
    machine = outcome.machine
    yield f"{machine.cpu}, {machine.cores} cores; {machine.system}"
    yield f"load average {machine.load_before:.2f} before, {machine.load_after:.2f} after; {outcome.seconds:.0f} s"
    yield ", ".join(f"{name} {version}" for name, version in outcome.versions.items())
    for kind, server in outcome.servers.items():
        yield f"{kind}: {server.version}, over {server.address}; {server.durability}"
    if outcome.awake:
        yield "The processors were kept from sleeping (--awake)."
    if outcome.short:
        yield "This was the short mode: it shows that everything runs, and its numbers mean nothing."


def _contenders(outcome: Outcome) -> Iterator[str]:
    yield "Contenders"
    rows = [
        [one.name, one.about, f"beside {one.beside}" if one.beside else "", one.missing and f"missing: {one.missing}"]
        for one in outcome.contenders
    ]
    yield from _aligned([[cell or "" for cell in row] for row in rows], right=False)


def _tables(figures: Figures) -> Iterator[Iterable[str]]:
    for name, quantities in figures.tables():
        yield _table(figures, name, quantities)


def _table(figures: Figures, name: str, columns: Sequence[Quantity]) -> Iterator[str]:
    units = {column.unit for column in columns}
    alone = units.pop() if len(units) == 1 else None
    yield f"{name} ({alone})" if alone else name
    heading = [column.column if alone else f"{column.column} {column.unit}".strip() for column in columns]
    names = [each.name for each in CONTENDERS if any(figures.get(column.key, each.name) for column in columns)]
    rows = [[one, *(_cell(figures, column, one) for column in columns)] for one in names]
    yield from _aligned([["", *heading], *rows] if any(heading) else rows)


def _cell(figures: Figures, quantity: Quantity, contender: str) -> str:
    rounds = figures.get(quantity.key, contender)
    if not rounds:
        return "–"
    over = BESIDE[contender] if quantity.over is None else contender
    alone = over is None or quantity.over == quantity.key
    gain = None if alone or over is None else figures.gain(quantity.key, contender, over, quantity.over)
    return f"{_spread(spread(rounds))}{_gain(gain)}"


def _gain(gain: Spread | None) -> str:
    if gain is None:
        return " " * 7
    return f" ×{gain.median:<5.2f}" if gain.differs(1.0) else " ≈ 1   "


def _spread(measured: Spread) -> str:
    if measured.low == measured.high:
        return _number(measured.median)
    return f"{_number(measured.median)} ({_number(measured.low)}–{_number(measured.high)})"


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _bars(outcome: Outcome) -> Iterator[str]:
    rows = [
        [bar.what, bar.wanted, f"{bar.median:.2f}", f"{bar.low:.2f}–{bar.high:.2f}", bar.verdict]
        for bar in outcome.bars
    ]
    if rows:
        yield "Bars"
        yield from _aligned([["", "wanted", "measured", "spread", ""], *rows])


def _aligned(rows: Sequence[Sequence[str]], *, right: bool = True) -> Iterator[str]:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for first, *others in rows:
        cells = [
            cell.rjust(width) if right else cell.ljust(width) for cell, width in zip(others, widths[1:], strict=True)
        ]
        yield "  " + "   ".join([first.ljust(widths[0]), *cells]).rstrip()
