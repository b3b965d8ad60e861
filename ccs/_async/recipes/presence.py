"""Presence: which agents are at work in a context, known by leases that expire when their process dies."""

from __future__ import annotations

import secrets
import time
from dataclasses import replace
from datetime import datetime
from typing import Any

from ccs._async.entries import Entries
from ccs._compat import AsyncWorker, async_shielded, async_sleep
from ccs._core.codec import encode
from ccs._core.commits.operations import delete_op, set_op
from ccs._core.quoted_values import shown
from ccs._core.recipes.lease import Lease
from ccs._core.recipes.presence import EVERYBODY, ROOT, members_in, written
from ccs._core.times import Duration, from_micros, millis, seconds
from ccs._log import logger
from ccs._not_copyable import Local
from ccs.errors import CCSError, ContextFinished, ContextGone, InvalidValue, Misuse, StoreClosed, Unavailable
from ccs.types import Member

__all__ = ["Presence", "members"]

# Seconds of the shortest ttl, which leaves time to renew.
_SHORTEST = 0.1
# Seconds before the next try after an outage.
_REST = 0.5
# Seconds to wait for a return that is under way.
_FAREWELL = 1.0


class Presence(Local):
    """The membership of an agent in a context, from `enter` to `leave`; a with block does both.

    It is renewed in the background. If the process stands still or is cut off for longer than `ttl` seconds, the presence
    expires, and joins again by itself when the process is back, with a new `joined_at`. It ends with its context and does
    not create it again, unless the server has lost its data.
    """

    def __init__(self, entries: Entries, role: str | None, ttl: Duration, meta: Any) -> None:
        if role is not None and not isinstance(role, str):
            raise InvalidValue(f"role is {shown(role)}: give some text, or None")
        # No fences: an agent is present whether or not its claim is held.
        self._handle = replace(entries.handle, fences=())
        self.role = role
        self.meta = meta
        self.ttl = seconds(ttl, "ttl", least=_SHORTEST)
        self._value = encode(written(role, millis(self.ttl), meta), self._handle.engine.max_value_bytes)
        self.id = secrets.token_hex(8)
        self.joined_at: datetime | None = None
        self._lease: Lease | None = None
        self._return: AsyncWorker | None = None
        self._entered = self._left = False
        self._opening = self._handle.opening

    def __repr__(self) -> str:
        role = f" as {self.role!r}" if self.role else ""
        return f"<Presence of {self.agent!r}{role} in {self._handle.address}, {self._state}>"

    @property
    def agent(self) -> str:
        """The agent that is present."""
        return self._handle.agent

    @property
    def joined(self) -> bool:
        """Whether it is a member, as far as this process can know: it turns False before others see it expire."""
        return self._lease is not None and self._lease.held(time.monotonic())

    @property
    def _state(self) -> str:
        if self._left:
            return "left"
        return "joined" if self.joined else "away" if self._entered else "not entered"

    async def __aenter__(self) -> Presence:
        await self.enter()
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.leave()

    async def enter(self) -> None:
        """Joins. Raises `Misuse` if it was entered before."""
        if self._entered or self._left:
            raise Misuse(f"{self!r} was entered before; join() makes another one")
        self._entered = True
        try:
            await async_shielded(self._announce)
        except BaseException:
            if self._lease:  # cancelled after it had joined: no one else would leave
                await self.leave()
            raise

    async def leave(self) -> None:
        """Leaves at once, for good; a second call does nothing. Any task may call it.

        Raises `Unavailable` if the server does not answer; then the presence expires by itself.
        """
        if not self._left:
            await async_shielded(self._depart)

    async def _announce(self) -> None:
        path = f"{ROOT}/{self.id}"
        sent = time.monotonic()
        operation = set_op(path, self._value, millis(self.ttl))
        applied = await self._handle.commit([operation])
        self.joined_at = from_micros(applied.at)
        self._keep(Lease(path, applied.revision, self.ttl, sent + self.ttl, on_lost=self._come_back))
        if self._left:  # by another task, meanwhile
            await self._withdraw()

    async def _depart(self) -> None:
        self._left = True
        if self._return:
            await self._return.finish(_FAREWELL)
        try:
            await self._withdraw()
        except (ContextFinished, StoreClosed) as error:
            logger.info("%r expires by itself: %s", self, error)
        except Misuse:
            self._left = False
            raise

    async def _withdraw(self) -> None:
        lease = self._lease
        self._forget()
        try:
            await self._handle.commit([delete_op(f"{ROOT}/{self.id}")])
        except Misuse:
            # Refused before anything was sent, so it is still a member.
            if lease:
                self._keep(lease)
            raise

    def _keep(self, lease: Lease) -> None:
        self._lease = lease
        self._opening = self._handle.opening
        self._handle.hold(lease)
        self._handle.holding(lease.path, lease.revision)
        self._opening.presences[self] = (self._handle.address, self.agent, self.ttl)

    def _forget(self) -> None:
        self._handle.opening.presences.pop(self, None)
        lease = self._lease
        self._lease = None
        if lease:
            self._handle.let_go(lease)

    def _come_back(self, _: Lease) -> None:
        # Called by the dispatcher, which must not wait.
        if not self._left:
            self._return = AsyncWorker("ccs return", self._join_again)

    async def _join_again(self) -> None:
        logger.warning("%r expired, and joins again: it was away for longer than %g s", self, self.ttl)
        while not self._left:
            try:
                self._opening.check()
                await self._check_context()
                return await self._announce()
            except Unavailable as error:
                logger.warning("%r cannot join again yet: %s", self, error)
                await async_sleep(_REST)
            except CCSError as error:
                logger.warning("%r does not join again: %s", self, error)
                return self._forget()

    async def _check_context(self) -> None:
        """Raises `ContextGone` if the context has ended, so that joining again does not create it.

        If the server does not know of that end, it has lost its data: then joining creates the context.
        """
        handle = self._handle
        joined = self._lease.revision if self._lease else 0
        page = await handle.engine.look(handle.address, joined, 0)
        other = not page.exists or page.first > joined
        if other and page.ended >= joined:
            raise ContextGone(handle.address)


async def members(entries: Entries) -> list[Member]:
    """Returns the members of a context, in the order in which they joined."""
    return members_in(await entries.snapshot(EVERYBODY))
