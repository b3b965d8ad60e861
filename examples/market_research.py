"""Market research by three programs that share nothing but a context.

    python examples/market_research.py [--store TARGET] [--out FILE]

The market is a real one, and at hand wherever this runs: the Python distributions installed on this machine, as
their own metadata describes them (`importlib.metadata`). Nothing is invented, and nothing is fetched.

- The *gatherer* lists the distributions as `sources/<name>`, and says of each that it is "gathered".
- The *analyst* reacts to each, keeps `findings/<name>`, and wants to know more about those most in demand.
- The *gatherer* reacts to that in turn, and looks up how many files and bytes they take.
- The *reporter* follows the `status`, writes the report when it is "analysed", and ends the task.

Each is a process of its own. They meet in these entries of one task:

    status                  data_ready → analysed → reported                    whose turn it is
    sources/<name>          a Source                                            by the gatherer
    sources/<name>/status   gathered → analysed (→ wanted → detailed)           by gatherer and analyst in turn
    sources/<name>/detail   a Detail, of what is wanted                         by the gatherer
    findings/<name>         a Finding                                           by the analyst
    progress/…              how many are done                                   by the analyst
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Mapping
from importlib.metadata import Distribution, distributions
from pathlib import Path

from pydantic import BaseModel

import ccs

TIMEOUT = 60.0
CLOSER_LOOKS = 5


class Source(BaseModel):
    """A distribution, as its metadata describes it."""

    version: str
    classifiers: list[str]
    requires: list[str]


class Detail(BaseModel):
    """What an installed distribution takes."""

    files: int
    size: int


class Finding(BaseModel):
    """What the analyst makes of a distribution; `demand` is how many others require it."""

    version: str
    segment: str
    maturity: str
    requires: list[str]
    demand: int = 0
    detail: Detail | None = None


# --- the three programs -----------------------------------------------------------------------------------------------


def gatherer(target: str, task_id: str) -> None:
    """Gathers all sources, then says so; and looks closer at those that somebody wants to know more about."""
    with ccs.connect(target, agent="gatherer") as store:
        task = store.task(task_id)
        market = installed()

        @task.on_change("sources/*/status")
        def look_closer(change: ccs.Change) -> None:
            if change.value == "wanted":
                name = source_of(change)
                task.set_many({f"sources/{name}/detail": measure(market[name]), change.path: "detailed"})

        for name, distribution in market.items():
            task.set_many({f"sources/{name}": describe(distribution), f"sources/{name}/status": "gathered"})
        task.set("status", "data_ready")
        task.wait_for("status", "reported", timeout=TIMEOUT)


def analyst(target: str, task_id: str) -> None:
    """Assesses each source as it comes, then ranks the whole market."""
    with ccs.connect(target, agent="analyst") as store:
        task = store.task(task_id)

        @task.on_change("sources/*/status", initial=True)  # those gathered before this line, then all that follow
        def study(change: ccs.Change) -> None:
            name = source_of(change)
            if change.value == "gathered":
                source = Source.model_validate(task.get(f"sources/{name}"))
                task.set_many({f"findings/{name}": assess(source), change.path: "analysed"})
                task.increment("progress/analysed")
            elif change.value == "detailed":
                task.merge(f"findings/{name}", {"detail": task.get(f"sources/{name}/detail")})
                task.increment("progress/detailed")

        task.wait_for("status", "data_ready", timeout=TIMEOUT)
        task.wait_for("progress/analysed", len(task.paths("sources/*")), timeout=TIMEOUT)
        demand = demand_for(findings_in(task))
        for name, count in demand.items():
            task.merge(f"findings/{name}", {"demand": count})
        if wanted := most_wanted(demand):
            task.set_many({f"sources/{name}/status": "wanted" for name in wanted})
            task.wait_for("progress/detailed", len(wanted), timeout=TIMEOUT)
        task.set("status", "analysed")
        task.wait_for("status", "reported", timeout=TIMEOUT)


def reporter(target: str, task_id: str, out: Path) -> None:
    """Tells how the research goes, writes the report in its turn, and ends the task."""
    with ccs.connect(target, agent="reporter") as store:
        task = store.task(task_id)

        with task.watch("status", since=0) as statuses:
            status = None
            while status != "reported":
                change = statuses.receive(timeout=TIMEOUT)
                status = change.value
                print(f"{change.agent}: {status}", flush=True)
                if status == "analysed":
                    out.write_text(report(findings_in(task)), encoding="utf-8")
                    task.set("status", "reported")
        task.finish("reported", keep=60)


def source_of(change: ccs.Change) -> str:
    """`six`, of a change of `sources/six/status`."""
    return change.path.split("/")[1]


def findings_in(task: ccs.Context) -> dict[str, Finding]:
    """All findings, as they stood at one moment, by the name of the distribution."""
    found = task.snapshot("findings/*")
    return {path.removeprefix("findings/"): Finding.model_validate(entry.value) for path, entry in found.items()}


# --- the data ---------------------------------------------------------------------------------------------------------


def normal(name: str) -> str:
    """The one form of a distribution's name."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed() -> dict[str, Distribution]:
    """The distributions of this Python by name; of several of a name, the one that an import would find."""
    found: dict[str, Distribution] = {}
    for distribution in distributions():
        if "Name" in distribution.metadata:  # not in what a broken installation left behind
            found.setdefault(normal(distribution.name), distribution)
    return dict(sorted(found.items()))


