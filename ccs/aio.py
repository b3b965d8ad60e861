"""CCS for asyncio: the same names as `ccs`, with `async` and `await`."""

from typing import TYPE_CHECKING

from ccs._async.changes.store_watch import StoreWatch
from ccs._async.changes.subscription import Subscription
from ccs._async.changes.watch import Watch
from ccs._async.changes.watch_kinds import EventWatch
from ccs._async.context import Context
from ccs._async.mirror import Mirror
from ccs._async.recipes.claim import Claim
from ccs._async.recipes.claim_several import ClaimGroup
from ccs._async.recipes.events import EventBus
from ccs._async.recipes.inbox import Inbox
from ccs._async.recipes.job import Job
from ccs._async.recipes.jobs import Jobs
from ccs._async.recipes.message import Message
from ccs._async.recipes.presence import Presence
from ccs._async.store import Store, connect
from ccs._async.transaction import Transaction
from ccs._core.names.pattern import escape
from ccs._core.names.segments import segment, unsegment
from ccs._late import late
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
    from ccs._async.memory.episodic import Episodic
    from ccs._async.memory.procedural import Procedural
    from ccs._async.memory.scopes import Memory
    from ccs._async.memory.semantic import Semantic
    from ccs._async.recipes.briefing import Reader
    from ccs._async.toolset import Toolset
    from ccs._core.briefing.briefing import Briefing, BriefingItem
    from ccs._core.recipes.activity import activity
    from ccs._core.tools.result import ToolResult
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
        "ccs._async.memory.episodic": ("Episodic",),
        "ccs._async.memory.procedural": ("Procedural",),
        "ccs._async.memory.scopes": ("Memory",),
        "ccs._async.memory.semantic": ("Semantic",),
        "ccs._async.recipes.briefing": ("Reader",),
        "ccs._async.toolset": ("Toolset",),
        "ccs._core.briefing.briefing": (
            "Briefing",
            "BriefingItem",
        ),
        "ccs._core.recipes.activity": ("activity",),
        "ccs._core.tools.result": ("ToolResult",),
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
