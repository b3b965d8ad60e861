"""Locks, and how to acquire one within a time limit."""

from __future__ import annotations

import asyncio
import threading

__all__ = ["AsyncLock", "Lock", "acquired", "async_acquired"]

# Re-entrant: a signal handler or a finalizer that runs while its thread holds the lock must not wait for itself.
Lock = threading.RLock
AsyncLock = asyncio.Lock


def acquired(lock: threading.RLock, timeout: float) -> bool:
    """Acquires a lock. Returns False if that took longer than `timeout` seconds."""
    return lock.acquire(timeout=timeout)


async def async_acquired(lock: asyncio.Lock, timeout: float) -> bool:
    """Acquires a lock. Returns False if that took longer than `timeout` seconds."""
    try:
        async with asyncio.timeout(timeout):
            return await lock.acquire()
    except TimeoutError:
        return False
