"""`--kill`: one analyst is killed with -9 in the middle of the survey, and certainly while it works on a file."""

from __future__ import annotations

import time
from dataclasses import dataclass

import ccs
from demo.board import Board
from demo.entries import FILES, place_in
from demo.swarm import Member, Swarm

__all__ = ["Killer", "Victim"]

MIDDLE = 0.3
SETTLED = 0.05  # seconds in which what a stopped process had sent reaches the server, also one elsewhere


@dataclass(frozen=True, slots=True)
class Victim:
    """Who was killed, and the place of the file that it was at work on."""

    agent: str
    place: str


@dataclass(slots=True)
class Killer:
    """Waits for the middle of the survey, then for an analyst that is at work on a file, and strikes once."""

    task: ccs.Context
    swarm: Swarm
    victim: Victim | None = None

    def targets(self, board: Board) -> list[str]:
        """The analysts that hold a file, once the middle of the survey has come and nobody has been killed yet."""
        if self.victim is not None or board.done <= MIDDLE * (board.listed or board.found):
            return []
        return [worker.name for worker in board.workers.values() if worker.place is not None]

    def strike(self, targets: list[str]) -> Victim | None:
        """Kill the first of them that is still at work on a file."""
        victims = (self._strike(self.swarm.members[name]) for name in targets)
        self.victim = self.victim or next(filter(None, victims), None)
        return self.victim if targets else None

    def _strike(self, member: Member) -> Victim | None:
        """Stopped first, then looked at: one that has no file at the moment may go on."""
        if not member.stop():
            return None
        time.sleep(SETTLED)
        place = self._held_by(member.job.agent)
        if place is None:
            member.go_on()
            return None
        member.kill()
        return Victim(member.job.agent, place)

    def _held_by(self, agent: str) -> str | None:
        """The file that the agent is at work on: the commit of its findings ends its claim too."""
        held = (place_in(info.resource) for info in self.task.claims(FILES) if info.holder == agent)
        return next(held, None)
