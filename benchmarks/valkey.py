"""The server of CCS and of all that uses redis-py: an embedded one of our own, or one that is given by its URL."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import redis

from benchmarks.server import PATIENCE, Server, folder
from ccs.embedded import Embedded, locks
from ccs.embedded.folder import Home

__all__ = ["embedded", "given"]

DURABILITY = {
    "everysec": "append-only file, fsync once a second",
    "always": "append-only file, fsync before each answer",
}


@contextmanager
def embedded(fsync: str = "everysec") -> Iterator[Server]:
    """A server in a private folder, with the settings that users of CCS get; or with another fsync."""
    with folder() as path:
        handle = Embedded(path, linger=0.1)
        address = handle.open(PATIENCE)
        with redis.Redis(unix_socket_path=address, socket_timeout=None) as client:
            client.config_set("appendfsync", fsync)
            pid = int(_info(client)["process_id"])
            try:
                yield _server(f"unix://{address}", client, DURABILITY[fsync])
            finally:
                handle.close()
        _await_end(path, pid)


@contextmanager
def given(url: str, run_id: str) -> Iterator[Server]:
    """A server that runs already; in the end what this run wrote is removed from it."""
    with redis.Redis.from_url(url, socket_timeout=None) as client:
        try:
            yield _server(url, client, _durability(client))
        finally:
            for key in client.scan_iter(match=f"*{run_id}*", count=1_000):
                client.unlink(key)


def _server(url: str, client: redis.Redis, durability: str) -> Server:
    info = _info(client)
    version = f"Valkey {info['valkey_version']}" if "valkey_version" in info else f"Redis {info['redis_version']}"

    def cpu() -> float:
        used = _info(client, "cpu")
        return float(used["used_cpu_user"]) + float(used["used_cpu_sys"])

    return Server(url, version, durability, cpu, lambda: _info(client))


def _info(client: redis.Redis, *sections: str) -> dict[str, Any]:
    answer: Any = client.info(*sections)
    return dict(answer)


def _durability(client: redis.Redis) -> str:
    try:
        settings: Any = client.config_get("append*")
    except redis.ResponseError as error:
        return f"not known: {error}"
    return f"appendonly {settings.get('appendonly')}, appendfsync {settings.get('appendfsync')}"


def _await_end(path: Path, pid: int) -> None:
    """The keeper shuts the server down, and ends; should it not, we end the server. Both write into the folder."""
    home = Home(path)
    deadline = time.monotonic() + PATIENCE
    while not (_is_free(home.server_lock) and _is_free(home.keeper_lock)):
        if time.monotonic() > deadline:
            return os.kill(pid, signal.SIGKILL)
        time.sleep(0.01)


def _is_free(file: Path) -> bool:
    lock = locks.attempt(file)
    if lock:
        lock.release()
    return lock is not None
