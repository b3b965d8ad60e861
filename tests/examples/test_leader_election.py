"""The example as a user runs it: there is one leader at a time, also when a leader is killed."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support.waiting import scaled

EXAMPLE = Path(__file__).parents[2] / "examples" / "leader_election.py"


def test_when_the_leader_is_killed_the_next_one_leads(valkey: str) -> None:
    command = [sys.executable, "-X", "dev", "-W", "error", str(EXAMPLE), "--store", valkey]
    done = subprocess.run(command, capture_output=True, text=True, timeout=scaled(60), check=False)
    assert (done.returncode, done.stderr) == (0, "")
    *said, last = done.stdout.splitlines()
    leaders = [match[1] for line in said if (match := re.fullmatch(r"(\w+) leads", line))]
    assert sorted(leaders) == ["ann", "bob", "cem"]
    first, second, third = leaders
    assert said == [
        *(f"{first} leads", f"{first} has crashed"),
        *(f"{second} leads", f"{second} retires"),
        *(f"{third} leads", f"{third} retires"),
    ]
    assert last == "each led once, under tokens that grow: True"
