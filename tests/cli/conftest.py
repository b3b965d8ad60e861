"""The command `ccs`, run in this process or as a program: in a pipe, or in a terminal."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import pytest

import ccs
from ccs import cli


class Ran(NamedTuple):
    """What a command has printed, and its exit code."""

    code: int
    out: str
    err: str

    @property
    def objects(self) -> list[Any]:
        """The JSON objects, one a line."""
        return [json.loads(line, parse_constant=pytest.fail) for line in self.out.splitlines()]

    @property
    def lines(self) -> list[str]:
        return self.out.splitlines()


Run = Callable[..., Ran]


@pytest.fixture
def run(valkey: str, namespace: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs a command in this process, on the shared server, in the namespace of the test."""
    monkeypatch.setenv("CCS_URL", valkey)
    monkeypatch.setenv("CCS_NAMESPACE", namespace)
    monkeypatch.setenv("CCS_AGENT", "ann")

    def run(*arguments: str, stdin: str | bytes = "") -> Ran:
        raw = stdin.encode() if isinstance(stdin, str) else stdin
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(raw), "utf-8"))
        capsys.readouterr()
        try:
            code = int(cli.main(arguments))
        except SystemExit as ended:
            code = int(ended.code or 0)
        out, err = capsys.readouterr()
        return Ran(code, out, err)

    return run


@pytest.fixture
def store(valkey: str, namespace: str) -> Iterator[ccs.Store]:
    with ccs.connect(valkey, agent="bob", namespace=namespace) as store:
        yield store


@pytest.fixture
def task(store: ccs.Store) -> ccs.Context:
    """A task with a few entries."""
    task = store.task("42")
    task.set("status", "open")
    task.set("sources/a", {"url": "x", "n": 1})
    task.set("sources/b", None)
    return task
