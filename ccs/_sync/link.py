"""How commands travel, blocking: each thread takes a connection while it talks, and puts it back.

Written by hand; the asyncio twin shares one connection among all tasks.
"""

from __future__ import annotations

from contextlib import suppress
from queue import SimpleQueue
from threading import Lock
from typing import Any

import hiredis
from redis.exceptions import RedisError, ResponseError

from ccs._core.commit import Argument
from ccs._faults import LinkDown, dial_fault
from ccs._stats import Counters
from ccs._sync.dial import Dialer
from ccs.errors import StoreClosed

__all__ = ["Link", "dial"]

_MOST = 64


class Link:
    """A pool of at most 64 connections, opened when they are needed, and anew after one broke."""

    def __init__(self, dialer: Dialer, stats: Counters) -> None:
        self._dialer, self._stats = dialer, stats
        self._idle: list[Any] = []
        # Not a semaphore: those are written in Python, and an interrupt inside could leave one locked for ever.
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(_MOST):
            self._room.put(None)
        self._lock = Lock()
        self._broken = self._closed = False

    def __repr__(self) -> str:
        return f"<Link to {self._dialer.address}, {len(self._idle)} connections idle>"

    def call(self, *command: Argument) -> Any:
        """The reply to one command; `LinkDown` where there is none, redis-py's errors for those of the server."""
        self._room.get()
        try:
            if self._closed:
                raise StoreClosed(f"the store at {self._dialer.address} is closed; connect anew")
            connection = self._take() or self._open()
            return self._talk(connection, command)
        finally:
            self._room.put(None)

    def close(self) -> None:
        """Closes what is idle; what is in use is closed when its caller is done."""
        self._closed = True
        self._drain()

    def _talk(self, connection: Any, command: tuple[Argument, ...]) -> Any:
        try:
            packed = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub knows only tuples of one
            connection.send_packed_command((packed,), check_health=False)
            self._stats.add("bytes", len(packed))
            reply = connection.read_response()
        except ResponseError:
            self._give_back(connection)
            raise
        except (RedisError, OSError) as error:
            self._discard(connection)
            raise LinkDown(error, sent=True) from error
        except BaseException:
            # Somebody interrupted us between a command and its reply: nobody else may read that reply as theirs.
            connection.disconnect()
            raise
        self._give_back(connection)
        return reply

    def _take(self) -> Any:
        with self._lock:
            return self._idle.pop() if self._idle else None

    def _give_back(self, connection: Any) -> None:
        with self._lock:
            if not self._closed:
                self._idle.append(connection)
                return
        connection.disconnect()

    def _discard(self, connection: Any) -> None:
        # A server that went away took the idle connections with it.
        self._broken = True
        connection.disconnect()
        self._drain()

    def _drain(self) -> None:
        with self._lock:
            idle, self._idle = self._idle, []
        for connection in idle:
            with suppress(RedisError, OSError):
                connection.disconnect()

    def _open(self) -> Any:
        connection = dial(self._dialer)
        self._stats.add("reconnects", int(self._broken))
        self._broken = False
        return connection


def dial(dialer: Dialer) -> Any:
    """A new connection; `LinkDown` where trying again may help."""
    try:
        return dialer.dial()
    except (RedisError, OSError) as error:
        raise dial_fault(error, dialer.address) from error
