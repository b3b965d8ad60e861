"""Runs commands: one policy of retries, scripts loaded where they are missing, errors of the server as ours."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, NamedTuple

from ccs._async.transport.pool import Link
from ccs._compat import async_sleep
from ccs._core.commits.commit import Argument
from ccs._core.retry import Patience, backoff
from ccs._log import logger
from ccs._protocol.faults import LinkDown, passes, reply_fault
from ccs._protocol.replies import ServerError
from ccs._protocol.scripts import Script
from ccs._stats import Counters
from ccs.errors import CCSError, Forbidden, Unavailable

__all__ = ["Connection", "ScriptCall"]

_PATIENT = 3


class ScriptCall(NamedTuple):
    """A script, the keys that it works on, and its arguments."""

    script: Script
    keys: Sequence[str]
    arguments: Sequence[Argument]

    def command(self, how: str = "EVALSHA") -> tuple[Argument, ...]:
        """As it travels: by its digest, or with `EVAL` by its text."""
        script = self.script.digest if how == "EVALSHA" else self.script.text
        return how, script, str(len(self.keys)), *self.keys, *self.arguments


class Connection:
    """What every command of a store goes through.

    `gate(until)` is awaited before each one that is not `early`; `passable` says whether that would be at once.
    """

    def __init__(self, link: Link, address: str, user: str, retry_for: float, stats: Counters) -> None:
        self._link, self.clock = link, link.clock
        self.address, self._user, self._retry_for, self._stats = address, user, retry_for, stats
        self.gate: Callable[[Patience], Awaitable[None]] | None = None
        self.passable: Callable[[], bool] = lambda: False

    def __repr__(self) -> str:
        return f"<Connection over {self._link!r}>"

    async def run(
        self,
        command: Any,
        *,
        call: Callable[[Any, Patience], Awaitable[Any]] | None = None,
        early: bool = False,
        writes: bool = False,
        patience: Patience | None = None,
        text: str = "",
        again: Callable[[], Any] | None = None,
    ) -> Any:
        """The reply to a command, tried again while there is `patience`: ordinarily for `retry_for` seconds from now.

        `Unavailable` after that, wherever it waits, with `maybe_applied` where it `writes` and may have been seen;
        `StoreFull`. `text` is the script that the command calls: it travels where the server does not
        know it. `call` is how it travels, ordinarily by itself. `again` gives what is sent instead once the server may
        have seen the command. What the user may not do is `Forbidden`, at once.
        """
        call = call or self._link.call
        patience = patience or self.patience()
        attempt = 0
        if not early and not self.passable():
            await self.ready(patience)
        while True:
            seen_before = patience.sent
            try:
                return await call(command, patience)
            except Unavailable as error:
                raise Unavailable(error.address, patience.sent and writes, error.reason) from error
            except LinkDown as error:
                reason = str(error)
            except ServerError as error:
                patience.sent = seen_before  # this attempt was answered, and has done nothing
                if error.code == "NOSCRIPT":
                    command = "EVAL", text, *command[2:]
                    continue
                reason = self._reason(error, command, text, patience.sent and writes)
            if patience.sent and again is not None:
                command = again()
            await self._pause(attempt, patience, reason, patience.sent and writes)
            attempt += 1

    def patience(self) -> Patience:
        """That of a command which begins now."""
        return Patience(time.monotonic() + self._retry_for)

    async def ready(self, patience: Patience) -> None:
        """Waits until commands may be sent."""
        if not self.passable() and self.gate is not None:
            await self.gate(patience)

    def forbidden(self, action: str) -> Forbidden:
        """The error for an action that the server does not let the user do."""
        return Forbidden(self.address, self._user, action)

    async def script(self, script: Script, keys: Sequence[str], arguments: Sequence[Argument], **options: Any) -> Any:
        """The reply of a script, by its digest; its text travels only where the server does not know it."""
        return await self.run(ScriptCall(script, keys, arguments).command(), text=script.text, **options)

    async def scripts(
        self, calls: Sequence[ScriptCall], patience: Patience | None = None, *, early: bool = False
    ) -> list[Any]:
        """The replies of several scripts, which travel together: one round trip, or two where the server knows them not.

        What the server answers to one of them with an error is such an error, in the place of its reply.
        """
        commands = [call.command() for call in calls]
        replies: list[Any] = await self.run(commands, call=self._each, patience=patience, early=early)
        unknown = [place for place, reply in enumerate(replies) if _is_unknown(reply)]
        if unknown:
            again = _with_texts([calls[place] for place in unknown])
            found = await self.run(again, call=self._each, patience=patience, early=early)
            for place, reply in zip(unknown, found, strict=True):
                replies[place] = reply
        return [self._judged(call, reply) for call, reply in zip(calls, replies, strict=True)]

    def _judged(self, call: ScriptCall, reply: Any) -> Any:
        if not isinstance(reply, ServerError):
            return reply
        try:
            reply_fault(reply, self.address, self._user, call.command(), call.script.text)
        except CCSError as error:
            return error
        return reply

    async def _each(self, commands: Sequence[tuple[Argument, ...]], patience: Patience) -> list[Any]:
        replies = await self._link.call_all(commands, patience)
        for reply in replies:
            if isinstance(reply, ServerError) and passes(reply):
                raise reply
        return replies

    async def run_all(self, commands: Sequence[tuple[Argument, ...]]) -> list[Any]:
        """The replies to several reads, which travel together: one round trip."""
        replies: list[Any] = await self.run(commands, call=self._whole)
        return replies

    async def _whole(self, commands: Sequence[tuple[Argument, ...]], patience: Patience) -> list[Any]:
        replies = await self._link.call_all(commands, patience)
        for reply in replies:
            if isinstance(reply, ServerError):
                raise reply
        return replies

    # [async-only]
    def post(self, command: tuple[Argument, ...], on_reply: Callable[[Any], None]) -> bool:
        """Sends a command at once and only once, for who does not wait; whether there is a connection to send it by.

        `on_reply` gets the reply, an error of the server, or `LinkDown`.
        """
        return self._link.post(command, on_reply)

    # [/async-only]
    async def aclose(self) -> None:
        """Closes the link, and lets go of the server that it leads to."""
        await self._link.aclose()

    def _reason(self, error: ServerError, command: Any, text: str, maybe_applied: bool) -> str:
        one = command if isinstance(command[0], str) else command[0]
        try:
            return reply_fault(error, self.address, self._user, one, text)
        except Forbidden as forbidden:
            if maybe_applied:
                raise Unavailable(self.address, maybe_applied, str(forbidden)) from forbidden
            raise

    async def _pause(self, attempt: int, patience: Patience, reason: str, maybe_applied: bool) -> None:
        now = time.monotonic()
        if patience.over(now):
            raise Unavailable(self.address, maybe_applied, reason)
        delay = min(patience.until - now, backoff(attempt, random.random()))
        self._stats.add("retries")
        logger.log(_loudness(attempt), "%s: %s; trying again in %.2f s", self.address, reason, delay)
        await async_sleep(delay)


def _is_unknown(reply: Any) -> bool:
    return isinstance(reply, ServerError) and reply.code == "NOSCRIPT"


def _with_texts(calls: Sequence[ScriptCall]) -> list[tuple[Argument, ...]]:
    """The calls as they travel where the server does not know their scripts: the first of each tells it the text."""
    told: set[Script] = set()
    commands = []
    for call in calls:
        commands.append(call.command("EVALSHA" if call.script in told else "EVAL"))
        told.add(call.script)
    return commands


def _loudness(attempt: int) -> int:
    # One warning for an outage, not one for every attempt; most are over before it.
    return logging.WARNING if attempt == _PATIENT else logging.INFO
