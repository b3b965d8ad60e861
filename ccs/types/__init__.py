"""The values that users get: frozen, typed, and without a connection."""

from typing import TYPE_CHECKING

from ccs._late import late
from ccs.types.contexts import Adopted, ContextInfo, Durability, Grant, StoreStats
from ccs.types.coordination import ClaimInfo, DeadJob, Decision, JobProgress, Member
from ccs.types.entries import Change, Entry, Event, Operation, Snapshot

if TYPE_CHECKING:
    from ccs.types.memory import Episode, Fact, Match, MemoryEvent, MemoryStats, Procedure
    from ccs.types.overview import (
        Activity,
        ActivityKind,
        AgreementInfo,
        BarrierInfo,
        InboxInfo,
        MessageInfo,
        Overview,
        RunInfo,
    )

__all__ = [
    "Activity",
    "ActivityKind",
    "Adopted",
    "AgreementInfo",
    "BarrierInfo",
    "Change",
    "ClaimInfo",
    "ContextInfo",
    "DeadJob",
    "Decision",
    "Durability",
    "Entry",
    "Episode",
    "Event",
    "Fact",
    "Grant",
    "InboxInfo",
    "JobProgress",
    "Match",
    "Member",
    "MemoryEvent",
    "MemoryStats",
    "MessageInfo",
    "Operation",
    "Overview",
    "Procedure",
    "RunInfo",
    "Snapshot",
    "StoreStats",
]

__getattr__, __dir__ = late(
    __name__,
    {
        "ccs.types.memory": ("Episode", "Fact", "Match", "MemoryEvent", "MemoryStats", "Procedure"),
        "ccs.types.overview": (
            "Activity",
            "ActivityKind",
            "AgreementInfo",
            "BarrierInfo",
            "InboxInfo",
            "MessageInfo",
            "Overview",
            "RunInfo",
        ),
    },
)
