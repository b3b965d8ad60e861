"""What a run found out, as JSON holds it."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel

from benchmarks.stats import Verdict

__all__ = ["BarOutcome", "ContenderFacts", "FigureOutcome", "Machine", "Outcome", "ServerFacts"]


class Machine(BaseModel):
    """Where it ran, and the load average of the minute before and after."""

    cpu: str
    cores: int
    system: str
    load_before: float
    load_after: float


class ServerFacts(BaseModel):
    """A server that took part."""

    version: str
    durability: str
    address: Literal["a unix socket", "TCP"]


class ContenderFacts(BaseModel):
    """A row of the tables; `missing` says why it is empty."""

    name: str
    about: str
    server: str
    beside: str | None
    missing: str | None


class FigureOutcome(BaseModel):
    """The numbers of a contender: one a round, their median, and the quartiles around it."""

    key: str
    table: str
    column: str
    unit: str
    better: Literal["lower", "higher"]
    contender: str
    rounds: list[float]
    median: float
    low: float
    high: float


class BarOutcome(BaseModel):
    """A bar, and what became of it."""

    what: str
    wanted: str
    median: float
    low: float
    high: float
    verdict: Verdict


class Outcome(BaseModel):
    """The whole run."""

    short: bool
    awake: bool  # whether the processors were kept from sleeping
    rounds: int
    seconds: float
    machine: Machine
    versions: dict[str, str]
    servers: dict[str, ServerFacts]
    contenders: list[ContenderFacts]
    figures: list[FigureOutcome]
    bars: list[BarOutcome]
