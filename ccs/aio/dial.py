"""Opens connections to where a store lives, and refuses servers that could break its promises."""

from __future__ import annotations

import os
import time
from typing import Any

import redis.asyncio.connection as redis_connection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from ccs import _memory
from ccs._clock import ServerClock
from ccs._compat import AsyncLock, async_call

#| from ccs._compat import refuse_interrupter
from ccs._core.server import check_server, time_of
from ccs._core.target import Target, parse_target
from ccs._faults import copy_of
from ccs.embedded import Embedded, default_folder
from ccs.errors import CCSError, InvalidValue, Misuse

__all__ = ["Dialer", "resolve"]


class Dialer:
    """Knows how to reach a target: by URL, through the embedded server of a folder, or in memory."""

    def __init__(self, target: Target, timeout: float, patience: float) -> None:
        self._target = target
        self.timeout, self._patience = timeout, patience
        self._kind, self._options = _options(target, timeout)
        self._embedded: Embedded | None = None
        self._lock = AsyncLock()
        self._failure: CCSError | None = None
        self._failed_at = 0.0
        self.clock = ServerClock()

    def __repr__(self) -> str:
        return f"<Dialer of {self.address}>"

    @property
    def address(self) -> str:
        """Where the server is, without secrets."""
        return self._target.address

    @property
    def user(self) -> str:
        """Whom the server takes us for."""
        return self._target.user

    async def dial(self) -> Any:
        """A connected and checked connection of redis-py; its errors are redis-py's, `Unavailable` or `UnsafeServer`."""
        connection = await self._connection()
        try:
            await connection.connect()
            if self._target.kind != "memory":
                await connection.send_command("INFO", "all")
                info = await connection.read_response()
                check_server(info, self.address)
                self.clock.see(time_of(info))
        except BaseException:
            await connection.disconnect()
            raise
        return connection

    async def aclose(self) -> None:
        """Lets go of the embedded server, which ends when nobody is left."""
        if self._embedded:
            await async_call(self._embedded.close)

    async def _connection(self) -> Any:
        if self._target.kind == "memory":
            return _memory.async_connection(self._target.location)
        if self._target.kind == "folder":
            return self._kind(**self._options, path=await self._ensure())
        return self._kind(**self._options)

    async def _ensure(self) -> str:
        #| refuse_interrupter(self._ensure)
        began = time.monotonic()
        async with self._lock:
            if self._failure and self._failed_at > began:
                # Who had to wait for somebody else's attempt has seen it fail: nobody waits for all of them in turn.
                raise copy_of(self._failure)
            if self._embedded is None:
                self._embedded = await async_call(Embedded, self._target.location)
            try:
                return await async_call(self._embedded.open, self._patience)
            except Misuse:
                raise  # no failure: it was raised by what interrupted us
            except CCSError as error:
                self._failure, self._failed_at = error, time.monotonic()
                raise


def resolve(target: Target) -> Target:
    """What the target means here and now: `$CCS_URL`, the default folder, a server in memory."""
    if target.kind == "default":
        url = os.environ.get("CCS_URL")
        return resolve(parse_target(url)) if url else parse_target(default_folder())
    if target.kind == "memory":
        return Target("memory", _memory.register(target.location), target.address)
    return target


def _options(target: Target, timeout: float) -> tuple[Any, dict[str, Any]]:
    # redis-py's defaults are not ours: it would retry by itself, end blocking reads, change shapes with RESP3, and look
    # up its own version on disk for every connection.
    fixed = {
        "protocol": 2,
        "retry": Retry(NoBackoff(), 0),
        "health_check_interval": 0,
        "decode_responses": False,
        "driver_info": None,
        "socket_timeout": timeout,
    }
    if target.kind != "url":
        return redis_connection.UnixDomainSocketConnection, fixed
    try:
        parse_url: Any = redis_connection.parse_url
        asked: dict[str, Any] = dict(parse_url(target.location))
        kind = asked.pop("connection_class", redis_connection.Connection)
        # Those of redis-py's pools, which we do without.
        asked.pop("max_connections", None)
        asked.pop("timeout", None)
        options = {"socket_connect_timeout": timeout, **asked, **fixed}
        kind(**options)
    except (TypeError, ValueError, RedisError) as error:
        raise InvalidValue(f"{target.address} is no URL that redis-py understands: {error}") from None
    return kind, options
