"""The examples of tools as a user runs them: two agents answer each question once."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.waiting import scaled

EXAMPLES = Path(__file__).parents[2] / "examples"
ANSWERS = ["answers/capital: Lima", "answers/moons: 2", "answers/pages: 500", "answers/year: 1969"]


@pytest.mark.parametrize("client", ["openai", "anthropic"])
def test_two_agents_answer_each_question_once(client: str) -> None:
    pytest.importorskip(client)
    program = [sys.executable, str(EXAMPLES / f"tools_{client}.py")]
    done = subprocess.run(program, capture_output=True, text=True, timeout=scaled(60), check=False)
    assert (done.returncode, done.stderr) == (0, "")
    *words, one, two, three, four = done.stdout.splitlines()
    assert [one, two, three, four] == ANSWERS
    counted = [int(number) for line in words for number in re.findall(r"answered (\d+) questions", line)]
    assert len(counted) == 2
    assert sum(counted) == 4
