"""The whole demo, as a user runs it: real processes, a real server, and a report that has to be right."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.cli import main
from demo.entries import Job
from demo.report import survey_alone
from demo.swarm import Swarm
from tests.support.waiting import eventually

FILES = 63


def test_the_swarm_reports_what_a_single_process_does_and_that_all_was_delivered(demo: Any, code_base: Path) -> None:
    """Given no terminal, then the output is lines, and the report right."""
    told = demo(code_base, "--analysts", 3, "--verify")
    assert (told.code, told.err) == (0, "")
    outcome = told.outcome
    assert outcome.survey == survey_alone(code_base)
    assert (outcome.survey.counts.files, outcome.survey.counts.unparsed) == (FILES, 5)
    assert (outcome.problems, outcome.alone_equal) == ([], True)

    assert outcome.delivery.is_whole
    assert outcome.delivery.delivered == outcome.delivery.committed >= 5 * FILES
    assert {agent.name: agent.acknowledged for agent in outcome.agents} == {
        agent.name: agent.delivered for agent in outcome.agents
    }
    assert sum(agent.files for agent in outcome.agents if agent.role == "analyst") == FILES

    assert "\x1b" not in told.out
    for expected in (
        f"surveying {code_base}, with 3 analysts",
        f"the surveyor has listed {FILES} files",
        "Totals",
        "Most complex functions",
        "function_49 in many/m49.py",
        "Most imported modules",
        "Import cycles: 1",
        "pkg.a, pkg.b",
        "Files that do not parse",
        "null.py: ",
        "Who did what",
        "the same changes, each once, in the same order: yes",
    ):
        assert expected in told.out


def test_an_analyst_that_is_killed_has_its_file_taken_over_and_nothing_is_counted_twice(
    demo: Any, code_base: Path
) -> None:
    told = demo(code_base, "--kill", "--analysts", 2, "--hold", 1, "--pace", 0.03)
    outcome = told.outcome
    assert (told.code, outcome.problems) == (0, [])
    assert outcome.survey == survey_alone(code_base)
    assert outcome.kill.taken_over_by not in (None, outcome.kill.agent)
    assert outcome.delivery.expired >= 1
    assert [agent.name for agent in outcome.agents if agent.state == "killed"] == [outcome.kill.agent]
    assert f"{outcome.kill.agent} was killed with -9" in told.out


def test_on_a_terminal_the_view_is_live_and_the_report_stays(
    code_base: Path, patience: float, surroundings: dict[str, str]
) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "demo", str(code_base), "--analysts", "1", "--limit", "20"]
    environment = {**surroundings, "TERM": "xterm", "COLUMNS": "120", "LINES": "50"}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env=environment) as process:
        os.close(theirs)
        said = b"".join(_read_all(ours)).decode()
        assert process.wait(patience) == 0
    os.close(ours)
    assert "the latest changes" in said
    assert said.index("the latest changes") < said.index("Who did what")


def _read_all(terminal: int) -> Iterator[bytes]:
    while True:
        try:
            data = os.read(terminal, 65_536)
        except OSError:  # how Linux says that the other end is closed
            return
        if not data:
            return
        yield data


def test_a_folder_without_python_files_is_no_error(demo: Any, tmp_path: Path) -> None:
    (tmp_path / "nothing").mkdir()
    told = demo(tmp_path / "nothing", "--analysts", 1)
    assert told.code == 0
    assert "There are no Python files in it." in told.out


def test_a_store_of_ones_own_is_used_and_keeps_the_task(demo: Any, code_base: Path, tmp_path: Path) -> None:
    told = demo(code_base, "--analysts", 1, "--limit", 5, "--store", tmp_path / "brain")
    assert told.code == 0
    assert told.outcome.survey.counts.files == 5
    assert (tmp_path / "brain" / ".ccs").is_dir()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["/no/such/folder"], "is not a folder"),
        (["--analysts", "0"], "not a number from 1 on"),
        (["--analysts", "1", "--kill"], "--kill needs --analysts 2"),
        (["--store", "memory://"], "one process only"),
        (["--json", "/no/such/folder/x.json"], "cannot be written"),
        (["--hold", "0"], "not between 0.1 and 60 seconds"),
    ],
)
def test_wrong_usage_says_what_is_wrong(arguments: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert said in capsys.readouterr().err


def test_the_usage_names_the_command_that_was_typed(capsys: pytest.CaptureFixture[str]) -> None:
    for given, prog in (({}, "scripts/demo"), ({"prog": "python -m demo"}, "python -m demo")):
        with pytest.raises(SystemExit):
            main(["--help"], **given)
        assert capsys.readouterr().out.startswith(f"usage: {prog} [")
    done = subprocess.run([sys.executable, "-m", "demo", "--help"], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("usage: python -m demo [")


@pytest.fixture
def under_way(code_base: Path, surroundings: dict[str, str]) -> Iterator[subprocess.Popen[str]]:
    """A demo that is at work and would be for a while."""
    command = [sys.executable, "-m", "demo", str(code_base), "--pace", "5", "--analysts", "2"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=surroundings) as process:
        try:
            assert process.stdout is not None
            assert any("the surveyor has listed" in line for line in process.stdout)
            yield process
        finally:
            process.kill()


def _children(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def _alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if Path(f"/proc/{pid}").exists() and _state(pid) != "Z"]


def _state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


linux = pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")


@linux
@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_demo_ends_its_swarm(
    under_way: subprocess.Popen[str], patience: float, how: signal.Signals
) -> None:
    swarm = _children(under_way.pid)
    under_way.send_signal(how)
    assert under_way.wait(patience) == 130
    assert under_way.stderr is not None
    assert under_way.stderr.read() == "interrupted; the swarm has been ended\n"
    assert len(swarm) >= 3
    assert not _alive(swarm)


@linux
def test_the_swarm_does_not_outlive_a_demo_that_is_killed(under_way: subprocess.Popen[str], patience: float) -> None:
    swarm = _children(under_way.pid)
    under_way.kill()
    under_way.wait(patience)
    eventually(lambda: not _alive(swarm), 60)


@linux
def test_an_analyst_that_dies_on_its_own_is_reported_and_the_survey_ends_without_it(
    code_base: Path, patience: float, surroundings: dict[str, str]
) -> None:
    command = [sys.executable, "-m", "demo", str(code_base), "--analysts", "2", "--pace", "0.05", "--hold", "0.5"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=surroundings) as process:
        assert process.stdout is not None
        assert any("the surveyor has listed" in line for line in process.stdout)
        os.kill(next(pid for pid in _children(process.pid) if "analyst-2" in _command(pid)), signal.SIGKILL)
        said = process.stdout.read()
        assert process.wait(patience) == 1
    assert "PROBLEMS\n  analyst-2 was killed by signal 9" in said
    assert f"{FILES}  files" in said
    assert "in the same order: yes" in said


@linux
def test_a_survey_that_cannot_end_says_so(under_way: subprocess.Popen[str], patience: float) -> None:
    os.kill(next(pid for pid in _children(under_way.pid) if "reporter" in _command(pid)), signal.SIGKILL)
    assert under_way.wait(patience) == 1
    assert under_way.stderr is not None
    said = under_way.stderr.read()
    assert "the survey failed: nobody is left to end the survey" in said
    assert "reporter was killed by signal 9" in said


def _command(pid: int) -> str:
    return Path(f"/proc/{pid}/cmdline").read_text()


def test_a_demo_that_nobody_reads_any_more_ends(code_base: Path, patience: float, surroundings: dict[str, str]) -> None:
    command, pipe = [sys.executable, "-m", "demo", str(code_base), "--analysts", "1"], subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, env=surroundings) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline()
        process.stdout.close()
        assert (process.wait(patience), process.stderr.read()) == (1, "")


def test_a_process_that_crashes_is_reported_with_what_it_said(tmp_path: Path, patience: float) -> None:
    job = Job("analyst", "analyst-1", "nonsense://x", "t", str(tmp_path), "", hold=1.0, pace=0.0, limit=None)
    with Swarm(tmp_path) as swarm:
        swarm.start(job)
        swarm.wait(patience)
        (failure,) = swarm.failures()
    assert "analyst-1 ended with exit code 1: Traceback" in str(failure)
    assert swarm.is_hopeless()


def test_with_ui_the_web_view_is_opened_on_the_swarm(
    demo: Any, code_base: Path, tmp_path: Path, surroundings: dict[str, str]
) -> None:
    pytest.importorskip("uvicorn")
    opened = tmp_path / "opened"
    browser = tmp_path / "browser"
    browser.write_text(f'#!/bin/sh\necho "$1" > "{opened}"\n')
    browser.chmod(0o755)
    surroundings["BROWSER"] = str(browser)
    told = demo(code_base, "--ui", "--limit", 5)
    assert told.code == 0
    (said,) = [line for line in told.out.splitlines() if line.startswith("the web view: ")]
    assert "?context=/tasks/survey-" in said
    eventually(opened.exists, 10, "the browser to be opened")
    assert opened.read_text().strip() == said.removeprefix("the web view: ")
