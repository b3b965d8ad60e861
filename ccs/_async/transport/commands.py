"""Runs commands: one policy of retries, scripts loaded where they are missing, errors of the server as ours."""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, TypeVar

from ccs._async.transport.pool import Pool
from ccs._compat import async_sleep
from ccs._core.commits.commit import Argument
from ccs._core.commits.script_calls import Call
from ccs._core.retry import Patience, backoff
from ccs._log import logger
from ccs._protocol.faults import Disconnected, passes, reply_fault
from ccs._protocol.replies import ServerError
from ccs._protocol.scripts import SCRIPTS
from ccs._stats import Counters
from ccs.errors import CCSError, Forbidden, Unavailable

__all__ = ["Commands"]

T = TypeVar("T")

_PATIENT = 3


class Commands:
    """Runs commands on a server."""

    def __init__(self, pool: Pool, address: str, user: str, retry_for: float, stats: Counters) -> None:
        self._pool = pool
        self.clock = pool.clock
        self.address = address
        self._user = user
        self._retry_for = retry_for
        self._stats = stats

    def __repr__(self) -> str:
        return f"<Commands over {self._pool!r}>"

    async def run(
        self,
        command: Any,
        *,
        call: Callable[[Any, Patience], Awaitable[Any]] | None = None,
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
        call = call or self._pool.call
        patience = patience or self.patience()
        attempt = 0
        while True:
            seen_before = patience.sent
            try:
                return await call(command, patience)
            except Unavailable as error:
                raise Unavailable(error.address, patience.sent and writes, error.reason) from error
            except Disconnected as error:
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

    def forbidden(self, action: str) -> Forbidden:
        """The error for an action that the server does not let the user do."""
        return Forbidden(self.address, self._user, action)

    async def call(self, call: Call[T], patience: Patience | None = None) -> T:
        """What a script answers, called by its digest; its text travels only where the server does not know it."""
        text = SCRIPTS[call.script].text
        return call.parse(await self.run(_command(call), text=text, patience=patience))

    async def calls(self, calls: Sequence[Call[Any]], patience: Patience | None = None) -> list[Any]:
        """The replies to several calls, not parsed, which travel together: one round trip, or two where scripts are unknown.

        Where the server answers a call with an error, that error stands in the position of its reply.
        """
        replies: list[Any] = await self.run([_command(call) for call in calls], call=self._each, patience=patience)
        unknown = [index for index, reply in enumerate(replies) if _is_unknown(reply)]
        if unknown:
            again = _with_texts([calls[index] for index in unknown])
            found = await self.run(again, call=self._each, patience=patience)
            for index, reply in zip(unknown, found, strict=True):
                replies[index] = reply
        return [self._judged(call, reply) for call, reply in zip(calls, replies, strict=True)]

    def _judged(self, call: Call[Any], reply: Any) -> Any:
        if not isinstance(reply, ServerError):
            return reply
        try:
            reply_fault(reply, self.address, self._user, _command(call), SCRIPTS[call.script].text)
        except CCSError as error:
            return error
        return reply

    async def _each(self, commands: Sequence[tuple[Argument, ...]], patience: Patience) -> list[Any]:
        replies = await self._pool.call_all(commands, patience)
        for reply in replies:
            if isinstance(reply, ServerError) and passes(reply):
                raise reply
        return replies

    async def run_all(self, commands: Sequence[tuple[Argument, ...]], patience: Patience | None = None) -> list[Any]:
        """The replies to several reads, which travel together: one round trip."""
        replies: list[Any] = await self.run(commands, call=self._all_or_none, patience=patience)
        return replies

    async def _all_or_none(self, commands: Sequence[tuple[Argument, ...]], patience: Patience) -> list[Any]:
        replies = await self._pool.call_all(commands, patience)
        for reply in replies:
            if isinstance(reply, ServerError):
                raise reply
        return replies

    # [async-only]
    def post(self, command: tuple[Argument, ...], on_reply: Callable[[Any], None]) -> bool:
        """Sends a command at once and only once, for who does not wait; whether there is a connection to send it by.

        `on_reply` gets the reply, an error of the server, or `Disconnected`.
        """
        return self._pool.post(command, on_reply)

    # [/async-only]
    async def aclose(self) -> None:
        """Closes the connections, and lets go of the server that they lead to."""
        await self._pool.aclose()

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


def _command(call: Call[Any], how: str = "EVALSHA") -> tuple[Argument, ...]:
    """A call as it travels: by the digest of its script, or with `EVAL` by the text."""
    script = SCRIPTS[call.script]
    spelled = script.digest if how == "EVALSHA" else script.text
    return how, spelled, str(len(call.keys)), *call.keys, *call.arguments


def _with_texts(calls: Sequence[Call[Any]]) -> list[tuple[Argument, ...]]:
    """The calls as they travel where the server does not know their scripts: the first of each carries the text."""
    sent: set[str] = set()
    commands = []
    for call in calls:
        commands.append(_command(call, "EVALSHA" if call.script in sent else "EVAL"))
        sent.add(call.script)
    return commands


def _loudness(attempt: int) -> int:
    # One warning for an outage, not one for every attempt; most are over before it.
    return logging.WARNING if attempt == _PATIENT else logging.INFO
