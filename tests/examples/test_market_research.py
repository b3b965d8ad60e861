"""The example as a user runs it; its report is held against a count of the metadata files themselves."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
from collections import Counter
from collections.abc import Iterator
from email.message import Message
from email.parser import Parser
from pathlib import Path

import pytest

from tests.support.waiting import scaled

EXAMPLE = Path(__file__).parents[2] / "examples" / "market_research.py"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """Returns the output of a run of the example, and the report that it wrote."""
    out = tmp_path_factory.mktemp("market") / "report.md"
    command = [sys.executable, str(EXAMPLE), "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=scaled(60), check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout, out.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def market() -> dict[str, Message]:
    """The metadata of what is installed, by the normal form of its name, read from the files."""
    folders = {Path(sysconfig.get_paths()[kind]) for kind in ("purelib", "platlib")}
    files = [file for folder in folders for file in folder.glob("*.dist-info/METADATA")]
    found = [Parser().parsestr(file.read_text(encoding="utf-8")) for file in files]
    return {_normal(one["Name"]): one for one in found}


def _normal(name: str) -> str:
    return name.lower().replace("_", "-").replace(".", "-")


def _rows(report: str, title: str) -> list[list[str]]:
    section = report.split(f"## {title}\n")[1].split("\n## ")[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def _first(message: Message, kind: str, otherwise: str) -> str:
    classifiers = [line.split(" :: ") for line in message.get_all("Classifier", [])]
    return ([levels[1] for levels in classifiers if levels[0] == kind] or [otherwise])[0]


def _required(message: Message) -> Iterator[str]:
    lines = [line for line in message.get_all("Requires-Dist", []) if not re.search(r"extra *==", line)]
    yield from {_normal(found.group()) for line in lines if (found := re.match(r"[\w.-]+", line))}


def test_the_three_react_to_each_other_in_turn(told: tuple[str, str]) -> None:
    said, report = told
    turns = re.findall(r"^(\w+): (\w+)$", said, re.MULTILINE)
    assert turns == [("gatherer", "data_ready"), ("analyst", "analysed"), ("reporter", "reported")]
    assert report in said


def test_the_report_divides_the_whole_market(told: tuple[str, str], market: dict[str, Message]) -> None:
    _, report = told
    assert f"the {len(market)} distributions" in report
    for title, kind, otherwise in (
        ("Segments", "Topic", "unclassified"),
        ("Maturity", "Development Status", "not stated"),
    ):
        counted = Counter(_first(message, kind, otherwise) for message in market.values())
        assert {name: int(count) for name, count, _ in _rows(report, title)} == counted


def test_the_report_names_those_most_in_demand(told: tuple[str, str], market: dict[str, Message]) -> None:
    demand = Counter(name for message in market.values() for name in _required(message) if name in market)
    expected = sorted(demand.items(), key=lambda item: (-item[1], item[0]))[:5]
    rows = _rows(told[1], "Most in demand")
    assert [(row[0], int(row[2])) for row in rows] == expected
    assert [row[1] for row in rows] == [market[name]["Version"] for name, _ in expected]
    assert all(int(row[4]) > 0 and int(row[5]) > 0 for row in rows)
