"""etcd, with aetcd."""

from __future__ import annotations

import asyncio
import json
from typing import Any
from urllib.parse import urlsplit

from benchmarks.client import Callback

__all__ = ["Etcd"]


class Etcd:
    """A prefix of keys. Every write is on disk (fsync) before it is acknowledged."""

    def __init__(self, client: Any, room: str) -> None:
        self._client = client
        self._room = room
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def connect(cls, url: str, room: str, callers: int) -> Etcd:
        """Connects."""
        import aetcd  # noqa: PLC0415  may not be installed

        address = urlsplit(url)
        client = aetcd.Client(address.hostname, address.port)
        await client.connect()
        return cls(client, room)

    async def put(self, path: str, value: Any) -> object:
        """`put` of JSON."""
        return await self._client.put(self._key(path), json.dumps(value).encode())

    async def get(self, path: str) -> Any:
        """`get`, and JSON."""
        return json.loads((await self._client.get(self._key(path))).value)

    async def subscribe(self, callback: Callback) -> None:
        """`watch_prefix`, live when the server has confirmed it."""
        events = await self._client.watch_prefix(self._key(""))
        self._tasks.append(asyncio.create_task(self._listen(events, callback), name="etcd listener"))

    async def cursor(self) -> int:
        """Where history stands."""
        answer = await self._client.get(self._key("cursor"))
        return int(answer.header.revision)

    async def catch_up(self, cursor: int, count: int) -> None:
        """Receives so many changes from after the cursor."""
        events = aiter(await self._client.watch_prefix(self._key(""), start_revision=cursor + 1))
        for _ in range(count):
            json.loads((await anext(events)).kv.value)

    async def aclose(self) -> None:
        """Ends the listeners, then the connection."""
        for task in self._tasks:
            task.cancel()
            await asyncio.wait([task])
        await self._client.close()

    def _key(self, path: str) -> bytes:
        return f"{self._room}/{path}".encode()

    async def _listen(self, events: Any, callback: Callback) -> None:
        start = len(self._key(""))
        async for event in events:
            callback(event.kv.key[start:].decode(), json.loads(event.kv.value))
