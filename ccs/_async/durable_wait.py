"""What a batch waits for once it was applied: that it is on disk, that replicas have it.

The question travels right behind the batch, over a connection that the batch has to itself. Its answer counts for what that
connection has written. So a batch that is sent again, which may be answered without writing anything, is followed by
`confirm.lua`: that writes, and tells whether the batch still stands on the server that answers now.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, NamedTuple

from ccs._async.transport.commands import ASKING
from ccs._async.transport.durable_links import Link
from ccs._async.transport.pool import Pool
from ccs._async.transport.topology import Topology
from ccs._core.commits.commit import Argument
from ccs._core.commits.script_calls import Call
from ccs._core.retry import Patience, backoff
from ccs._protocol.faults import Disconnected, copy_of, denied
from ccs._protocol.flushing import NO_WAIT, QUESTIONS, SWITCH_ON, check_of, flushed, flushing_of
from ccs._protocol.replies import ServerError
from ccs._protocol.scripts import SCRIPTS
from ccs.errors import Forbidden, UnsafeServer
from ccs.types import Durability

__all__ = ["DurableWait", "Reached"]

# Seconds for the answer of a server that has waited as long as it was told to.
_LATE = 1.0


class Reached(NamedTuple):
    """How safe a batch is known to be. `disk` is None if that was not asked."""

    disk: bool | None
    replicas: int

    def is_enough(self, asked: Durability) -> bool:
        """Returns whether that is as safe as was asked."""
        return self.disk is not False and self.replicas >= asked.replicas


class DurableWait:
    """The wait of one batch. `confirming(revision of its last commit)` is the call that tells whether it still stands."""

    def __init__(
        self, asked: Durability, topology: Topology, confirming: Callable[[int], Call[bool]] | None = None
    ) -> None:
        self.asked = asked
        self.nothing = Reached(False if asked.disk else None, 0)
        # What is known of it by now; and until when it may take, once the batch was applied.
        self.reached = self.nothing
        self.until = 0.0
        self._revision = 0
        self._lost = 0
        self._topology = topology
        self._confirming = confirming
        self._link: Link | None = None
        self._sent = self._confirms = False
        # What goes before each command that has a key.
        self._asking: list[tuple[Argument, ...]] = []

    def __repr__(self) -> str:
        return f"<DurableWait for {self.asked}, {'sent' if self._sent else 'not sent yet'}>"

    async def travel(self, pool: Pool, command: tuple[Argument, ...], patience: Patience, asking: bool) -> Any:
        """Sends the batch, and behind it what is asked about it; as a `Travel` does. Returns the reply to the batch."""
        self.drop()
        if pool.dialer.target.kind == "memory":
            raise UnsafeServer(
                f"{pool.dialer.address} is memory of this process: nothing there is on a disk, or on a replica; use a"
                " folder or a server where commits have to be durable"
            )
        link = self._link = await self._topology.links_beside(pool).take(patience)
        try:
            await self.prepare(pool, link, patience)
            self._confirms = self._sent and self._confirming is not None
            self._sent = True
            self._asking = [ASKING] if asking else []
            link.send([*self._asking, command, *self._questions(link)], patience)
            for _ in self._asking:
                asked = await link.reply(self._soon(pool, patience))
                if denied(asked):
                    raise copy_of(asked)
            reply = await link.reply(self._soon(pool, patience))
        except BaseException:
            self.drop()
            raise
        if isinstance(reply, ServerError):
            self.drop()
            raise copy_of(reply)
        return reply

    async def prepare(self, pool: Pool, link: Link, patience: Patience) -> None:
        """Finds out when the server writes to its disk, if that matters, and whether the user may ask what is asked later.

        Raises `UnsafeServer` if nobody can know, and `Forbidden` if the user may not: before anything was applied.
        """
        if self.asked.disk and not link.flushing:
            await self._learn_flushing(pool, link, patience)
        waits = {"WAITAOF": link.flushing == "waitaof" and self.asked.disk, "WAIT": self.asked.replicas}
        for command, needed in waits.items():
            if needed and command not in link.may_ask:
                await self._try(command, pool, link, patience)

    async def _try(self, command: str, pool: Pool, link: Link, patience: Patience) -> None:
        link.send([NO_WAIT[command]], Patience(patience.until))
        reply = await link.reply(self._soon(pool, patience))
        if denied(reply):
            raise Forbidden(pool.dialer.address, pool.dialer.target.user, f"run {command}")
        link.may_ask |= {command}

    async def _learn_flushing(self, pool: Pool, link: Link, patience: Patience) -> None:
        until = self._soon(pool, patience)
        if await pool.dialer.keep_flushing(patience):
            # By itself: a server takes this one setting only alone.
            link.send([SWITCH_ON], Patience(patience.until))
            await link.reply(until)
        link.send(QUESTIONS, Patience(patience.until))
        replies = [await link.reply(until) for _ in QUESTIONS]
        link.flushing = flushing_of(replies, pool.dialer.address)

    def begin(self, revision: int = 0) -> None:
        """Begins to count its time, as the batch was applied: its last commit at this revision, 0 if that is not known."""
        self.until = self.until or time.monotonic() + self.asked.seconds
        self._revision = revision or self._revision

    def left(self) -> float:
        """Returns for how many seconds it may go on, the late answer of a server included."""
        return max(0.0, self.until - time.monotonic()) + _LATE

    def pause(self) -> float | None:
        """Returns for how long to wait before the question is sent again; None if it is too late for that."""
        self._lost += 1
        delay = backoff(self._lost - 1, random.random())
        return delay if time.monotonic() + delay < self.until else None

    async def finish(self) -> None:
        """Reads how safe the batch is: the answers that follow its own. Raises `Disconnected` if they do not come."""
        link = self._link
        if link is None:
            raise Disconnected("it was not asked", sent=True)
        until = self.until + _LATE
        try:
            for _ in self._asking if self._confirms else ():
                await link.reply(until)
            stands = not self._confirms or await link.reply(until) == 1
            disk = flushed(link.flushing, await link.reply(until)) if link.flushing and self.asked.disk else None
            replicas = await link.reply(until) if self.asked.replicas else 0
        except BaseException:
            self.drop()
            raise
        if disk is False:
            link.flushing = None  # its setting may have been changed
        link.release()
        self._link = None
        if isinstance(replicas, ServerError):
            raise copy_of(replicas)
        self.reached = Reached(disk, replicas) if stands else self.nothing

    async def leave(self) -> None:
        """Ends it, as nobody waits. What is as good as answered is read, so that the next batch can have the connection."""
        with suppress(Disconnected, ServerError):
            if self._link and self._link.flushing == "always" and not self.asked.replicas:
                self.begin()
                await self.finish()
        self.drop()

    def drop(self) -> None:
        """Ends the connection, if there is one still."""
        link = self._link
        self._link = None
        if link:
            link.drop()

    def _questions(self, link: Link) -> list[tuple[Argument, ...]]:
        left = self.until - time.monotonic() if self.until else self.asked.seconds
        millis = max(1, int(left * 1000))
        questions: list[tuple[Argument, ...]] = []
        if self._confirms and self._confirming:
            call = self._confirming(self._revision)
            # With its text: this is seldom.
            questions += self._asking
            questions.append(("EVAL", SCRIPTS[call.script].text, str(len(call.keys)), *call.keys, *call.arguments))
        if self.asked.disk and link.flushing:
            questions.append(check_of(link.flushing, millis))
        if self.asked.replicas:
            questions.append(("WAIT", str(self.asked.replicas), str(millis)))
        return questions

    def _soon(self, pool: Pool, patience: Patience) -> float:
        now = time.monotonic()
        return now + min(pool.dialer.timeout, patience.left(now))
