"""How commands travel, blocking: each thread takes a connection while it talks, and puts it back.

Written by hand; the asyncio twin shares one connection among all tasks. redis-py opens the connections; from then on
their sockets are spoken to directly, which takes a third of the time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

import hiredis
from redis.exceptions import RedisError, ResponseError

from ccs._core.commit import Argument
from ccs._faults import LinkDown, dial_fault
from ccs._replies import NOTHING_YET, reply_reader
from ccs._stats import Counters
from ccs._sync.dial import Dialer
from ccs.errors import StoreClosed

__all__ = ["Link", "dial"]

_MOST, _CHUNK = 64, 65536


class _Wire:
    """One open connection."""

    __slots__ = ("connection", "feed", "next_reply", "receive", "send")

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        reader, sock = reply_reader(), connection._sock
        self.send: Callable[[bytes], object] = sock.sendall
        self.receive: Callable[[int], bytes] = sock.recv
        self.feed, self.next_reply = reader.feed, reader.gets

    def talk(self, packed: bytes, count: int) -> list[Any]:
        """The replies to so many commands, errors of the server included."""
        self.send(packed)
        replies: list[Any] = []
        while len(replies) < count:
            while (reply := self.next_reply()) is NOTHING_YET:
                chunk = self.receive(_CHUNK)
                if not chunk:
                    raise ConnectionError("the server closed the connection")
                self.feed(chunk)
            if isinstance(reply, RedisError) and not isinstance(reply, ResponseError):
                raise reply  # one that says that this connection is of no use, as redis-py sees it
            replies.append(reply)
        return replies


class _MemoryWire:
    """One connection to a server of fakeredis, which has no socket."""

    def __init__(self, connection: Any) -> None:
        self.connection = connection

    def talk(self, packed: bytes, count: int) -> list[Any]:
        """The replies to so many commands, errors of the server included."""
        self.connection.send_packed_command((packed,), check_health=False)
        return [self._read() for _ in range(count)]

    def _read(self) -> Any:
        try:
            return self.connection.read_response()
        except ResponseError as error:
            return error


class Link:
    """A pool of at most 64 connections, opened when they are needed, and anew after one broke."""

    def __init__(self, dialer: Dialer, stats: Counters) -> None:
        self._dialer, self._stats = dialer, stats
        # Taken from and put back in one step each: threads need no lock.
        self._idle: list[_Wire | _MemoryWire] = []
        # Not a semaphore: those are written in Python, and an interrupt inside could leave one locked for ever.
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(_MOST):
            self._room.put(None)
        self._broken = self._closed = False

    def __repr__(self) -> str:
        return f"<Link to {self._dialer.address}, {len(self._idle)} connections idle>"

    def call(self, command: tuple[Argument, ...]) -> Any:
        """The reply to one command; `LinkDown` where there is none, redis-py's errors for those of the server."""
        return self._exchange(_pack(command), 1)[0]

    def call_all(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        """The replies to several commands, sent one right after the other; the first error of the server is raised."""
        return self._exchange(b"".join(map(_pack, commands)), len(commands))

    def close(self) -> None:
        """Closes what is idle; what is in use is closed when its caller is done."""
        self._closed = True
        self._drain()

    def _exchange(self, packed: bytes, count: int) -> list[Any]:
        self._room.get()
        try:
            if self._closed:
                raise StoreClosed(f"the store at {self._dialer.address} is closed; connect anew")
            replies = self._talk(self._take(), packed, count)
        finally:
            self._room.put(None)
        self._stats.add("bytes", len(packed))
        for reply in replies:
            if isinstance(reply, ResponseError):
                raise reply
        return replies

    def _talk(self, wire: _Wire | _MemoryWire, packed: bytes, count: int) -> list[Any]:
        try:
            replies = wire.talk(packed, count)
        except (RedisError, OSError) as error:
            self._discard(wire)
            raise LinkDown(error, sent=True) from error
        except BaseException:
            # Somebody interrupted us between a command and its reply: nobody else may read that reply as theirs.
            wire.connection.disconnect()
            raise
        self._idle.append(wire)
        if self._closed:
            self._drain()
        return replies

    def _take(self) -> _Wire | _MemoryWire:
        try:
            return self._idle.pop()
        except IndexError:
            return self._open()

    def _discard(self, wire: _Wire | _MemoryWire) -> None:
        # A server that went away took the idle connections with it.
        self._broken = True
        wire.connection.disconnect()
        self._drain()

    def _drain(self) -> None:
        while True:
            try:
                wire = self._idle.pop()
            except IndexError:
                return
            with suppress(RedisError, OSError):
                wire.connection.disconnect()

    def _open(self) -> _Wire | _MemoryWire:
        connection = dial(self._dialer)
        self._stats.add("reconnects", int(self._broken))
        self._broken = False
        return _Wire(connection) if hasattr(connection._sock, "recv") else _MemoryWire(connection)


def _pack(command: tuple[Argument, ...]) -> bytes:
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # its stub knows only tuples of one
    return packed


def dial(dialer: Dialer) -> Any:
    """A new connection; `LinkDown` where trying again may help."""
    try:
        return dialer.dial()
    except (RedisError, OSError) as error:
        raise dial_fault(error, dialer.address, dialer.user) from error
