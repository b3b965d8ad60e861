"""CCS, the collaborative context store: one shared, live, ordered picture of a task for a swarm of agents.

This module blocks; `ccs.aio` has the same names for asyncio.
"""

from ccs._core.names.pattern import escape
from ccs._sync.changes.store_watch import StoreWatch
from ccs._sync.changes.subscription import Subscription
from ccs._sync.changes.watch import Watch
from ccs._sync.changes.watch_kinds import EventWatch
from ccs._sync.context import Context
from ccs._sync.memory.episodic import Episodic
from ccs._sync.memory.procedural import Procedural
from ccs._sync.memory.scopes import Memory
from ccs._sync.memory.semantic import Semantic
from ccs._sync.mirror import Mirror
from ccs._sync.recipes.claim import Claim
from ccs._sync.recipes.events import EventBus
from ccs._sync.recipes.inbox import Inbox
from ccs._sync.recipes.message import Message
from ccs._sync.recipes.presence import Presence
from ccs._sync.store import Store, connect
from ccs._sync.transaction import Transaction
from ccs.errors import (
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
    Change,
    ClaimInfo,
    ContextInfo,
    Decision,
    Entry,
    Episode,
    Event,
    Fact,
    Match,
    Member,
    MemoryEvent,
    Procedure,
    Snapshot,
    StoreStats,
)

__all__ = [
    "AlreadyClaimed",
    "CCSError",
    "Change",
    "Claim",
    "ClaimInfo",
    "ClaimLost",
    "Conflict",
    "Context",
    "ContextFinished",
    "ContextGone",
    "ContextInfo",
    "Decision",
    "EncodingError",
    "Entry",
    "Episode",
    "Episodic",
    "Event",
    "EventBus",
    "EventWatch",
    "Fact",
    "Forbidden",
    "HistoryCompacted",
    "HistoryDamaged",
    "HistoryForked",
    "IdempotencyMismatch",
    "Inbox",
    "InboxFull",
    "InvalidPath",
    "InvalidPattern",
    "InvalidValue",
    "Match",
    "Member",
    "Memory",
    "MemoryEvent",
    "Message",
    "Mirror",
    "MirrorFull",
    "MissingExtra",
    "Misuse",
    "NoEmbedder",
    "Presence",
    "Procedural",
    "Procedure",
    "ReservedPath",
    "RetriesExhausted",
    "Semantic",
    "Snapshot",
    "Store",
    "StoreClosed",
    "StoreFull",
    "StoreStats",
    "StoreWatch",
    "Subscription",
    "Transaction",
    "Unavailable",
    "UnknownFormat",
    "UnsafeServer",
    "ValueTooLarge",
    "Watch",
    "connect",
    "escape",
]
