"""The slots of a Cluster: which one a key, or a command, belongs to."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Sequence
from functools import lru_cache
from typing import Any

__all__ = ["SLOTS", "slot_of", "slot_of_command"]

SLOTS = 16384
"""How many slots a Cluster has."""

_SCRIPTED = ("EVALSHA", "EVAL", "EVALSHA_RO", "EVAL_RO")
_WITHOUT_KEY = ("CLUSTER", "PING", "TIME", "SCAN", "WAIT", "WAITAOF", "CONFIG", "INFO", "ACL", "COMMAND")


@lru_cache(maxsize=4096)
def slot_of(key: str) -> int:
    """Returns the slot of a key: a checksum of its hash tag, where it has one.

    The Cluster specification defines it. `redis.crc.key_slot` computes the same, but wants all of redis-py loaded.
    """
    start = key.find("{")
    end = key.find("}", start + 1)
    hashed = key[start + 1 : end] if 0 <= start < end - 1 else key
    return crc_hqx(hashed.encode(), 0) % SLOTS


def slot_of_command(command: Sequence[Any]) -> int | None:
    """Returns the slot of the first key that a command names; None for a command without keys."""
    name = command[0]
    if name in _SCRIPTED:
        return slot_of(command[3])
    return None if name in _WITHOUT_KEY else slot_of(command[1])
