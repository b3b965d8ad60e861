"""The example as a user runs it: what it reports follows from its tickets alone."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from tests.support.waiting import scaled

EXAMPLE = Path(__file__).parents[2] / "examples" / "support_tickets.py"

REPORT = """\
angry: 2
neutral: 1
pleased: 4
order 17: refund offered (het spijt ons, ann)
order 20: refund offered (we are sorry, dia)

ann, step by step:
triage: unknown → pleased
triage: pleased → angry
triage: angry → pleased
"""


def test_the_report_is_what_the_tickets_say() -> None:
    done = subprocess.run(
        [sys.executable, str(EXAMPLE)], capture_output=True, text=True, timeout=scaled(60), check=False
    )
    assert (done.returncode, done.stderr, done.stdout) == (0, "", REPORT)
