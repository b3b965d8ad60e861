"""From findings to the report of a survey. The swarm's reporter and the single process use the same tally."""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from demo.findings import Counts, FileFindings, FunctionFacts, by_complexity, by_length
from demo.graph import Imports, cycles
from demo.listing import package_of, python_files
from demo.measure import measure
from demo.names import cut

__all__ = ["Cycle", "Imported", "SurveyReport", "Tally", "Unparsed", "survey_alone"]

# The report is one value of the store, so everything in it is bounded, whatever was surveyed.
TOP = 10
MAX_UNPARSED = 50
MAX_CYCLES = 20
MAX_MEMBERS = 20
MAX_NAME = 200


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Imported(_Frozen):
    """A module and how many of the surveyed files import it."""

    module: str
    files: int


class Cycle(_Frozen):
    """Modules that import each other: how many, and the first of them by name."""

    size: int
    modules: list[str]


class Unparsed(_Frozen):
    """A file that could not be read or parsed, and why."""

    path: str
    error: str


class SurveyReport(_Frozen):
    """What a survey found. `unparsed` and `cycles` hold the first ones; `counts` and `cycle_count` count all."""

    counts: Counts
    longest: FunctionFacts | None
    complex: list[FunctionFacts]
    imported: list[Imported]
    cycle_count: int
    cycles: list[Cycle]
    unparsed: list[Unparsed]

    @property
    def mean_complexity(self) -> float:
        """Of all functions."""
        return self.counts.complexity / max(1, self.counts.functions)

    @property
    def docstring_share(self) -> float:
        """Of all modules, classes and functions."""
        return self.counts.documented / max(1, self.counts.definitions)


@dataclass(slots=True)
class Tally:
    """Adds findings up as they come, in any order; `base` is the dotted name of the surveyed folder, if a package."""

    base: str = ""
    counts: Counts = field(default_factory=Counts)
    longest: FunctionFacts | None = None
    complex: list[FunctionFacts] = field(default_factory=list)
    unparsed: list[Unparsed] = field(default_factory=list)
    paths: set[str] = field(default_factory=set)
    imports: Imports = field(init=False)

    def __post_init__(self) -> None:
        self.imports = Imports(self.base)

    def add(self, found: FileFindings) -> None:
        """Count a file in. `ValueError` if it was counted before."""
        if found.path in self.paths:
            raise ValueError(f"{found.path!r} was counted before")
        self.paths.add(found.path)
        self.counts += found.counts
        self.imports.add(found.path, found.imports, found.late_imports)
        self._rank(found)

    def _rank(self, found: FileFindings) -> None:
        self.complex = heapq.nsmallest(TOP, [*self.complex, *found.complex], key=by_complexity)
        self.longest = min(filter(None, (self.longest, found.longest)), key=by_length, default=None)
        if found.error is not None:
            self.unparsed.append(Unparsed(path=found.path, error=found.error))

    def report(self) -> SurveyReport:
        """The report on what was counted so far."""
        groups = cycles(self.imports.graph())
        return SurveyReport(
            counts=self.counts,
            longest=self.longest,
            complex=self.complex,
            imported=self._most_imported(),
            cycle_count=len(groups),
            cycles=[Cycle(size=len(group), modules=_names(group)) for group in groups[:MAX_CYCLES]],
            unparsed=sorted(self.unparsed, key=lambda one: one.path)[:MAX_UNPARSED],
        )

    def _most_imported(self) -> list[Imported]:
        ranked = sorted(self.imports.importers().items(), key=lambda item: (-item[1], item[0]))
        return [Imported(module=cut(name, MAX_NAME), files=files) for name, files in ranked[:TOP]]


def _names(group: list[str]) -> list[str]:
    return [cut(name, MAX_NAME) for name in group[:MAX_MEMBERS]]


def survey_alone(folder: Path, limit: int | None = None) -> SurveyReport:
    """The same survey by this process alone, without a store: what the swarm's must equal."""
    tally = Tally(package_of(folder))
    for raw in python_files(folder, limit):
        tally.add(measure(folder, raw))
    return tally.report()
