"""Runs commands: one policy of retries, scripts loaded where they are missing, errors of the server as ours."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from ccs._compat import async_sleep
from ccs._core.commit import Argument
from ccs._core.retry import Patience, backoff
from ccs._faults import LinkDown, reply_fault
from ccs._log import logger
from ccs._replies import ServerError
from ccs._scripts import Script
from ccs._stats import Counters
from ccs.aio.link import Link
from ccs.errors import Forbidden, Unavailable

__all__ = ["Connection"]

_PATIENT = 3


class Connection:
    """What every command of a store goes through.

    `gate(until)` is awaited before each one that is not `early`; `passable` says whether that would be at once.
    """

    def __init__(self, link: Link, address: str, user: str, retry_for: float, stats: Counters) -> None:
        self._link, self.address, self._user, self._retry_for, self._stats = link, address, user, retry_for, stats
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
        if not early:
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
        command = "EVALSHA", script.digest, str(len(keys)), *keys, *arguments
        return await self.run(command, text=script.text, **options)

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
        return self.passable() and self._link.post(command, on_reply)

    # [/async-only]
    async def aclose(self) -> None:
        """Closes the link."""
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


def _loudness(attempt: int) -> int:
    # One warning for an outage, not one for every attempt; most are over before it.
    return logging.WARNING if attempt == _PATIENT else logging.INFO
