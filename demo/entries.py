"""What the task of a survey holds, and where: all that its processes have to agree on.

survey                       Header    what is surveyed               by the demo
files/<place>/todo           Todo      a file that is to be measured  by the surveyor
survey/listed                int       how many files there are       by the surveyor
@claims/files/<place>        Taken     who measures it: a claim       by an analyst
files/<place>/findings       FileFindings                             by an analyst, and the todo goes
report/totals, report/complex          the live summary               by the reporter
report/survey                SurveyReport   the whole report          by the reporter
status                       "reported"     nothing is left to do     by the reporter
agents/<name>                Card      who it is, and what it did     by each
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, NamedTuple

from pydantic import BaseModel, ConfigDict

__all__ = ["CLAIMS", "EVERYTHING", "Card", "FilePath", "Header", "Job", "Role", "Taken", "Todo"]

CLAIMS = "@claims/files/**"
EVERYTHING = "**", CLAIMS

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


class Taken(_Frozen):
    """Who measures a file, and how many claims on it have lapsed before: the holder of a claim, and its note."""

    agent: str
    place: str
    lapsed: int = 0

    @classmethod
    def of(cls, claim: Mapping[str, Any]) -> Taken:
        """Out of the value of a claim's entry."""
        return cls(agent=claim["holder"], **claim["note"])


class Card(_Frozen):
    """An agent: `changes` are those it had acknowledged, this card included; `lost` the races for a file."""

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


class FilePath(NamedTuple):
    """A path below `files/`, taken apart: the place of the file, and what is said about it."""

    place: str
    kind: str

    @property
    def path(self) -> str:
        """The path as a whole."""
        return f"files/{self.place}/{self.kind}"

    def about(self, kind: str) -> str:
        """The path of something else about the same file."""
        return self._replace(kind=kind).path

    @classmethod
    def parse(cls, path: str) -> FilePath:
        """Take a path apart."""
        place, _, kind = path.removeprefix("files/").rpartition("/")
        return cls(place, kind)
