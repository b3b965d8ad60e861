"""The agents on a store in memory: a hold that was lost counts for nothing, and news that is late does no harm."""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

import ccs
from ccs._core.commits.operations import renew_op
from demo.agents import MAX_LAPSED, Analyst, Reporter
from demo.entries import CLAIMS, EVERYTHING, FINDINGS, Card, Job, Role, Todo
from demo.findings import FileFindings
from demo.report import SurveyReport, survey_alone

DONE = "@jobs/results/files/a.py"


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
    task.set("files/a.py", Todo(raw=b"a.py"))
    return task


def _job(store: ccs.Store, folder: Path, role: Role = "analyst", agent: str = "analyst-1") -> Job:
    return Job(role, agent, "memory://", "survey", str(folder), "", hold=30.0, pace=0.0, limit=None)


def _analyst(task: ccs.Context, folder: Path, agent: str = "analyst-1") -> Analyst:
    return Analyst(task.store.task("survey", agent=agent), _job(task.store, folder, agent=agent))


def _do_next(analyst: Analyst, patience: float) -> None:
    """What the analyst does in its loop, once."""
    with analyst.files_to_do() as jobs:
        analyst._do(jobs.take(timeout=patience))


def test_work_that_is_done_is_one_commit_with_its_claim(task: ccs.Context, folder: Path, patience: float) -> None:
    analyst = _analyst(task, folder)
    _do_next(analyst, patience)
    assert task.paths() == []
    assert task.paths(FINDINGS) == [DONE]
    assert task.claims() == []
    assert (analyst.files, analyst.changes, analyst.lost) == (1, 4, 0)
    ending = task.history(*EVERYTHING)[-3:]
    assert {change.path for change in ending} == {"files/a.py", "@claims/files/a.py", DONE}
    assert len({change.revision for change in ending}) == 1


def test_a_holder_that_was_away_too_long_counts_nothing(
    task: ccs.Context, folder: Path, patience: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Given a claim that lapsed while its holder measured, when another has done the file since, then that one counts."""
    slow, heir = _analyst(task, folder), _analyst(task, folder, "analyst-2")
    measure_at_once = Analyst._measure

    def measure_slowly(analyst: Analyst, raw: bytes, lapsed: int) -> FileFindings:
        if analyst is slow:
            _let_lapse(task, patience)
            _do_next(heir, patience)
        return measure_at_once(analyst, raw, lapsed)

    monkeypatch.setattr(Analyst, "_measure", measure_slowly)
    _do_next(slow, patience)
    entry = task.entry(DONE)
    assert entry is not None
    assert (entry.version, entry.agent) == (1, "analyst-2")
    assert (slow.files, slow.changes, slow.lost) == (0, 1, 1)
    assert (heir.files, heir.changes, heir.taken_over) == (1, 4, 1)


def _let_lapse(task: ccs.Context, patience: float) -> None:
    with task.watch(CLAIMS) as changes:
        task.handle.commit([renew_op("@claims/files/a.py", 50)])
        task.handle.expect(50)
        assert changes.receive(timeout=patience).op == "expire"


def test_a_file_that_several_analysts_died_on_is_given_up_with_a_finding(
    task: ccs.Context, folder: Path, patience: float
) -> None:
    analyst = _analyst(task, folder)
    with analyst.files_to_do() as jobs:
        lost = []
        for _ in range(MAX_LAPSED):
            lost.append(jobs.take(timeout=patience))
            _let_lapse(task, patience)
    _do_next(analyst, patience)
    assert task.get(DONE)["error"] == "given up after 3 analysts lost their claim on it"


def test_an_analyst_works_until_the_survey_is_reported(task: ccs.Context, folder: Path, patience: float) -> None:
    working = threading.Thread(target=_analyst(task, folder).run)
    working.start()
    task.wait_for(DONE, timeout=patience)
    task.set("status", "reported")
    working.join(patience)
    assert not working.is_alive()
    card = Card.model_validate(task.get("agents/analyst-1"))
    assert (card.done, card.files) == (True, 1)
    _analyst(task, folder).run()  # late: it ends at once


def test_a_swarm_of_one_after_the_other_reports_what_a_single_process_does(
    store: ccs.Store, folder: Path, patience: float
) -> None:
    task = store.task("survey")
    task.set_many({f"files/{name}": Todo(raw=name.encode()) for name in ("a.py", "b.py")})
    task.set("survey/listed", 2)
    for _ in range(2):
        _do_next(_analyst(task, folder), patience)
    reporter = Reporter(store.task("survey", agent="reporter"), _job(store, folder, "reporter", "reporter"))
    reporter.run()
    assert SurveyReport.model_validate(task.get("report/survey")) == survey_alone(folder)
    assert task.get("status") == "reported"
    card = Card.model_validate(task.get("agents/reporter"))
    assert card.changes == sum(change.agent == "reporter" for change in task.history())
