"""How commands travel, blocking: each thread takes a connection while it talks, and puts it back.

Written by hand; the asyncio twin shares one connection among all tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from queue import SimpleQueue
from typing import Any

from ccs._core.commit import Argument
from ccs._faults import LinkDown
from ccs._memory import MemoryConnection
from ccs._replies import NOTHING_YET, InvalidReply, ServerError, pack, reply_reader
from ccs._stats import Counters
from ccs._sync.dial import Dialer
from ccs._sync.sockets import CHUNK, Socket
from ccs.errors import CCSError, StoreClosed

__all__ = ["Link"]

_MOST = 64


class _Wire:
    """One open connection."""

    __slots__ = ("close", "feed", "next_reply", "receive", "send")

    def __init__(self, socket: Socket) -> None:
        reader = reply_reader()
        self.close = socket.close
        self.send: Callable[[bytes], object] = socket.sendall
        self.receive: Callable[[int], bytes] = socket.recv
        self.feed, self.next_reply = reader.feed, reader.gets

    def talk(self, packed: bytes, count: int) -> list[Any]:
        """The replies to so many commands, errors of the server included."""
        self.send(packed)
        replies: list[Any] = []
        while len(replies) < count:
            while (reply := self.next_reply()) is NOTHING_YET:
                chunk = self.receive(CHUNK)
                if not chunk:
                    raise ConnectionError("the server closed the connection")
                self.feed(chunk)
            if isinstance(reply, ServerError) and reply.code == "NOAUTH":
                raise reply  # this connection is of no use; a new one logs in again
            replies.append(reply)
        return replies


class _MemoryWire(MemoryConnection):
    """One connection to a server in this process."""

    def talk(self, packed: bytes, count: int) -> list[Any]:
        """The replies to so many commands, errors of the server included."""
        self.send(packed)
        return [self.receive() for _ in range(count)]


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
        """The reply to one command; `LinkDown` where there is none, `ServerError` where the server refuses."""
        return self._exchange(pack(command), 1)[0]

    def call_all(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        """The replies to several commands, sent one right after the other; the first error of the server is raised."""
        return self._exchange(b"".join(map(pack, commands)), len(commands))

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
            if isinstance(reply, ServerError):
                raise reply
        return replies

    def _talk(self, wire: _Wire | _MemoryWire, packed: bytes, count: int) -> list[Any]:
        try:
            replies = wire.talk(packed, count)
        except (ServerError, InvalidReply, OSError) as error:
            self._discard(wire)
            raise (error if isinstance(error, CCSError) else LinkDown(error, sent=True)) from error
        except BaseException:
            # Somebody interrupted us between a command and its reply: nobody else may read that reply as theirs.
            wire.close()
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
        wire.close()
        self._drain()

    def _drain(self) -> None:
        while True:
            try:
                wire = self._idle.pop()
            except IndexError:
                return
            with suppress(OSError):
                wire.close()

    def _open(self) -> _Wire | _MemoryWire:
        target = self._dialer.target
        wire = _MemoryWire(target.location) if target.kind == "memory" else _Wire(self._dialer.dial())
        self._stats.add("reconnects", int(self._broken))
        self._broken = False
        return wire
