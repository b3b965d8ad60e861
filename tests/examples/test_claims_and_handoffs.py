"""The example as a user runs it, with fewer documents: it checks itself, and prints the result."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

from tests.support.waiting import counts, scaled

EXAMPLE = Path(__file__).parents[2] / "examples" / "claims_and_handoffs.py"


def test_each_document_is_read_once_and_charged_once_though_three_are_killed() -> None:
    """Given readers and accountants of which three are killed with -9, then nothing is lost and nothing is twice (G5)."""
    command = [sys.executable, str(EXAMPLE), "--documents", str(counts(50, 1000)), "--processes", "7"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=scaled(120), check=False)
    assert (done.returncode, done.stderr) == (0, "")
    assert len(re.findall("^killed (reader|accountant)-", done.stdout, re.MULTILINE)) == 3
    assert re.search(r"^\d+ documents with \d+ words, each read once and charged once$", done.stdout, re.MULTILINE)
    assert re.search(r"^agreed by accountant-0, accountant-1, clerk$", done.stdout, re.MULTILINE)
