"""Plays the commands of `docs/shell.md`, in order, as on a terminal of 100 columns, and puts what they print below them.

`python -m tests.cli.page` renews the page. A command is a line `$ ccs …` of a block marked `console`; `echo TEXT |` before it,
`< FILE` and `> FILE` behind it are understood, `# 3` behind it is the exit code that is expected.
"""

from __future__ import annotations

import contextlib
import io
import os
import re
import shlex
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from unittest import mock

from ccs import cli
from ccs.embedded.binary import find

__all__ = ["PAGE", "normal", "played"]

PAGE = Path(__file__).resolve().parents[2] / "docs" / "shell.md"
_BLOCK = re.compile(r"(?<=^```console\n)(.*?)(?=^```$)", re.DOTALL | re.MULTILINE)
_LINE = re.compile(r"\$ (?:echo (?P<echo>.*?) \| )?ccs (?P<words>.*?)(?: < (?P<source>\S+))?(?: > (?P<target>\S+))?(?: +# (?P<code>\d+))?")  # fmt: skip
# What differs from run to run.
_VARYING = (
    (re.compile(r"\d{4}-\d\d-\d\d[ T]\d\d:\d\d:\d\d(?:\.\d+)?(?:\+00:00|Z)?"), "DATE"),
    (re.compile(r"\d\d:\d\d:\d\d(?:\.\d+)?"), "TIME"),
    (re.compile(r"\b[0-9a-f]{16}-\d\b"), "ID"),
    (re.compile(r"\b\d{16}\b"), "REVISION"),
    (re.compile(r"(?<=seed=)\S+|\b\d+(?:\.\d+)? (?:ms|s|min|h|d|B|kB|MB|GB)\b|\b\d+\.\d+ s\b"), "SIZE"),
    (re.compile(r"(?m:(?:SIZE ago|\bnow)$)"), "AGO"),
    (re.compile(r"(?:server|keeper) \d+"), "PROCESS"),
    (re.compile(r"[Vv]alkey \d[\d.]*"), "VALKEY"),
    (re.compile(r"(?<=file system  )\S+"), "FILES"),
    (re.compile(r"\d+\.\d commits/s|\d+ a second"), "RATE"),
    (re.compile(r" {2,}"), "  "),
)


def normal(page: str) -> str:
    """Returns the page without what differs from run to run."""
    for pattern, instead in _VARYING:
        page = pattern.sub(instead, page)  # type: ignore[arg-type]
    return page


def played(page: str) -> str:
    """Returns the page with what its commands print now."""
    with _elsewhere() as folder:
        return _BLOCK.sub(lambda block: _play(block[0]).replace(folder, "/home/ann"), page)


@contextlib.contextmanager
def _elsewhere() -> Iterator[str]:
    """A folder of its own, and an environment as at a terminal."""
    program = find("the page", None).path
    here = os.getcwd()
    given = {"CCS_URL": "./brain", "CCS_AGENT": "night-shift", "NO_COLOR": "1", "COLUMNS": "100", "TZ": "UTC"}
    with tempfile.TemporaryDirectory() as folder, mock.patch.dict(os.environ, given):
        os.environ.pop("CCS_NAMESPACE", None)
        time.tzset()
        os.chdir(folder)
        os.symlink(program, "valkey-server")
        os.environ["CCS_SERVER_BIN"] = os.path.join(os.getcwd(), "valkey-server")
        try:
            with mock.patch("ccs.cli.output.is_terminal", return_value=True):
                yield os.getcwd()
        finally:
            os.chdir(here)
    time.tzset()


def _play(block: str) -> str:
    lines = [line for line in block.splitlines() if line.startswith("$ ")]
    return "\n".join(f"{line}\n{_run(line)}".rstrip("\n") + "\n" for line in lines)


def _run(line: str) -> str:
    found = _LINE.fullmatch(line)
    assert found, line
    stdin = "".join(f"{word}\n" for word in shlex.split(found["echo"] or ""))
    if found["source"]:
        stdin = Path(found["source"]).read_text("utf-8")
    out = io.TextIOWrapper(io.BytesIO(), "utf-8")
    code = _main(shlex.split(found["words"]), stdin, out)
    assert code == int(found["code"] or 0), (line, code, out.buffer.getvalue().decode())  # type: ignore[attr-defined]
    printed = out.buffer.getvalue().decode()  # type: ignore[attr-defined]
    if found["target"]:
        Path(found["target"]).write_text(printed, "utf-8")
        return ""
    return printed


def _main(words: Sequence[str], stdin: str, out: io.TextIOWrapper) -> int:
    given = io.TextIOWrapper(io.BytesIO(stdin.encode()), "utf-8")
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out), mock.patch.object(sys, "stdin", given):
        try:
            code = int(cli.main(words))
        except SystemExit as ended:
            code = int(ended.code or 0)
        out.flush()
        return code


if __name__ == "__main__":
    PAGE.write_text(played(PAGE.read_text("utf-8")), "utf-8")
