"""CCS for asyncio: the same names as `ccs`, with `async` and `await`."""

from ccs._async.changes.store_watch import StoreWatch
from ccs._async.changes.subscription import Subscription
from ccs._async.changes.watch import Watch
from ccs._async.changes.watch_kinds import EventWatch
from ccs._async.context import Context
from ccs._async.memory.episodic import Episodic
from ccs._async.memory.procedural import Procedural
from ccs._async.memory.scopes import Memory
from ccs._async.memory.semantic import Semantic
from ccs._async.mirror import Mirror
from ccs._async.recipes.claim import Claim
from ccs._async.recipes.events import EventBus
from ccs._async.recipes.inbox import Inbox
from ccs._async.recipes.message import Message
from ccs._async.recipes.presence import Presence
from ccs._async.store import Store, connect
from ccs._async.transaction import Transaction
from ccs._core.names.pattern import escape
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
