"""What contexts and stores are like: what exists, how safe its commits are, who may use it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, cast

from ccs.errors import InvalidValue

__all__ = ["Adopted", "ContextInfo", "Durability", "Grant", "StoreStats"]


@dataclass(frozen=True, slots=True)
class ContextInfo:
    """The state of a context. One that does not exist has `revision` 0 and no times. `ttl` is its idle ttl."""

    address: str
    revision: int = 0
    entries: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    ttl: timedelta | None = None
    finished: bool = False
    outcome: Any = None


@dataclass(frozen=True, slots=True)
class StoreStats:
    """Counts of what a store has done since it was made.

    `bytes` are those of commands sent and commits received. `undelivered` are the changes and events that waited for a
    callback when the store was closed.
    """

    commits: int = 0
    batches: int = 0
    retries: int = 0
    reconnects: int = 0
    resumes: int = 0
    gaps_filled: int = 0
    deliveries: int = 0
    callback_errors: int = 0
    undelivered: int = 0
    bytes: int = 0


_LONGEST_WAIT = 300.0


@dataclass(frozen=True, slots=True)
class Durability:
    """How safe a commit is before its call returns.

    `disk`: the primary has flushed it to its disk. `replicas`: so many replicas have it, in memory at least. A call waits
    at most `timeout` seconds for both, after the commit was applied; a timedelta becomes seconds. With neither, a commit
    is acknowledged as soon as it is applied. Raises `InvalidValue` for anything else.

        >>> ccs.Durability(replicas=1)
        Durability(disk=True, replicas=1, timeout=5.0)
    """

    disk: bool = True
    replicas: int = 0
    timeout: float | timedelta = 5.0

    def __post_init__(self) -> None:
        if not isinstance(self.disk, bool):
            raise InvalidValue(f"disk is {self.disk!r}: give True or False")
        if isinstance(self.replicas, bool) or not isinstance(self.replicas, int) or not 0 <= self.replicas < 1000:
            raise InvalidValue(f"replicas is {self.replicas!r}: give how many replicas are to have a commit, 0 or more")
        object.__setattr__(self, "timeout", _wait(self.timeout))

    @property
    def seconds(self) -> float:
        """The timeout in seconds."""
        return cast(float, self.timeout)

    @property
    def waits(self) -> bool:
        """Whether there is anything to wait for."""
        return self.disk or self.replicas > 0


def _wait(timeout: object) -> float:
    value = timeout.total_seconds() if isinstance(timeout, timedelta) else timeout
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0.001 <= value <= _LONGEST_WAIT:
        raise InvalidValue(
            f"timeout is {timeout!r}: give seconds or a timedelta, from 0.001 to {_LONGEST_WAIT:g} seconds"
        )
    return float(value)


@dataclass(frozen=True, slots=True)
class Adopted:
    """What `adopt` did. `applied` are the paths that it wrote or removed, in its one commit, at `revision`.

    `conflicts` are the paths that had changed on both sides, and that `on_conflict` decided. If there was nothing to
    write, `revision` is that of the context as it was read.
    """

    revision: int
    applied: tuple[str, ...]
    conflicts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Grant:
    """What a user of the server may do: read the contexts in `read`, read and write those in `write`.

    Both hold addresses and globs of them. `url` is what the user connects to; it has the password only where the grant was
    just made. `rules` are the arguments of `ACL SETUSER`, with the password's SHA-256 alone. `saved` says that all servers
    have written their users to disk; None is not known.
    """

    user: str
    read: tuple[str, ...]
    write: tuple[str, ...]
    url: str = field(repr=False)
    rules: tuple[str, ...] = field(repr=False)
    saved: bool | None = None
