"""CCS for asyncio: the same names as `ccs`, with `async` and `await`."""

from ccs._core.pattern import escape
from ccs.aio.context import Context
from ccs.aio.memory.episodic import Episodic
from ccs.aio.memory.procedural import Procedural
from ccs.aio.memory.scopes import Memory
from ccs.aio.memory.semantic import Semantic
from ccs.aio.mirror import Mirror
from ccs.aio.recipes.claim import Claim
from ccs.aio.recipes.events import EventBus
from ccs.aio.recipes.inbox import Inbox
from ccs.aio.recipes.message import Message
from ccs.aio.recipes.presence import Presence
from ccs.aio.store import Store, connect
from ccs.aio.store_watch import StoreWatch
from ccs.aio.subscription import Subscription
from ccs.aio.transaction import Transaction
from ccs.aio.watch import Watch
from ccs.aio.watch_kinds import EventWatch
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
    "UnsafeServer",
    "ValueTooLarge",
    "Watch",
    "connect",
    "escape",
]
