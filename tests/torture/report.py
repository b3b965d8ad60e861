"""The report of rounds, in Markdown: what was run, what was broken, what each rule found."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from tests.torture.checks import RULES, Violation
from tests.torture.checks.acknowledged import lost_calls
from tests.torture.checks.timeline import Timelines
from tests.torture.rounds import Round

__all__ = ["Judged", "judged", "report"]

_SHOWN = 5


@dataclass(frozen=True)
class Judged:
    """A round, what its checks found, and figures of its history, which is not kept."""

    round: Round
    found: Mapping[str, Sequence[Violation]]
    operations: Counter[str]
    outcomes: Counter[str]
    figures: Mapping[str, int]

    @property
    def clean(self) -> bool:
        """Whether it is valid and nothing was found."""
        return self.round.valid and not any(self.found.values())

    @property
    def verdict(self) -> str:
        """In a word."""
        if not self.round.valid:
            return "INVALID: fewer operations or faults than planned"
        count = sum(map(len, self.found.values()))
        return f"{count} violations" if count else "clean"


def judged(played: Round, found: Mapping[str, Sequence[Violation]]) -> Judged:
    """Takes the figures of a round."""
    history = played.history
    watches = Counter(watch.end for watch in history.watches)
    figures = {
        "commits in the journals": sum(map(len, history.journals.values())),
        "changes delivered": sum(len(watch.deliveries) for watch in history.watches),
        "watches": len(history.watches),
        "of these, told of a fork": watches["HistoryForked"],
        "of these, callbacks": len(history.noted("callback errors")),
        "users made, and removed": len(history.noted("visit")),
        "states of mirrors": len(history.noted("mirror")),
        "lives of contexts": len(history.noted("life")),
        "acknowledged by all replicas": sum(call.durable for call in history.calls),
        "acknowledged, and lost by a failover that may": len(lost_calls(Timelines(history))),
    }
    return Judged(played, found, history.counts(), Counter(call.outcome for call in history.calls), figures)


def report(rounds: Sequence[Judged]) -> str:
    """The report of several rounds."""
    operations = sum(each.round.operations for each in rounds)
    faults = sum(each.round.faults.total() for each in rounds)
    violations = sum(len(found) for each in rounds for found in each.found.values())
    lines = [
        f"{operations:,} operations, {faults} faults, {violations} violations."
        f" ccs {version('collaborative-context-store')}, Python {platform.python_version()}, {platform.machine()}.",
        "",
        *_table(
            ("topology", "servers", "seed", "operations", "faults", "minutes", "verdict"),
            [
                (
                    each.round.plan.topology, each.round.version, each.round.plan.seed, f"{each.round.operations:,}",
                    each.round.faults.total(), f"{each.round.seconds / 60:.1f}", each.verdict,
                )
                for each in rounds
            ],
        ),
    ]  # fmt: skip
    lines += _side_by_side("Operations by kind", rounds, lambda each: each.operations)
    lines += _side_by_side(
        "Answers", rounds, lambda each: Counter({k or "none (killed)": n for k, n in each.outcomes.items()})
    )
    lines += _side_by_side("Faults by kind", rounds, lambda each: each.round.faults)
    lines += _side_by_side("What was compared", rounds, lambda each: Counter(each.figures), in_order=True)
    lines += _rules(rounds)
    for each in rounds:
        lines += _evidence(each)
    return "\n".join(lines) + "\n"


def _side_by_side(title: str, rounds: Sequence[Judged], counts: object, *, in_order: bool = False) -> list[str]:
    found: list[Counter[str]] = [counts(each) for each in rounds]  # type: ignore[operator]
    total = sum(found, Counter())
    kinds: Iterable[str] = {kind: None for each in found for kind in each} if in_order else sorted(total)
    rows = [(kind, *(f"{each[kind]:,}" for each in found), f"{total[kind]:,}") for kind in kinds]
    return ["", f"## {title}", "", *_table(("", *(each.round.plan.topology for each in rounds), "all"), rows)]


def _rules(rounds: Sequence[Judged]) -> list[str]:
    rows = [(promise, *(len(each.found.get(promise, ())) for each in rounds)) for promise in RULES]
    return ["", "## Violations by rule", "", *_table(("", *(each.round.plan.topology for each in rounds)), rows)]


def _evidence(judged: Judged) -> list[str]:
    lines: list[str] = []
    for promise, found in judged.found.items():
        for violation in found[:_SHOWN]:
            lines += ["", f"### {judged.round.plan.topology}: {promise}", "", violation.text, ""]
            lines += [f"    {str(each)[:1000]}" for each in violation.evidence]
    return ["", "## Evidence", *lines] if lines else []


def _table(head: Sequence[object], rows: Iterable[Sequence[object]]) -> list[str]:
    shown = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in shown]
