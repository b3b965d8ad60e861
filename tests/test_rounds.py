"""Which tests belong to which rounds."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.rounds import NOT_IN_SHORT_ROUNDS, Case, left_out

ROOT = Path(__file__).parents[1]
COLOURS = ("asyncio", "blocking")
KINDS = ("valkey", "redis")


def cases(name: str, kinds: tuple[str, ...] = KINDS, *more: str) -> list[Case]:
    """A test in both colours, on these kinds of servers."""
    return [
        Case(f"{name}[{'-'.join((colour, kind, *more))}]", {"open_store": colour, "target": kind})
        for colour in COLOURS
        for kind in kinds
    ]


def kept(given: list[Case], *, others: bool = False, per_kind: bool = False) -> list[Case]:
    dropped = left_out(given, others=others, per_kind=per_kind)
    return [case for case in given if case.nodeid not in dropped]


def test_short_rounds_run_each_test_once_and_each_of_its_variants() -> None:
    given = [*cases("t.py::test_a"), *cases("t.py::test_a", KINDS, "x"), *cases("t.py::test_b")]
    tests = [case.test(per_kind=False) for case in kept(given)]
    assert sorted(tests) == sorted({case.test(per_kind=False) for case in given})
    assert len(tests) == 3


def test_the_others_are_all_that_short_rounds_leave_out() -> None:
    given = cases("t.py::test_a")
    short, rest = kept(given), kept(given, others=True)
    assert (len(short), len(rest)) == (1, 3)
    assert {case.nodeid for case in (*short, *rest)} == {case.nodeid for case in given}


def test_all_combinations_are_met() -> None:
    given = [case for number in range(100) for case in cases(f"t.py::test_{number}")]
    met = {(case.values["open_store"], case.values["target"]) for case in kept(given)}
    assert met == {(colour, kind) for colour in COLOURS for kind in KINDS}


def test_each_kind_of_server_can_be_asked_for_and_a_cluster_counts_for_itself() -> None:
    given = cases("t.py::test_a", ("valkey", "redis", "cluster"))
    assert sorted(str(case.values["target"]) for case in kept(given, per_kind=True)) == ["cluster", "redis", "valkey"]
    assert [case.values["target"] == "cluster" for case in kept(given)].count(True) == 1
    assert len(kept(given)) == 2


def test_a_test_of_nothing_that_is_combined_always_runs() -> None:
    alone = Case("t.py::test_a[blocking-1]", {"by": 1})
    assert kept([alone]) == [alone]
    assert kept([alone], others=True) == []


@pytest.mark.parametrize("file", NOT_IN_SHORT_ROUNDS)
def test_what_is_too_long_for_short_rounds_runs_in_the_others(file: str) -> None:
    given = [Case(f"{file}::test_{name}{more}", {}) for name in NOT_IN_SHORT_ROUNDS[file] for more in ("", "[asyncio]")]
    given = [case for case in given if case.nodeid.count("[") < 2]
    assert kept(given) == []
    assert kept(given, others=True) == given


@pytest.mark.parametrize("script", ["scripts/test", ".ci/run"])
def test_all_tests_that_a_script_chooses_exist(script: str) -> None:
    named = re.findall(r"tests/[\w{},/.]+", (ROOT / script).read_text())
    command = ["bash", "-c", f"printf '%s\\n' {' '.join(named)}"]
    chosen = subprocess.run(command, check=True, capture_output=True, encoding="utf-8").stdout.split()
    assert chosen
    assert [path for path in chosen if not (ROOT / path).exists()] == []
