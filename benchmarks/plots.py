"""Three pictures of a run: writes a second, the way to a callback, and what growth costs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from benchmarks.contenders import CONTENDERS
from benchmarks.figures import Figures
from benchmarks.stats import Spread, spread

__all__ = ["draw"]

OURS = "#1f6feb"
THEIRS = "#9aa4b2"
SOFT = "#d0d7de"
CALLS = {"write": "#1f6feb", "read": "#2da44e", "list": "#bf8700", "deliver": "#cf222e"}
LABELS = {"write": "set", "read": "get", "list": "list 100 paths", "deliver": "set → callback"}
DIMENSIONS = ("entries", "contexts", "watches elsewhere")
NOTE = "median of the rounds, with their interquartile range"


def draw(figures: Figures, folder: Path) -> list[Path]:
    """Draws what there are figures for; the files."""
    pictures = {"writes.png": _writes(figures), "latency.png": _latency(figures), "growth.png": _growth(figures)}
    drawn = {folder / name: picture for name, picture in pictures.items() if picture is not None}
    for file, picture in drawn.items():
        picture.savefig(file, dpi=150)
    return list(drawn)


def _measured(figures: Figures, key: str) -> dict[str, Spread]:
    """The contenders that were measured, in the order of the tables."""
    return {one.name: spread(rounds) for one in CONTENDERS if (rounds := figures.get(key, one.name))}


def _writes(figures: Figures) -> Figure | None:
    found = _measured(figures, "put/50")
    if not found:
        return None
    ordered = sorted(found.items(), key=lambda item: item[1].median)
    picture, (axes,) = _canvas(1, height=0.9 + 0.38 * len(ordered))
    _bars(axes, ordered)
    axes.set_xlabel(f"writes a second, 50 callers at once\n{NOTE}")
    return picture


def _bars(axes: Any, ordered: Sequence[tuple[str, Spread]]) -> None:
    names = [name for name, _ in ordered]
    middles = [one.median for _, one in ordered]
    colours = [OURS if name.startswith("ccs") else THEIRS for name in names]
    reach = [[one.median - one.low for _, one in ordered], [one.high - one.median for _, one in ordered]]
    bars = axes.barh(names, middles, xerr=reach, color=colours, error_kw={"ecolor": "#57606a", "capsize": 2})
    axes.bar_label(bars, labels=[f"{middle:,.0f}" for middle in middles], padding=6, fontsize=8)
    axes.margins(x=0.12)
    axes.xaxis.set_major_formatter("{x:,.0f}")


def _latency(figures: Figures) -> Figure | None:
    middle = _measured(figures, "latency/p50")
    tail = _measured(figures, "latency/p99")
    if not middle:
        return None
    ordered = sorted(middle.items(), key=lambda item: -item[1].median)
    picture, (axes,) = _canvas(1, height=0.9 + 0.38 * len(ordered))
    names = [name for name, _ in ordered]
    axes.barh(names, [tail[name].median for name in names], color=SOFT, height=0.35, label="99th percentile")
    _bars(axes, ordered)
    axes.legend(frameon=False, fontsize=8, loc="upper right")
    axes.set_xlabel(f"from put to the callback in another client, median (wide bars), µs\n{NOTE}")
    return picture


def _growth(figures: Figures) -> Figure | None:
    keys = [key for key in figures.quantities if key.startswith("growth/")]
    if not keys:
        return None
    picture, panels = _canvas(len(DIMENSIONS), height=3.2)
    for axes, dimension in zip(panels, DIMENSIONS, strict=True):
        for call in CALLS:
            _line(axes, figures, dimension, call)
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set_xlabel(dimension)
    panels[0].set_ylabel("µs, one at a time, asyncio")
    picture.legend(
        *panels[0].get_legend_handles_labels(), loc="outside upper center", ncols=4, frameon=False, fontsize=8
    )
    return picture


def _line(axes: Any, figures: Figures, dimension: str, call: str) -> None:
    prefix = f"growth/{dimension}/{call}/"
    points = sorted((one.at, one.key) for one in figures.quantities.values() if one.key.startswith(prefix))
    spreads = [spread(figures.get(key, "ccs.aio")) for _, key in points]
    numbers = [number for number, _ in points]
    axes.plot(numbers, [one.median for one in spreads], "o-", color=CALLS[call], label=LABELS[call], markersize=3)
    axes.fill_between(
        numbers, [one.low for one in spreads], [one.high for one in spreads], color=CALLS[call], alpha=0.15, linewidth=0
    )


def _canvas(panels: int, height: float) -> tuple[Figure, Sequence[Any]]:
    picture = Figure(figsize=(8, height), layout="constrained")
    found = picture.subplots(1, panels, sharey=True, squeeze=False)[0]
    for axes in found:
        axes.spines[["top", "right"]].set_visible(False)
        axes.tick_params(labelsize=8)
    return picture, list(found)
