"""What the processes of the swarm do. Each has a store of its own, and meets the others only in the task.

The files are a pool of jobs: each has one analyst, and one whose analyst dies goes to another. The findings are the result
of its job, so an analyst that lost it unawares counts nothing twice.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import ccs
from demo.entries import FILES, FINDINGS, Card, Job, Role, Todo
from demo.findings import Counts, FileFindings
from demo.listing import python_files
from demo.measure import measure
from demo.names import place_of, shown
from demo.report import Tally

__all__ = ["ROLES", "Analyst", "Reporter", "analyst", "reporter", "surveyor"]

BATCH = 50
SUMMARY_EVERY = 0.3
MAX_LAPSED = 3  # a file whose analysts die one after the other must not take the whole swarm with it
MAX_ATTEMPTS = 1_000  # so it is given up with a finding, and never a dead job


def surveyor(job: Job) -> None:
    """Lists the files of the folder as entries."""
    with ccs.connect(job.target, agent=job.agent) as store:
        task = store.task(job.task)
        task.set(f"agents/{job.agent}", Card(role="surveyor", pid=os.getpid()))
        listed = 0
        for batch in _batches(python_files(Path(job.folder), job.limit)):
            task.set_many({f"files/{place_of(shown(raw))}": Todo(raw=raw) for raw in batch})
            listed += len(batch)
        task.set("survey/listed", listed)
        card = Card(role="surveyor", pid=os.getpid(), done=True, changes=listed + 3, files=listed)
        task.set(f"agents/{job.agent}", card)


def _batches(files: Iterator[bytes]) -> Iterable[list[bytes]]:
    return iter(lambda: list(islice(files, BATCH)), [])


def analyst(job: Job) -> None:
    """Measures files that nobody else works on, and commits the findings, until the survey is reported."""
    with ccs.connect(job.target, agent=job.agent) as store:
        Analyst(store.task(job.task), job).run()


@dataclass(slots=True)
class Analyst:
    """One analyst, with what it counts of its own work."""

    task: ccs.Context
    job: Job
    changes: int = 0
    files: int = 0
    lost: int = 0
    taken_over: int = 0

    def run(self) -> None:
        """Until the survey is reported."""
        self._present(done=False)
        with self.files_to_do() as jobs:
            self.task.subscribe("status", lambda _: jobs.close(), initial=True)
            for work in jobs:
                self._do(work)
        self._present(done=True)

    def files_to_do(self) -> ccs.Jobs:
        """The files that are to be measured, as a pool of work."""
        return self.task.jobs(FILES, ttl=self.job.hold, attempts=MAX_ATTEMPTS)

    def _do(self, work: ccs.Job) -> None:
        """The findings, and the end of the work on them, in one commit: only if the claim is still ours."""
        self.changes += 1
        findings = self._measure(Todo.model_validate(work.value).raw, lapsed=work.attempts - 1)
        try:
            work.done(findings)
        except ccs.ClaimLost:
            self.lost += 1
            return
        self.changes += 3
        self.files += 1
        self.taken_over += work.attempts > 1

    def _measure(self, raw: bytes, lapsed: int) -> FileFindings:
        if lapsed >= MAX_LAPSED:
            error = f"given up after {lapsed} analysts lost their claim on it"
            return FileFindings(path=shown(raw), error=error, counts=Counts(files=1, unparsed=1))
        started = time.monotonic()
        findings = measure(Path(self.job.folder), raw)
        time.sleep(max(0.0, self.job.pace - (time.monotonic() - started)))
        return findings

    def _present(self, *, done: bool) -> None:
        self.changes += 1
        counts = {"changes": self.changes, "files": self.files, "lost": self.lost, "taken_over": self.taken_over}
        self.task.set(f"agents/{self.job.agent}", Card(role="analyst", pid=os.getpid(), done=done, **counts))


def reporter(job: Job) -> None:
    """Adds the findings up as they are committed, keeps a live summary, and reports when all files are in."""
    with ccs.connect(job.target, agent=job.agent) as store:
        Reporter(store.task(job.task), job).run()


@dataclass(slots=True)
class Reporter:
    """The reporter: what it has added up, and when it last said so."""

    task: ccs.Context
    job: Job
    tally: Tally = field(init=False)
    listed: int | None = None
    changes: int = 0
    told: int = -1
    told_at: float = 0.0

    def __post_init__(self) -> None:
        self.tally = Tally(self.job.package)

    def run(self) -> None:
        """Until all files are in, and the report is made."""
        self._set_many({f"agents/{self.job.agent}": Card(role="reporter", pid=os.getpid())})
        with self.task.watch(FINDINGS, "survey/listed", initial=True) as changes:
            while self.listed is None or self.tally.counts.files < self.listed:
                self._hear(changes)
                self._summarise()
        self._report()

    def _hear(self, changes: ccs.Watch) -> None:
        try:
            change = changes.receive(timeout=SUMMARY_EVERY)
        except TimeoutError:
            return
        if change.path == "survey/listed":
            self.listed = change.value
        elif change.op == "set":
            self.tally.add(FileFindings.model_validate(change.value))

    def _summarise(self) -> None:
        """The live summary, a few times a second at most: a commit for each finding would only make noise."""
        now = time.monotonic()
        files = self.tally.counts.files
        if files != self.told and now - self.told_at >= SUMMARY_EVERY:
            self._set_many({"report/totals": self.tally.counts, "report/complex": self.tally.complex[:3]})
            self.told = files
            self.told_at = now

    def _report(self) -> None:
        report = self.tally.report()
        summary = {"report/totals": report.counts, "report/complex": report.complex[:3], "report/survey": report}
        self._set_many({**summary, "status": "reported"})
        card = Card(role="reporter", pid=os.getpid(), done=True, changes=self.changes + 1, files=report.counts.files)
        self._set_many({f"agents/{self.job.agent}": card})

    def _set_many(self, values: dict[str, object]) -> None:
        self.task.set_many(values)
        self.changes += len(values)


ROLES: Mapping[Role, Callable[[Job], None]] = {"surveyor": surveyor, "analyst": analyst, "reporter": reporter}
