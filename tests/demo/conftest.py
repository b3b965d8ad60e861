"""What the tests of the demo share: a code base made for them, changes made by hand, and the demo as a process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ccs.types import Change, Operation
from demo.outcome import Outcome
from tests.support.waiting import scaled

PATIENCE = scaled(60.0)
START = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def patience() -> float:
    """Seconds after which something has gone wrong."""
    return PATIENCE


@pytest.fixture
def code_base(tmp_path: Path) -> Path:
    """A folder of good, bad and odd Python files."""
    folder = tmp_path / "code base"
    for name, source in _sources().items():
        path = folder / os.fsdecode(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(source)
    (folder / "dangling.py").symlink_to(folder / "nowhere")
    (folder / "pkg" / "loop").symlink_to(folder)
    os.mkfifo(folder / "pipe.py")
    return folder


def _sources() -> dict[bytes, bytes]:
    many = {f"many/m{n:02}.py".encode(): _module(n) for n in range(50)}
    return {
        b"pkg/__init__.py": b'"""A package."""\nfrom . import a\n',
        b"pkg/a.py": b"from .b import f\ndef g(x):\n    return x or f\n",
        b"pkg/b.py": b"from pkg import a\ndef f(): pass  # TODO: more\n",
        b"bad syntax.py": b"def (:\n",
        b"bad bytes.py": b"x = '\xff\xfe'\n",
        b"null.py": b"x = 1\x00\n",
        b"odd \xff {a,b} [x] *.py": b"import os\n",
        b"todo/taken/findings/x.py": b"import sys\n",
        b"d/" * 80 + b"deep.py": b"import sys\n",
        b"n" * 200 + b"/" + b"n" * 250 + b"/" + b"n" * 250 + b"/" + b"n" * 250 + b".py": b"import sys\n",
        b"empty.py": b"",
        **many,
    }


def _module(number: int) -> bytes:
    branches = "\n".join(f"    if a == {n}: return {n}" for n in range(number))
    return f"import os, pkg.a\n\ndef function_{number}(a):\n    '''It branches.'''\n{branches}\n".encode()


@dataclass
class Told:
    """What a run of the demo said, and the outcome that it wrote."""

    code: int
    out: str
    err: str
    outcome: Outcome | None


@pytest.fixture
def surroundings(tmp_path: Path) -> dict[str, str]:
    """The environment of a demo: what it leaves behind when it is killed is cleaned up with the test."""
    return {**os.environ, "TMPDIR": str(tmp_path)}


@pytest.fixture
def demo(tmp_path: Path, surroundings: dict[str, str]) -> Callable[..., Told]:
    """`demo(*arguments)` runs the demo to its end."""

    def run(*arguments: object) -> Told:
        file = tmp_path / "outcome.json"
        command = [sys.executable, "-m", "demo", *map(str, arguments), "--json", str(file)]
        done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, env=surroundings, check=False)
        outcome = Outcome.model_validate(json.loads(file.read_text())) if file.exists() else None
        return Told(done.returncode, done.stdout, done.stderr, outcome)

    return run


@pytest.fixture
def change() -> Callable[..., Change]:
    """`change(path, value)` makes the next change of a task."""
    revisions: Iterator[int] = iter(range(1, 1_000_000))

    def make(path: str, value: Any = None, op: Operation = "set", agent: str = "analyst-1", **more: Any) -> Change:
        revision = more.pop("revision", None) or next(revisions)
        given: dict[str, Any] = {"previous": None, "created": op == "set", "version": 1, **more}
        at = START + timedelta(milliseconds=100 * revision)
        return Change("/tasks/t", path, op, value, revision=revision, agent=agent, at=at, **given)

    return make
