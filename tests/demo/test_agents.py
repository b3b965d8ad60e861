"""The agents on a store in memory: a hold that was lost counts for nothing, and news that is late does no harm."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

import ccs
from ccs._core.commits.operations import renew_op
from demo.agents import MAX_LAPSED, Analyst, Reporter
from demo.entries import CLAIMS, EVERYTHING, Card, Job, Role, Todo
from demo.findings import FileFindings
from demo.report import SurveyReport, survey_alone
from demo.worklist import Work

WORK = Work("a.py", b"a.py", 0)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "a.py").write_text("import os\n\n\ndef f(): pass\n")
    (tmp_path / "b.py").write_text("def (\n")
    return tmp_path


@pytest.fixture
def store() -> Iterator[ccs.Store]:
    with ccs.connect(f"memory://{secrets.token_hex(4)}", agent="test") as store:
        yield store


@pytest.fixture
def task(store: ccs.Store) -> ccs.Context:
    task = store.task("survey")
    task.set("files/a.py/todo", Todo(raw=b"a.py"))
    return task


def _job(store: ccs.Store, folder: Path, role: Role = "analyst", agent: str = "analyst-1") -> Job:
    return Job(role, agent, "memory://", "survey", str(folder), "", hold=30.0, pace=0.0, limit=None)


def _analyst(task: ccs.Context, folder: Path, agent: str = "analyst-1") -> Analyst:
    return Analyst(task.store.task("survey", agent=agent), _job(task.store, folder, agent=agent))


def test_work_that_is_done_is_committed_and_its_claim_released(task: ccs.Context, folder: Path) -> None:
    analyst = _analyst(task, folder)
    analyst._do(WORK)
    assert task.paths() == ["files/a.py/findings"]
    assert task.claims() == []
    assert (analyst.files, analyst.changes, analyst.lost) == (1, 4, 0)
    findings, todo, _ = task.history(*EVERYTHING)[-3:]
    assert findings.revision == todo.revision


def test_a_file_is_taken_by_one_only(task: ccs.Context, folder: Path) -> None:
    first, second = _analyst(task, folder), _analyst(task, folder, "analyst-2")
    with first._claim(WORK):
        second._do(WORK)
    assert (second.files, second.changes, second.lost) == (0, 0, 1)


def test_a_holder_that_was_away_too_long_counts_nothing(
    task: ccs.Context, folder: Path, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a claim that lapsed while its holder measured, when another has done the file since, then that one counts."""
    slow, heir = _analyst(task, folder), _analyst(task, folder, "analyst-2")
    measure_at_once = Analyst._measure

    def measure_slowly(analyst: Analyst, work: Work) -> FileFindings:
        if analyst is slow:
            _let_lapse(task, patience)
            heir._do(Work("a.py", b"a.py", 1))
        return measure_at_once(analyst, work)

    monkeypatch.setattr(Analyst, "_measure", measure_slowly)
    slow._do(WORK)
    entry = task.entry("files/a.py/findings")
    assert entry is not None
    assert (entry.version, entry.agent) == (1, "analyst-2")
    assert (slow.files, slow.lost, heir.files, heir.taken_over) == (0, 1, 1, 1)


def _let_lapse(task: ccs.Context, patience: float) -> None:
    with task.watch(CLAIMS) as changes:
        task.handle.commit([renew_op("@claims/files/a.py", 50)])
        task.handle.expect(50)
        assert changes.receive(timeout=patience).op == "expire"


def test_a_file_that_was_done_meanwhile_is_let_go(task: ccs.Context, folder: Path) -> None:
    _analyst(task, folder)._do(WORK)
    late = _analyst(task, folder, "analyst-2")
    late._do(WORK)
    assert task.paths() == ["files/a.py/findings"]
    assert task.claims() == []
    assert (late.files, late.changes, late.lost) == (0, 2, 1)


def test_a_file_that_several_analysts_died_on_is_given_up_with_a_finding(task: ccs.Context, folder: Path) -> None:
    _analyst(task, folder)._do(Work("a.py", b"a.py", MAX_LAPSED))
    assert task.get("files/a.py/findings")["error"] == "given up after 3 analysts lost their claim on it"


def test_a_swarm_of_one_after_the_other_reports_what_a_single_process_does(store: ccs.Store, folder: Path) -> None:
    task = store.task("survey")
    task.set_many({f"files/{name}/todo": Todo(raw=name.encode()) for name in ("a.py", "b.py")})
    task.set("survey/listed", 2)
    for name in ("a.py", "b.py"):
        _analyst(task, folder)._do(Work(name, name.encode(), 0))
    reporter = Reporter(store.task("survey", agent="reporter"), _job(store, folder, "reporter", "reporter"))
    reporter.run()
    assert SurveyReport.model_validate(task.get("report/survey")) == survey_alone(folder)
    assert task.get("status") == "reported"
    card = Card.model_validate(task.get("agents/reporter"))
    assert card.changes == sum(change.agent == "reporter" for change in task.history())
