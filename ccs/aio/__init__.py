"""CCS for asyncio: the same names as `ccs`, with `async` and `await`."""

from ccs._core.pattern import escape
from ccs.aio.context import Context
from ccs.aio.store import Store, connect
from ccs.aio.store_watch import StoreWatch
from ccs.aio.subscription import Subscription
from ccs.aio.transaction import Transaction
from ccs.aio.watch import Watch
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