def describe(distribution: Distribution) -> Source:
    """The metadata of a distribution. What only an extra requires is left out; what only some platform does is not."""
    required = {normal(re.split(r"[^\w.-]", line, maxsplit=1)[0]) for line in needed(distribution.requires or [])}
    return Source(
        version=distribution.version,
        classifiers=distribution.metadata.get_all("Classifier") or [],
        requires=sorted(required),
    )


def needed(requirements: Iterable[str]) -> Iterable[str]:
    """The requirements that do not depend on an extra."""
    return (line for line in requirements if "extra ==" not in line.replace("extra==", "extra =="))


def measure(distribution: Distribution) -> Detail:
    """How many files it has installed, and their bytes."""
    paths = [Path(str(file.locate())) for file in distribution.files or []]
    sizes = [path.stat().st_size for path in paths if path.is_file()]
    return Detail(files=len(sizes), size=sum(sizes))


# --- the analysis -----------------------------------------------------------------------------------------------------


def assess(source: Source) -> Finding:
    """What a single source tells."""
    segment = classified(source.classifiers, "Topic", "unclassified")
    maturity = classified(source.classifiers, "Development Status", "not stated")
    return Finding(version=source.version, segment=segment, maturity=maturity, requires=source.requires)


def classified(classifiers: Iterable[str], kind: str, otherwise: str) -> str:
    """The first classifier of that kind: its second level."""
    levels = (line.split(" :: ") for line in classifiers)
    return next((level[1] for level in levels if level[0] == kind and len(level) > 1), otherwise)


def demand_for(findings: Mapping[str, Finding]) -> dict[str, int]:
    """How many distributions require each of those that are there."""
    wanted = Counter(name for finding in findings.values() for name in finding.requires)
    return {name: wanted[name] for name in findings if wanted[name]}


def most_wanted(demand: Mapping[str, int]) -> list[str]:
    """The names of those most in demand."""
    return sorted(demand, key=lambda name: (-demand[name], name))[:CLOSER_LOOKS]


def report(findings: Mapping[str, Finding]) -> str:
    """The written report, in Markdown."""
    leaders = most_wanted({name: finding.demand for name, finding in findings.items() if finding.demand})
    lines = [
        "# The market of Python distributions on this machine",
        "",
        f"On the metadata of the {len(findings)} distributions installed for {sys.executable}.",
        "",
        "## Most in demand",
        "",
        "| distribution | version | required by | segment | files | bytes |",
        "| --- | --- | --- | --- | --- | --- |",
        *(leader_line(name, findings[name]) for name in leaders),
        *share_table("Segments", Counter(finding.segment for finding in findings.values())),
        *share_table("Maturity", Counter(finding.maturity for finding in findings.values())),
    ]
    return "\n".join(lines) + "\n"


def leader_line(name: str, finding: Finding) -> str:
    """A row of the table of those most in demand."""
    detail = finding.detail or Detail(files=0, size=0)
    cells = (name, finding.version, finding.demand, finding.segment, detail.files, detail.size)
    return f"| {' | '.join(map(str, cells))} |"


def share_table(title: str, counts: Counter[str]) -> list[str]:
    """A table of how the market divides."""
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    rows = [f"| {name} | {count} | {count / counts.total():.0%} |" for name, count in ranked]
    return ["", f"## {title}", "", "| | distributions | share |", "| --- | --- | --- |", *rows]


# --- the demo of it: three processes ----------------------------------------------------------------------------------


def main() -> int:
    """Start the three, wait for them, and show the report."""
    parser = argparse.ArgumentParser(description="Market research by three programs that share nothing but a context.")
    parser.add_argument("--store", metavar="TARGET", help="a folder or a redis:// URL (default: a temporary folder)")
    parser.add_argument(
        "--out", type=Path, default=Path("market_report.md"), help="where the report goes (default: %(default)s)"
    )
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as scratch:
        failed = research(arguments.store or scratch, arguments.out)
    if failed:
        print(f"these failed: {', '.join(failed)}", file=sys.stderr)
        return 1
    print(f"\n{arguments.out.read_text(encoding='utf-8')}\nwritten to {arguments.out}")
    return 0


def research(target: str, out: Path) -> list[str]:
    """Run the three programs on a task of their own; the names of those that failed."""
    task_id = f"market-{multiprocessing.current_process().pid}"
    spawn = multiprocessing.get_context("spawn")
    processes = [
        spawn.Process(target=reporter, args=(target, task_id, out), name="reporter"),
        spawn.Process(target=analyst, args=(target, task_id), name="analyst"),
        spawn.Process(target=gatherer, args=(target, task_id), name="gatherer"),
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.name for process in processes if process.exitcode]


if __name__ == "__main__":
    sys.exit(main())
