"""`--kill` strikes an analyst that is at work on a file, and its verdict tells a take-over from a kill that came too late."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import ccs
from ccs.types import Change
from demo.board import Audit, Board
from demo.check import Evidence, judge
from demo.entries import Job
from demo.killing import Killer, Victim
from demo.measure import measure_source
from demo.render import render
from demo.report import survey_alone
from demo.swarm import Member, Swarm

AGENT, HEIR, PLACE = "analyst-1", "analyst-2", "a.py"
FILE, CLAIM, FINDINGS = f"files/{PLACE}", f"@claims/files/{PLACE}", f"@jobs/results/files/{PLACE}"
Make = Callable[..., Change]


@pytest.fixture
def task() -> Iterator[ccs.Context]:
    with ccs.connect(f"memory://{secrets.token_hex(4)}", agent=AGENT) as store:
        yield store.task("survey")


@pytest.fixture
def member(tmp_path: Path) -> Iterator[Member]:
    """A process that stands for the analyst, and waits until its input ends."""
    job = Job("analyst", AGENT, "memory://", "survey", "", "", hold=30.0, pace=0.0, limit=None)
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, text=True)
    yield Member(job, process, tmp_path / "log")
    process.kill()
    process.communicate()


@pytest.fixture
def killer(task: ccs.Context, member: Member, tmp_path: Path) -> Killer:
    return Killer(task, Swarm(tmp_path, {AGENT: member}))


def test_an_analyst_is_killed_while_it_is_at_work(task: ccs.Context, killer: Killer, member: Member) -> None:
    with task.claim(FILE):
        assert killer.strike([AGENT]) == Victim(AGENT, PLACE)
    assert member.killed


def test_one_that_holds_no_file_may_go_on(task: ccs.Context, killer: Killer, member: Member, patience: float) -> None:
    with task.store.task("survey", agent=HEIR).claim(FILE):
        assert killer.strike([AGENT]) is None
    member.process.communicate("go on", timeout=patience)
    assert member.process.returncode == 0


def test_one_that_has_ended_is_no_victim(task: ccs.Context, killer: Killer, member: Member, patience: float) -> None:
    member.process.communicate("end", timeout=patience)
    with task.claim(FILE):
        assert killer.strike([AGENT]) is None


def test_a_file_counts_as_taken_over_also_where_the_heir_lost_its_claim_once(change: Make, tmp_path: Path) -> None:
    lapsed = [_lapsed(change, AGENT), _lapsed(change, HEIR)]
    assert _verdict(change, tmp_path, lapsed, finisher=HEIR) == (HEIR, [])


def test_a_file_that_the_victim_had_finished_is_said_to_be_so(change: Make, tmp_path: Path) -> None:
    heir, problems = _verdict(change, tmp_path, [_lapsed(change, AGENT)], finisher=AGENT)
    assert heir == AGENT
    assert problems == ["analyst-1 was killed too late: it had finished a.py, so nobody had to take that over"]


def test_a_file_that_nobody_took_over_is_a_problem(change: Make, tmp_path: Path) -> None:
    heir, problems = _verdict(change, tmp_path, [], finisher=HEIR)
    assert heir is None
    assert problems == ["the file that analyst-1 held was not taken over"]


def _lapsed(change: Make, agent: str) -> Change:
    return change(CLAIM, op="expire", previous={"holder": agent, "note": None, "id": "1"})


def _verdict(change: Make, folder: Path, lapsed: list[Change], finisher: str) -> tuple[str | None, list[str]]:
    """Who took the file over, and the problems with the kill, where the claims lapsed and then the findings came."""
    board = Board()
    cards = [change(f"agents/{agent}", {"role": "analyst", "pid": 1}) for agent in (AGENT, HEIR)]
    findings = change(FINDINGS, measure_source(PLACE, b"").model_dump(), agent=finisher)
    for one in [*cards, *lapsed, findings]:
        board.apply(one)
    evidence = Evidence(board, Audit(), survey_alone(folder), None, [], Victim(AGENT, PLACE), kill_wanted=True)
    outcome = judge(evidence, "here", 1.0)
    assert outcome.kill is not None
    assert "None took" not in render(outcome)
    about_the_kill = [problem for problem in outcome.problems if "over" in problem]
    return outcome.kill.taken_over_by, about_the_kill
