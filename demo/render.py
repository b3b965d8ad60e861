"""The report as text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from demo.names import cut
from demo.outcome import Delivery, KillLine, Outcome
from demo.report import Cycle, SurveyReport

__all__ = ["render"]

SHOWN_UNPARSED = 10
SHOWN_CYCLES = 10
WIDTH = 70


def render(outcome: Outcome) -> str:
    """The whole report."""
    parts = [_heading(outcome), *_survey(outcome.survey), _who(outcome), _delivery(outcome), _problems(outcome)]
    return "\n\n".join("\n".join(part) for part in map(list, parts) if part)


def _heading(outcome: Outcome) -> Iterator[str]:
    yield f"Survey of {outcome.folder}"
    yield f"  by Python {outcome.python}, in {outcome.seconds:.1f} s"
    yield f"  left out: folders named {', '.join(outcome.left_out)} or beginning with a dot, links to folders"


def _survey(report: SurveyReport) -> Iterator[Iterable[str]]:
    if not report.counts.files:
        yield ["There are no Python files in it."]
        return
    yield _totals(report)
    yield _complex(report)
    yield ["Most imported modules", *(f"{one.files:8,}  {one.module}" for one in report.imported)]
    yield _cycles(report)
    yield _unparsed(report)


def _totals(report: SurveyReport) -> Iterator[str]:
    counts = report.counts
    yield "Totals"
    yield f"{counts.files:10,}  files, {counts.unparsed:,} of which do not parse"
    yield f"{counts.lines:10,}  lines, {counts.size:,} bytes"
    yield f"{counts.classes:10,}  classes"
    yield f"{counts.functions:10,}  functions, of a mean complexity of {report.mean_complexity:.2f}"
    yield f"{report.docstring_share:10.1%}  of modules, classes and functions have a docstring"
    yield f"{counts.todos:10,}  comments with TODO, FIXME or XXX"
    if report.longest is not None:
        yield f"{report.longest.lines:10,}  lines in the longest function: {_where(report.longest.name, report.longest.path)}"


def _where(name: str, path: str) -> str:
    return f"{cut(name, WIDTH)} in {cut(path, WIDTH)}"


def _complex(report: SurveyReport) -> list[str]:
    ranked = [f"{one.complexity:8}  {one.lines:5}  {_where(one.name, one.path)}:{one.line}" for one in report.complex]
    return ["Most complex functions (complexity, lines)", *ranked]


def _cycles(report: SurveyReport) -> list[str]:
    shown = [f"{cycle.size:8}  {_members(cycle)}" for cycle in report.cycles[:SHOWN_CYCLES]]
    more = _more(report.cycle_count - len(shown))
    return [f"Import cycles: {report.cycle_count:,} (modules that import each other when imported)", *shown, *more]


def _members(cycle: Cycle) -> str:
    names = [cut(name, WIDTH) for name in cycle.modules[:6]]
    return ", ".join([*names, *_more(cycle.size - len(names), "")])


def _unparsed(report: SurveyReport) -> list[str]:
    if not report.unparsed:
        return []
    shown = [f"{cut(one.path, WIDTH)}: {one.error}" for one in report.unparsed[:SHOWN_UNPARSED]]
    more = _more(report.counts.unparsed - len(shown))
    return ["Files that do not parse", *(f"          {line}" for line in shown), *more]


def _more(count: int, indent: str = "          ") -> list[str]:
    return [f"{indent}and {count:,} more"] if count > 0 else []


def _who(outcome: Outcome) -> Sequence[str]:
    lines = [f"{'agent':12}{'state':9}{'files':>7}{'lost':>12}{'took over':>11}{'acknowledged':>14}{'delivered':>11}"]
    for agent in outcome.agents:
        told = "not told" if agent.acknowledged is None else f"{agent.acknowledged:,}"
        numbers = f"{agent.files:7,}{agent.lost:12,}{agent.taken_over:11,}{told:>14}{agent.delivered:11,}"
        lines.append(f"{agent.name:12}{agent.state:9}{numbers}")
    return ["Who did what", *(f"  {line}" for line in lines)]


def _delivery(outcome: Outcome) -> Iterator[str]:
    delivery = outcome.delivery
    yield "How the changes travelled"
    yield f"  {delivery.committed:,} changes in {delivery.commits:,} commits are in the journal, {_expired(delivery)}"
    yield f"  {delivery.delivered:,} changes were delivered to this program while the swarm worked"
    yield f"  the same changes, each once, in the same order: {'yes' if delivery.is_whole else 'NO'}"
    if outcome.alone_equal is not None:
        yield f"  the report equals that of a single process: {'yes' if outcome.alone_equal else 'NO'}"
    if (kill := outcome.kill) is not None:
        yield f"  {kill.agent} was killed while it held {cut(kill.place, WIDTH)}; {_heir(kill)}"


def _heir(kill: KillLine) -> str:
    if kill.taken_over_by == kill.agent:
        return "it had just finished it"
    return f"{kill.taken_over_by or 'nobody'} took it over"


def _expired(delivery: Delivery) -> str:
    return f"{delivery.expired:,} of them {'a lapsed claim' if delivery.expired == 1 else 'lapsed claims'}"


def _problems(outcome: Outcome) -> list[str]:
    return ["PROBLEMS", *(f"  {problem}" for problem in outcome.problems)] if outcome.problems else []
