"""What the task of a survey holds, and where: all that its processes have to agree on.

survey                       Header    what is surveyed                      by the demo
files/<place>                Todo      a file that is to be measured: a job  by the surveyor
survey/listed                int       how many files there are              by the surveyor
@claims/files/<place>                  who measures it                       by an analyst
@jobs/results/files/<place>  FileFindings   what it has found: the job ends  by an analyst
report/totals, report/complex          the live summary                      by the reporter
report/survey                SurveyReport   the whole report                 by the reporter
status                       "reported"     nothing is left to do            by the reporter
agents/<name>                Card      who it is, and what it did            by each
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict

import ccs

__all__ = ["CLAIMS", "EVERYTHING", "FILES", "FINDINGS", "Card", "Header", "Job", "Role", "Todo", "place_in"]

FILES = "files/**"
CLAIMS = "@claims/files/**"
FINDINGS = "@jobs/results/files/**"
EVERYTHING = "**", CLAIMS, FINDINGS

Role = Literal["demo", "surveyor", "analyst", "reporter"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class Header(_Frozen):
    """What is surveyed; `package` is the dotted name of the folder, if it is a package."""

    folder: str
    package: str
    python: str
    analysts: int


class Todo(_Frozen):
    """A file to measure: the bytes of its name, relative to the folder."""

    raw: bytes


class Card(_Frozen):
    """An agent: `changes` are those it had acknowledged, this card included; `lost` the files that it lost its claim on."""

    role: Role
    pid: int
    done: bool = False
    changes: int = 1
    files: int = 0
    lost: int = 0
    taken_over: int = 0


@dataclass(frozen=True, slots=True)
class Job:
    """What a process of the swarm is told: over its standard input, since a target may hold a password."""

    role: Role
    agent: str
    target: str
    task: str
    folder: str
    package: str
    hold: float
    pace: float
    limit: int | None

    def dumps(self) -> str:
        """The job as a line of text."""
        return json.dumps(asdict(self))

    @classmethod
    def loads(cls, text: str) -> Job:
        """The job out of its line."""
        return cls(**json.loads(text))


def place_in(path: str) -> str:
    """The place of the file that a path is about: that of the file, of a claim on it, or of its findings."""
    room, _, name = path.partition("files/")
    # Below the rooms of the system, names are encoded.
    return "/".join(map(ccs.unsegment, name.split("/"))) if room else name
