"""NATS JetStream's key-value store, with nats-py."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from benchmarks.client import Callback

__all__ = ["NatsKV", "sweep"]


class NatsKV:
    """A bucket, on file as JetStream's default is."""

    def __init__(self, connection: Any, bucket: Any) -> None:
        self._connection = connection
        self._bucket = bucket
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def connect(cls, url: str, room: str, callers: int) -> NatsKV:
        """Connects, and makes the bucket if it is not there."""
        connection = await _connect(url)
        return cls(connection, await connection.jetstream().create_key_value(bucket=room))

    async def put(self, path: str, value: Any) -> object:
        """`put` of JSON."""
        return await self._bucket.put(path, json.dumps(value).encode())

    async def get(self, path: str) -> Any:
        """`get`, and JSON."""
        return json.loads((await self._bucket.get(path)).value)

    async def subscribe(self, callback: Callback) -> None:
        """`watchall`, live once it has said that the present entries are through."""
        watcher = await self._bucket.watchall()
        while await watcher.updates(timeout=5) is not None:
            pass
        self._tasks.append(asyncio.create_task(self._listen(watcher, callback), name="nats listener"))

    async def aclose(self) -> None:
        """Ends the listeners, then the connection."""
        for task in self._tasks:
            task.cancel()
            await asyncio.wait([task])
        await self._connection.close()

    async def _listen(self, watcher: Any, callback: Callback) -> None:
        async for entry in watcher:
            callback(entry.key, json.loads(entry.value))


def sweep(url: str, run_id: str) -> None:
    """Removes the buckets of a run."""

    async def remove() -> None:
        connection = await _connect(url)
        context = connection.jetstream()
        for stream in await context.streams_info():
            if run_id in stream.config.name:
                await context.delete_stream(stream.config.name)
        await connection.close()

    asyncio.run(remove())


async def _connect(url: str) -> Any:
    import nats  # noqa: PLC0415  may not be installed

    return await nats.connect(url)
