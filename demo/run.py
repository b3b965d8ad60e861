"""One run of the demo: starts the swarm, shows it at work, ends it and has it checked."""

from __future__ import annotations

import os
import platform
import secrets
import subprocess
import tempfile
import time
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path

import ccs
from demo.check import Evidence, judge
from demo.entries import Card, Header, Job
from demo.feed import Feed, replay
from demo.killing import Killer
from demo.listing import described, package_of
from demo.names import shown
from demo.outcome import Outcome
from demo.report import SurveyReport, survey_alone
from demo.swarm import Swarm
from demo.view import View
from demo.web_view import web_view

__all__ = ["Options", "SurveyFailed", "run"]

TICK = 0.12
ENDING = 30.0
RETRY = 10.0  # seconds: a target was perhaps mistyped, and its user is waiting
STALLED = 120.0
KEEP_COMMITS = 10**9  # the whole journal: it is what the deliveries are checked against
KEEP_BYTES = 2**40


class SurveyFailed(Exception):
    """The survey could not be ended; says why, with what its processes wrote to their standard error."""


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line asks for."""

    folder: Path
    analysts: int = 4
    kill: bool = False
    store: str | None = None
    limit: int | None = None
    hold: float = 2.0
    pace: float = 0.0
    verify: bool = False
    ui: bool = False


def run(options: Options, view: View) -> Outcome:
    """Survey the folder with a swarm. `SurveyFailed` if it cannot end, `CCSError` if the store cannot be used."""
    with tempfile.TemporaryDirectory(prefix="ccs-demo-", ignore_cleanup_errors=True) as scratch:
        target = options.store or str(Path(scratch) / "store")
        with ccs.connect(target, agent="demo", retry_for=RETRY) as store:
            job = _first_job(options, target, f"survey-{secrets.token_hex(4)}")
            task = store.task(job.task, ttl=3600, keep_commits=KEEP_COMMITS, keep_bytes=KEEP_BYTES)
            with web_view(target, task.address) if options.ui else nullcontext():
                return Survey(options, view, task, job, Path(scratch)).run()


def _first_job(options: Options, target: str, task: str) -> Job:
    return Job(
        role="surveyor",
        agent="surveyor",
        target=target,
        task=task,
        folder=str(options.folder),
        package=package_of(options.folder),
        hold=options.hold,
        pace=options.pace,
        limit=options.limit,
    )


@dataclass(slots=True)
class Patience:
    """Runs out when nothing new was heard for too long."""

    heard: int = 0
    at: float = field(default_factory=time.monotonic)

    def hear(self, heard: int) -> None:
        """`SurveyFailed` if it has run out."""
        if heard != self.heard:
            self.heard = heard
            self.at = time.monotonic()
        elif time.monotonic() - self.at > STALLED:
            raise SurveyFailed(f"nothing has changed for {STALLED:g} s, after {heard:,} changes")


class Survey:
    """One survey under way."""

    def __init__(self, options: Options, view: View, task: ccs.Context, job: Job, scratch: Path) -> None:
        self.options = options
        self.view = view
        self.task = task
        self.job = job
        self.swarm = Swarm(scratch)
        self.feed = Feed(task)
        self.killer = Killer(task, self.swarm)
        self.started = time.monotonic()

    def run(self) -> Outcome:
        """From the first commit to the verdict."""
        self._begin()
        with self.swarm:
            self._start_all()
            with self.view:
                self._show()
            self._end()
        return self._judge(time.monotonic() - self.started)

    def _begin(self) -> None:
        folder = shown(os.fsencode(self.options.folder))
        analysts = self.options.analysts
        header = Header(folder=folder, package=self.job.package, python=platform.python_version(), analysts=analysts)
        card = Card(role="demo", pid=os.getpid(), done=True, changes=2)
        self.task.set_many({"survey": header, "agents/demo": card})
        self.feed.start()

    def _start_all(self) -> None:
        self.swarm.start(replace(self.job, role="reporter", agent="reporter"))
        self.swarm.start(self.job)
        for number in range(1, self.options.analysts + 1):
            self.swarm.start(replace(self.job, role="analyst", agent=f"analyst-{number}"))

    def _show(self) -> None:
        patience = Patience()
        while not self.feed.board.reported:
            self._tick(patience)
            time.sleep(TICK)
        with self.feed.lock:
            self.view.draw(self.feed.board)

    def _tick(self, patience: Patience) -> None:
        with self.feed.lock:
            self.view.draw(self.feed.board)
            targets = self.killer.targets(self.feed.board) if self.options.kill else []
            patience.hear(self.feed.board.audit.changes)
        self._kill(targets)
        self._give_up_if_hopeless()

    def _kill(self, targets: list[str]) -> None:
        if (victim := self.killer.strike(targets)) is not None:
            with self.feed.lock:
                self.feed.board.note_killed(victim.agent, victim.place)

    def _give_up_if_hopeless(self) -> None:
        self._check_feed()
        if self.swarm.is_hopeless():
            raise SurveyFailed("\n".join(["nobody is left to end the survey", *map(str, self.swarm.failures())]))

    def _check_feed(self) -> None:
        if self.feed.error is not None:
            raise SurveyFailed(f"the watch of the demo ended: {self.feed.error!r}") from self.feed.error

    def _end(self) -> None:
        try:
            self.swarm.wait(ENDING)
        except subprocess.TimeoutExpired as error:
            raise SurveyFailed(f"an agent has not ended {ENDING:g} s after the report: {error}") from error
        self.task.finish("surveyed")  # readable for an hour yet
        self.feed.join(ENDING)
        self._check_feed()

    def _judge(self, seconds: float) -> Outcome:
        report = SurveyReport.model_validate(self.task.get("report/survey"))
        alone = survey_alone(self.options.folder, self.options.limit) if self.options.verify else None
        journal = replay(self.task, self.feed.board.audit.marks)
        failures = [str(failure) for failure in self.swarm.failures()]
        kill = self.killer.victim
        evidence = Evidence(self.feed.board, journal, report, alone, failures, kill, self.options.kill)
        return judge(evidence, described(self.options.folder), seconds)
