"""CCS, the collaborative context store: one shared, live, ordered picture of a task for a swarm of agents.

This module blocks; `ccs.aio` has the same names for asyncio.
"""

from ccs._core.pattern import escape
from ccs._sync.context import Context
from ccs._sync.store import Store, connect
from ccs._sync.store_watch import StoreWatch
from ccs._sync.subscription import Subscription
from ccs._sync.transaction import Transaction
from ccs._sync.watch import Watch
from ccs.errors import (
    CCSError,
    Conflict,
    ContextFinished,
    ContextGone,
    EncodingError,
    HistoryCompacted,
    HistoryForked,
    InvalidPath,
    InvalidPattern,
    InvalidValue,
    ReservedPath,
    StoreClosed,
    StoreFull,
    Unavailable,
    UnsafeServer,
    ValueTooLarge,
)
from ccs.types import Change, ContextInfo, Entry, Snapshot, StoreStats

__all__ = [
    "CCSError",
    "Change",
    "Conflict",
    "Context",
    "ContextFinished",
    "ContextGone",
    "ContextInfo",
    "EncodingError",
    "Entry",
    "HistoryCompacted",
    "HistoryForked",
    "InvalidPath",
    "InvalidPattern",
    "InvalidValue",
    "ReservedPath",
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
