"""CCS, the collaborative context store: one shared, live, ordered picture of a task for a swarm of agents.

This module blocks; `ccs.aio` has the same names for asyncio.
"""

from typing import TYPE_CHECKING

from ccs._core.names.pattern import escape
from ccs._core.names.segments import segment, unsegment
from ccs._late import late
from ccs._sync.changes.store_watch import StoreWatch
from ccs._sync.changes.subscription import Subscription
from ccs._sync.changes.watch import Watch
from ccs._sync.changes.watch_kinds import EventWatch
from ccs._sync.context import Context
from ccs._sync.mirror import Mirror
from ccs._sync.recipes.claim import Claim
from ccs._sync.recipes.claim_several import ClaimGroup
from ccs._sync.recipes.events import EventBus
from ccs._sync.recipes.inbox import Inbox
from ccs._sync.recipes.job import Job
from ccs._sync.recipes.jobs import Jobs
from ccs._sync.recipes.message import Message
from ccs._sync.recipes.presence import Presence
from ccs._sync.store import Store, connect
from ccs._sync.transaction import Transaction
from ccs.errors import (
    AdoptConflict,
    AlreadyClaimed,
    CCSError,
    ClaimLost,
    Conflict,
    ContextFinished,
    ContextGone,
    EncodingError,
    Forbidden,
    HistoryCompacted,
    HistoryDamaged,
    HistoryForked,
    IdempotencyMismatch,
    InboxFull,
    InvalidPath,
    InvalidPattern,
    InvalidValue,
    MirrorFull,
    MissingExtra,
    Misuse,
    NoEmbedder,
    NotDurable,
    ReservedPath,
    RetriesExhausted,
    StoreClosed,
    StoreFull,
    Unavailable,
    UnknownFormat,
    UnsafeServer,
    ValueTooLarge,
)
from ccs.types import (
    Adopted,
    Change,
    ClaimInfo,
    ContextInfo,
    DeadJob,
    Decision,
    Durability,
    Entry,
    Event,
    Grant,
    JobProgress,
    Member,
    Snapshot,
    StoreStats,
)

if TYPE_CHECKING:
    from ccs._core.briefing.briefing import Briefing, BriefingItem
    from ccs._core.recipes.activity import activity
    from ccs._core.tools.result import ToolResult
    from ccs._sync.memory.episodic import Episodic
    from ccs._sync.memory.procedural import Procedural
    from ccs._sync.memory.scopes import Memory
    from ccs._sync.memory.semantic import Semantic
    from ccs._sync.recipes.briefing import Reader
    from ccs._sync.toolset import Toolset
    from ccs.types.memory import (
        Episode,
        Fact,
        Match,
        MemoryEvent,
        MemoryStats,
        Procedure,
    )
    from ccs.types.overview import (
        Activity,
        AgreementInfo,
        BarrierInfo,
        InboxInfo,
        MessageInfo,
        Overview,
        RunInfo,
    )

__all__ = [
    "Activity",
    "AdoptConflict",
    "Adopted",
    "AgreementInfo",
    "AlreadyClaimed",
    "BarrierInfo",
    "Briefing",
    "BriefingItem",
    "CCSError",
    "Change",
    "Claim",
    "ClaimGroup",
    "ClaimInfo",
    "ClaimLost",
    "Conflict",
    "Context",
    "ContextFinished",
    "ContextGone",
    "ContextInfo",
    "DeadJob",
    "Decision",
    "Durability",
    "EncodingError",
    "Entry",
    "Episode",
    "Episodic",
    "Event",
    "EventBus",
    "EventWatch",
    "Fact",
    "Forbidden",
    "Grant",
    "HistoryCompacted",
    "HistoryDamaged",
    "HistoryForked",
    "IdempotencyMismatch",
    "Inbox",
    "InboxFull",
    "InboxInfo",
    "InvalidPath",
    "InvalidPattern",
    "InvalidValue",
    "Job",
    "JobProgress",
    "Jobs",
    "Match",
    "Member",
    "Memory",
    "MemoryEvent",
    "MemoryStats",
    "Message",
    "MessageInfo",
    "Mirror",
    "MirrorFull",
    "MissingExtra",
    "Misuse",
    "NoEmbedder",
    "NotDurable",
    "Overview",
    "Presence",
    "Procedural",
    "Procedure",
    "Reader",
    "ReservedPath",
    "RetriesExhausted",
    "RunInfo",
    "Semantic",
    "Snapshot",
    "Store",
    "StoreClosed",
    "StoreFull",
    "StoreStats",
    "StoreWatch",
    "Subscription",
    "ToolResult",
    "Toolset",
    "Transaction",
    "Unavailable",
    "UnknownFormat",
    "UnsafeServer",
    "ValueTooLarge",
    "Watch",
    "activity",
    "connect",
    "escape",
    "segment",
    "unsegment",
]

__getattr__, __dir__ = late(
    __name__,
    {
        "ccs._core.briefing.briefing": (
            "Briefing",
            "BriefingItem",
        ),
        "ccs._core.recipes.activity": ("activity",),
        "ccs._core.tools.result": ("ToolResult",),
        "ccs._sync.memory.episodic": ("Episodic",),
        "ccs._sync.memory.procedural": ("Procedural",),
        "ccs._sync.memory.scopes": ("Memory",),
        "ccs._sync.memory.semantic": ("Semantic",),
        "ccs._sync.recipes.briefing": ("Reader",),
        "ccs._sync.toolset": ("Toolset",),
        "ccs.types.memory": (
            "Episode",
            "Fact",
            "Match",
            "MemoryEvent",
            "MemoryStats",
            "Procedure",
        ),
        "ccs.types.overview": (
            "Activity",
            "AgreementInfo",
            "BarrierInfo",
            "InboxInfo",
            "MessageInfo",
            "Overview",
            "RunInfo",
        ),
    },
)
