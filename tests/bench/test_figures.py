"""From figures to gains, tables and bars."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest

from benchmarks.bars import BARS, judge
from benchmarks.contenders import CONTENDERS
from benchmarks.figures import Figures, Quantity
from benchmarks.measures.table import MEASURES
from benchmarks.progress import PlainProgress
from benchmarks.trial import Trial, interleave

MICROS = Quantity("put/1", "put, one at a time", "", "µs")
RATE = Quantity("put/50", "put, 50 callers", "", "/s", "higher")


def figures_of(quantity: Quantity, **rounds: list[float]) -> Figures:
    figures = Figures()
    for contender, numbers in rounds.items():
        for number in numbers:
            figures.add(contender, {quantity: number})
    return figures


@pytest.mark.parametrize(("quantity", "ours", "theirs"), [(MICROS, 40.0, 80.0), (RATE, 80.0, 40.0)])
def test_a_gain_over_one_is_better_whichever_way_the_quantity_points(
    quantity: Quantity, ours: float, theirs: float
) -> None:
    gain = figures_of(quantity, ccs=[ours], naive=[theirs]).gain(quantity.key, "ccs", "naive")
    assert gain is not None
    assert gain.median == 2.0


def test_there_is_no_gain_over_who_was_not_measured_or_not_as_often() -> None:
    figures = figures_of(MICROS, ccs=[1.0, 2.0], naive=[1.0])
    assert figures.gain("put/1", "ccs", "bare") is None
    assert figures.gain("put/1", "ccs", "naive") is None
    assert figures.gain("put/2", "ccs", "naive") is None


def test_columns_stand_in_their_table_by_their_place_whenever_they_came() -> None:
    figures = Figures()
    for number in 1_000, 10:
        figures.add("ccs", {Quantity(f"growth/{number}", "growth", f"{number}", "µs", at=number): 1.0})
        figures.add("ccs", {MICROS: 1.0})
    assert [(table, [each.column for each in columns]) for table, columns in figures.tables()] == [
        ("growth", ["10", "1000"]),
        ("put, one at a time", [""]),
    ]


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [([50.0, 51.0, 52.0], "met"), ([90.0, 91.0, 92.0], "missed"), ([60.0, 80.0, 100.0], "within noise")],
)
def test_a_bar_is_judged_by_the_spread_of_the_rounds(ours: list[float], verdict: str) -> None:
    (judged,) = judge(figures_of(MICROS, ccs=ours, naive=[100.0, 100.0, 100.0]))
    assert (judged.bar.wanted, judged.bar.text, judged.verdict) == (1.25, "≥ 1.25", verdict)


def test_a_bar_is_not_judged_by_one_or_two_rounds() -> None:
    (judged,) = judge(figures_of(MICROS, ccs=[1.0, 1.0], naive=[9.0, 9.0]))
    assert judged.verdict == "too few rounds"


def test_growth_is_judged_by_what_it_costs_at_most() -> None:
    figures = Figures()
    for number, cost in ((1_000, 100.0), (1_000_000, 120.0)):
        for _ in range(3):
            figures.add("ccs", {Quantity(f"growth/entries/write/{number}", "growth", "", "µs", at=number): cost})
    (judged,) = judge(figures)
    assert (judged.bar.text, judged.measured.median, judged.verdict) == ("≤ 1.3", 1.2, "met")


def test_the_bars_name_contenders_and_measures_that_there_are() -> None:
    names = {contender.name for contender in CONTENDERS}
    assert {each.beside for each in CONTENDERS} - {None} <= names
    assert {measure for each in CONTENDERS for measure in each.takes} == set(MEASURES)
    assert len({bar.what for bar in BARS}) == len(BARS)


def test_rounds_are_interleaved_in_changing_order_and_the_first_is_not_counted() -> None:
    taken: list[str] = []

    def trial(group: str, contender: str) -> Trial:
        def take() -> Mapping[Quantity, float]:
            taken.append(contender)
            return {Quantity(group, group, "", "µs"): float(len(taken))}

        return Trial(group, contender, take)

    figures, names = Figures(), [f"contender {number}" for number in range(8)]
    interleave([trial(group, name) for group in ("a", "b") for name in names], 5, figures, PlainProgress())

    rounds = [taken[start : start + 8] for start in range(0, len(taken), 8)]
    assert len(rounds) == 2 * (1 + 5)
    assert all(sorted(each) == names for each in rounds)
    assert len({tuple(each) for each in rounds}) > 1  # by chance one in 8!¹¹
    assert {len(figures.get(group, name)) for group in ("a", "b") for name in names} == {5}
    assert min(min(figures.get("a", name)) for name in names) > 16


def test_a_picture_is_drawn_of_whatever_there_are_figures_of(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from benchmarks.plots import draw

    figures = figures_of(RATE, ccs=[4.0, 5.0], naive=[1.0, 2.0])
    assert [file.name for file in draw(figures, tmp_path)] == ["writes.png"]
    for dimension in "entries", "contexts", "watches elsewhere":
        for number in 1, 1_000:
            key = f"growth/{dimension}/write/{number}"
            figures.add("ccs.aio", {Quantity(key, dimension, f"{number}", "µs", at=number): 100.0})
    drawn = draw(figures, tmp_path)
    assert [file.name for file in drawn] == ["writes.png", "growth.png"]
    assert {file.read_bytes()[:4] for file in drawn} == {b"\x89PNG"}
