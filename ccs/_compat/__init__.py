"""The colour pairs: each name with `Async` or `async_` has a blocking twin under the same name without it."""

from ccs._compat.bodies import AsyncBody, Body
from ccs._compat.callbacks import AsyncCaller, AsyncWork, Caller, Work, callable_of
from ccs._compat.calls import (
    async_call,
    async_maybe,
    async_shielded,
    async_side_by_side,
    async_sleep,
    call,
    maybe,
    shielded,
    side_by_side,
    sleep,
)
from ccs._compat.locks import AsyncLock, Lock, acquired, async_acquired
from ccs._compat.process_and_loop import async_here, async_home, here, home
from ccs._compat.signal_interrupts import calls_below, interrupter_refused, refuse_interrupter
from ccs._compat.signals import AsyncGate, AsyncSignal, Gate, Signal
from ccs._compat.workers import AsyncWorker, Worker

__all__ = [
    "AsyncBody",
    "AsyncCaller",
    "AsyncGate",
    "AsyncLock",
    "AsyncSignal",
    "AsyncWork",
    "AsyncWorker",
    "Body",
    "Caller",
    "Gate",
    "Lock",
    "Signal",
    "Work",
    "Worker",
    "acquired",
    "async_acquired",
    "async_call",
    "async_here",
    "async_home",
    "async_maybe",
    "async_shielded",
    "async_side_by_side",
    "async_sleep",
    "call",
    "callable_of",
    "calls_below",
    "here",
    "home",
    "interrupter_refused",
    "maybe",
    "refuse_interrupter",
    "shielded",
    "side_by_side",
    "sleep",
]
