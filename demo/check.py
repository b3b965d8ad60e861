"""The verdict on a run: does what was delivered equal what was committed, and is every file counted once?"""

from __future__ import annotations

import platform
from collections.abc import Iterator
from dataclasses import dataclass

from demo.board import Audit, Board, Worker
from demo.killing import Victim
from demo.listing import LEFT_OUT
from demo.outcome import AgentLine, Delivery, KillLine, Outcome
from demo.report import SurveyReport

__all__ = ["Evidence", "judge"]


@dataclass(frozen=True, slots=True)
class Evidence:
    """All that a verdict rests on: what was seen live, what the journal says, the report, and how processes ended."""

    board: Board
    journal: Audit
    report: SurveyReport
    alone: SurveyReport | None
    failures: list[str]
    victim: Victim | None
    kill_wanted: bool


def judge(evidence: Evidence, folder: str, seconds: float) -> Outcome:
    """The outcome, with a line for every problem."""
    delivery = _delivery(evidence.board.audit, evidence.journal)
    agents = _agents(evidence.board)
    return Outcome(
        folder=folder,
        python=platform.python_version(),
        left_out=list(LEFT_OUT),
        seconds=round(seconds, 2),
        survey=evidence.report,
        alone_equal=None if evidence.alone is None else evidence.alone == evidence.report,
        agents=agents,
        delivery=delivery,
        kill=_kill_line(evidence),
        problems=[*evidence.failures, *_problems(evidence, delivery, agents)],
    )


def _delivery(seen: Audit, journal: Audit) -> Delivery:
    return Delivery(
        delivered=seen.changes,
        committed=journal.changes,
        commits=journal.commits,
        expired=journal.expired,
        same_order=seen.digest == journal.digest,
        faults=[*seen.faults, *(f"in the journal: {fault}" for fault in journal.faults)],
    )


def _agents(board: Board) -> list[AgentLine]:
    return [_agent(worker, board.audit) for _, worker in sorted(board.workers.items())]


def _agent(worker: Worker, seen: Audit) -> AgentLine:
    card = worker.card
    return AgentLine(
        name=worker.name,
        role=card.role,
        state=worker.state,
        files=worker.files if card.role == "analyst" else card.files,
        lost=card.lost,
        taken_over=card.taken_over,
        acknowledged=card.changes if card.done else None,
        delivered=seen.agents[worker.name],
    )


def _kill_line(evidence: Evidence) -> KillLine | None:
    victim = evidence.victim
    board = evidence.board
    if victim is None:
        return None
    # An heir may have lost its claim too, on a busy machine: what counts is that the victim's has lapsed.
    lapsed = victim.agent in board.lapsed_of.get(victim.place, [])
    heir = board.finished_by.get(victim.place) if lapsed else None
    return KillLine(agent=victim.agent, place=victim.place, taken_over_by=heir)


def _problems(evidence: Evidence, delivery: Delivery, agents: list[AgentLine]) -> Iterator[str]:
    yield from delivery.faults
    if not delivery.is_whole:
        yield f"{delivery.delivered:,} changes were delivered, {delivery.committed:,} are in the journal"
    yield from _count_problems(evidence)
    yield from (problem for agent in agents if (problem := _agent_problem(agent)))
    yield from _kill_problems(evidence)
    if evidence.alone is not None and evidence.alone != evidence.report:
        yield "the report differs from that of a single process"


def _count_problems(evidence: Evidence) -> Iterator[str]:
    board = evidence.board
    counted = evidence.report.counts.files
    if not board.listed == board.found == board.done == counted:
        yield f"{board.listed} files were listed, {board.found} found, {board.done} measured and {counted} reported"


def _agent_problem(agent: AgentLine) -> str | None:
    if agent.acknowledged is None:
        return None if agent.state == "killed" else f"{agent.name} did not end its work"
    if agent.acknowledged == agent.delivered:
        return None
    return f"{agent.name} had {agent.acknowledged:,} changes acknowledged, {agent.delivered:,} were delivered"


def _kill_problems(evidence: Evidence) -> Iterator[str]:
    line = _kill_line(evidence)
    if evidence.kill_wanted and line is None:
        yield "nobody was killed: the survey was over too soon; give it more files, or a longer --pace"
    if line is not None and line.taken_over_by is None:
        yield f"the file that {line.agent} held was not taken over"
    if line is not None and line.taken_over_by == line.agent:
        yield f"{line.agent} was killed too late: it had finished {line.place}, so nobody had to take that over"
