"""What a run of the demo came to: the survey, who did what, and the account of the changes."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict

from demo.report import SurveyReport

__all__ = ["AgentLine", "Delivery", "KillLine", "Outcome"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True)


class AgentLine(_Frozen):
    """An agent: the changes that it had acknowledged by its own count (`None` if it was killed), and those delivered."""

    name: str
    role: str
    state: str
    files: int
    lost: int
    taken_over: int
    acknowledged: int | None
    delivered: int


class Delivery(_Frozen):
    """The changes that the demo's watch was given while the swarm worked, against those in the journal afterwards."""

    delivered: int
    committed: int
    commits: int
    expired: int
    same_order: bool
    faults: list[str]

    @property
    def is_whole(self) -> bool:
        """Whether what was delivered is what was committed: the same changes, each once, in the same order."""
        return self.delivered == self.committed and self.same_order and not self.faults


class KillLine(_Frozen):
    """Who was killed, on which file, and who took that over."""

    agent: str
    place: str
    taken_over_by: str | None


class Outcome(_Frozen):
    """Everything that a run came to. `problems` is empty if all went well."""

    folder: str
    python: str
    left_out: list[str]
    seconds: float
    survey: SurveyReport
    alone_equal: bool | None
    agents: list[AgentLine]
    delivery: Delivery
    kill: KillLine | None
    problems: list[str]
